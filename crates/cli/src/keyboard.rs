//! Standard input as it comes, and the keys that leave a session.

use bytes::Bytes;
use std::io::Read;
use tokio::sync::mpsc;

/// Reads standard input in a thread of its own, at most a few chunks ahead. `None` at its end.
///
/// A read of a terminal cannot be cancelled: the thread stays in it until the process ends.
pub fn open() -> base::Result<mpsc::Receiver<Bytes>> {
    let (sender, receiver) = mpsc::channel(4);
    let read = move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut input = std::io::stdin().lock();
        loop {
            match input.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    };
    rt::task::thread("stdin", read).map_err(|e| base::Error::io("read standard input", &e))?;
    Ok(receiver)
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
