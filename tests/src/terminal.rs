//! A person at a terminal: a pseudo terminal with the program in front of it.

use crate::{Cli, binary, eventually};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::process::Child;

/// A running call whose terminal is ours. Dropping it hangs up.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    screen: Arc<Mutex<Vec<u8>>>,
    read: usize,
}

impl Terminal {
    /// Calls the program in a terminal of this many rows and columns.
    ///
    /// # Panics
    /// Where there is no terminal to be had.
    pub fn start(cli: &Cli, args: &[&str], (rows, columns): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal of ours");
        unlockpt(&master).expect("a terminal of ours");
        let name = ptsname(&master, Vec::new()).expect("its name");
        resize(&master, rows, columns);
        let end = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            rustix::fs::open(&name, flags, Mode::empty()).expect("its other end")
        };
        // What has the terminal as its own hears of new sizes. That needs a session, which setsid(1) makes.
        let mut command = rt::process::command("setsid");
        command.args(["--ctty", "--wait"]).arg(binary()).args(args);
        cli.dress(&mut command);
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the program starts");
        drop(command); // and with it our copies of the other end
        let screen = Arc::new(Mutex::new(Vec::new()));
        watch(&master, screen.clone());
        Terminal { child, master: File::from(master), screen, read: 0 }
    }

    /// Types.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("keys are taken");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    /// Waits until these words are on the screen, behind those that were waited for before. Returns what came up to
    /// them.
    ///
    /// # Panics
    /// When they do not come within 20 s.
    pub async fn see(&mut self, words: &str) -> String {
        let (screen, from) = (self.screen.clone(), self.read);
        let news = move || screen.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec();
        let look = || {
            let at = news().windows(words.len()).position(|w| w == words.as_bytes());
            async move { at.map(|at| at + words.len()) }
        };
        let waiting = eventually("words on a terminal", Duration::MAX, look);
        let seen = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let text = news();
        let shown = String::from_utf8_lossy(&text);
        let end = seen.unwrap_or_else(|_| panic!("'{words}' did not come. The terminal shows:\n{shown}"));
        self.read += end;
        String::from_utf8_lossy(&text[..end]).into_owned()
    }

    /// Waits for the end. Its exit code; 255 where a signal ended it.
    ///
    /// # Panics
    /// When it does not end within 20 s.
    pub async fn end(mut self) -> i32 {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        ended.expect("it ends").expect("its end is known").code().unwrap_or(255)
    }
}

fn resize(master: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a terminal has a size");
}

/// Collects what comes, until nobody is left at the other end.
fn watch(master: &OwnedFd, screen: Arc<Mutex<Vec<u8>>>) {
    let mut reader = File::from(master.try_clone().expect("a second handle"));
    let collect = move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            screen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..n]);
        }
    };
    rt::task::thread("screen", collect).expect("a thread");
}
