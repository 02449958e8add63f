//! The `ruby` process, and who waits for what from it.

use super::message::{Message, Numbered, Request, What};
use base::{Error, Result};
use parking_lot::Mutex;
use rt::task::Task;
use serde::Serialize;
use std::{
    collections::HashMap,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin},
    sync::mpsc,
};

/// The program that runs in Ruby.
const PROGRAM: &str = concat!(
    include_str!("wire.rb"),
    include_str!("libraries.rb"),
    include_str!("erubis.rb"),
    include_str!("handlers.rb"),
    include_str!("service.rb"),
    include_str!("recorder.rb"),
    include_str!("bridge.rb"),
);
/// Messages of one request that nobody has taken yet; the bridge waits when there are more.
const UNREAD: usize = 64;
/// How much of what Ruby says about itself is kept, in bytes.
const COMPLAINTS: u64 = 4096;

/// A running bridge. Dropping it ends it and all that it started.
pub(super) struct Process {
    pid: Option<u32>,
    input: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    waiting: Arc<Mutex<Waiting>>,
    _reader: Task<()>,
}

#[derive(Default)]
struct Waiting {
    requests: HashMap<u64, mpsc::Sender<What>>,
    /// Why it ended.
    ended: Option<Error>,
}

impl Process {
    /// Starts it in the fleet directory.
    pub(super) fn start(program: &Path, directory: &Path) -> Result<Self> {
        let mut command = rt::process::command(program);
        // Without RubyGems it is there in a sixth of the time; `libraries.rb` loads them when they are needed.
        command
            .args(["--disable-gems", "-E", "UTF-8", "-e", PROGRAM])
            .current_dir(directory)
            .process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| cannot_start(program, &e))?;
        let input = child.stdin.take().ok_or_else(|| Error::internal("ruby has no input"))?;
        let pid = child.id();
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let reader = rt::task::spawn("ruby", read(child, waiting.clone()));
        let input = tokio::sync::Mutex::new(input);
        Ok(Process { pid, input, next: AtomicU64::new(1), waiting, _reader: reader })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.waiting.lock().ended.is_some()
    }

    /// Sends a request. What comes back about it can be read from the ticket.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Ticket<'_>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::channel(UNREAD);
        {
            let mut waiting = self.waiting.lock();
            if let Some(why) = &waiting.ended {
                return Err(why.clone());
            }
            waiting.requests.insert(id, sender);
        }
        let ticket = Ticket { process: self, id, messages };
        self.tell(&Numbered { id, request }).await?;
        Ok(ticket)
    }

    /// Sends one line.
    pub(super) async fn tell(&self, message: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(message)
            .map_err(|e| Error::internal("cannot write to the Ruby bridge").because(e))?;
        line.push(b'\n');
        let written = self.input.lock().await.write_all(&line).await;
        written.map_err(|e| self.why().unwrap_or_else(|| Error::io("write to the Ruby bridge", &e)))
    }

    fn why(&self) -> Option<Error> {
        self.waiting.lock().ended.clone()
    }

    /// Ends it now. Whoever waits for it is told.
    pub(super) fn kill(&self, why: Error) {
        self.waiting.lock().ended.get_or_insert(why);
        if let Some(pid) = self.pid {
            let _ = rt::process::kill_group(pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill(Error::internal("the Ruby bridge is gone"));
    }
}

/// A request on its way.
pub(super) struct Ticket<'a> {
    process: &'a Process,
    pub(super) id: u64,
    messages: mpsc::Receiver<What>,
}

impl Ticket<'_> {
    pub(super) async fn next(&mut self) -> Result<What> {
        let ended =
            || self.process.why().unwrap_or_else(|| Error::internal("the Ruby bridge lost a request"));
        self.messages.recv().await.ok_or_else(ended)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.process.waiting.lock().requests.remove(&self.id);
    }
}

/// Hands out what the bridge says, until it ends.
async fn read(mut child: Child, waiting: Arc<Mutex<Waiting>>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
            let sender = waiting.lock().requests.get(&message.id).cloned();
            if let Some(sender) = sender {
                let _ = sender.send(message.what).await; // nobody waits for it any more
            }
        }
    };
    let complaints = async {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(COMPLAINTS).read_to_end(&mut said).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let ((), complaints) = tokio::join!(lines, complaints);
    let status = child.wait().await.map_or_else(|e| e.to_string(), |s| s.to_string());
    let cause = if complaints.is_empty() { status } else { format!("{complaints} ({status})") };
    let error = Error::internal("the Ruby bridge ended early").because(cause);
    let mut waiting = waiting.lock();
    waiting.ended.get_or_insert(error);
    waiting.requests.clear();
}

fn cannot_start(program: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::unavailable(format!(
            "{} is not installed, and files in Ruby need it",
            program.display()
        ))
        .hint("install it: apt-get install ruby");
    }
    rt::process::cannot_start(&program.to_string_lossy(), error)
}
