//! The terminal: its size, and raw mode while a guest has the keyboard.

use base::{Error, Result};
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{IsTerminal, stdin, stdout};

/// Lines and columns of the terminal.
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stdout()).or_else(|_| termios::tcgetwinsize(stdin())).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Characters of a line of the terminal.
pub fn columns() -> Option<usize> {
    size().map(|(_, columns)| columns.into())
}

/// Whether a person is at both ends.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Every key goes to the guest until this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// Takes the keyboard.
    pub fn enter() -> Result<Self> {
        let doing = |e: rustix::io::Errno| Error::io("take over the terminal", &e.into());
        let before = termios::tcgetattr(stdin()).map_err(doing)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(doing)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raw")
    }
}
