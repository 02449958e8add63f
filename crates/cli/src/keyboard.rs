//! Standard input as it comes, and the keys that leave a session.

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use std::{io, os::unix::net::UnixStream};
use tokio::sync::mpsc;

/// Standard input, read in a thread of its own that is at most a few chunks ahead. Dropping it ends the thread, so that
/// the next reader, be it another program, gets every key.
#[derive(Debug)]
pub struct Keyboard {
    chunks: mpsc::Receiver<Bytes>,
    /// The thread sees its end.
    _open: UnixStream,
}

impl Keyboard {
    /// Begins to read.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn open() -> base::Result<Self> {
        let doing = |e: io::Error| base::Error::io("read standard input", &e);
        let (sender, chunks) = mpsc::channel(4);
        let (open, end) = UnixStream::pair().map_err(doing)?;
        rt::task::thread("stdin", move || read(&end, &sender)).map_err(doing)?;
        Ok(Keyboard { chunks, _open: open })
    }

    /// What comes next; `None` at the end of the input. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.chunks.recv().await
    }
}

/// A read of a terminal cannot be cancelled, so there is none before there is something to read.
fn read(end: &UnixStream, sender: &mpsc::Sender<Bytes>) {
    let stdin = io::stdin();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut ready = [PollFd::new(end, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !ready[0].revents().is_empty() => return,
            Ok(_) => {}
        }
        match rustix::io::read(&stdin, &mut buffer[..]) {
            Ok(n) if n > 0 => {
                if sender.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                    return;
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            _ => return,
        }
    }
}

/// Finds the keys that leave: `~.` at the beginning of a line, as with ssh, and Ctrl-] where that is wanted. `~~` is one
/// `~`.
#[derive(Debug)]
pub struct Escape {
    ctrl_bracket: bool,
    line_begins: bool,
    tilde: bool,
}

/// What keys mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Keys {
    /// To be passed on.
    Pass(Vec<u8>),
    /// To be passed on, and then the session ends.
    Leave(Vec<u8>),
}

impl Escape {
    /// At the beginning of a line.
    pub fn new(ctrl_bracket: bool) -> Self {
        Escape { ctrl_bracket, line_begins: true, tilde: false }
    }

    /// Looks at what was typed.
    pub fn filter(&mut self, typed: &[u8]) -> Keys {
        let mut out = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            if byte == 0x1d && self.ctrl_bracket {
                return Keys::Leave(out);
            }
            if std::mem::take(&mut self.tilde) {
                match byte {
                    b'.' => return Keys::Leave(out),
                    b'~' => {}
                    _ => out.push(b'~'),
                }
            } else if byte == b'~' && self.line_begins {
                self.tilde = true;
                continue;
            }
            self.line_begins = matches!(byte, b'\r' | b'\n');
            out.push(byte);
        }
        Keys::Pass(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut escape = Escape::new(true);
        let mut out = Vec::new();
        for chunk in chunks {
            match escape.filter(chunk) {
                Keys::Pass(bytes) => out.extend(bytes),
                Keys::Leave(bytes) => {
                    out.extend(bytes);
                    return (out, true);
                }
            }
        }
        (out, false)
    }

    #[test]
    fn only_at_the_beginning_of_a_line() {
        assert_eq!(type_in(&[b"ls ~.\r"]), (b"ls ~.\r".to_vec(), false));
        assert_eq!(type_in(&[b"ls\r~."]), (b"ls\r".to_vec(), true));
        assert_eq!(type_in(&[b"~", b"."]), (vec![], true));
        assert_eq!(type_in(&[b"~~x\r~", b"a"]), (b"~x\r~a".to_vec(), false));
        assert_eq!(type_in(&[b"ab\x1dcd"]), (b"ab".to_vec(), true));
    }
}
