//! What a program that changes the user says before the command runs: its questions, its complaints, its lectures.

use super::program::{QUESTION, SIGN};
use crate::session::{Become, Method};
use base::{Code, Error};

/// More than any lecture; the rest is dropped.
const MOST: usize = 16 << 10;

/// Holds standard error back until the other user's shell says that it is there.
#[derive(Debug)]
pub struct Gate {
    method: Method,
    user: String,
    has_password: bool,
    asked: usize,
    held: Vec<u8>,
}

/// What standard error means so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing yet.
    Wait,
    /// It wants the password.
    Password,
    /// The shell is there; this came after its sign.
    Open(Vec<u8>),
}

impl Gate {
    /// For a command that runs as another user.
    pub fn new(other: &Become) -> Self {
        let (user, has_password) = (other.user.clone(), other.password.is_some());
        Gate { method: other.method, user, has_password, asked: 0, held: Vec::new() }
    }

    /// Whether everything may be sent at once: nobody reads it as the answer to a question.
    pub fn asks_nothing(&self) -> bool {
        self.method != Method::Su && !self.has_password
    }

    /// Takes bytes of standard error.
    ///
    /// # Errors
    /// [`Code::Forbidden`] where there is no password for the question, or a wrong one.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Passed, Error> {
        self.held.extend_from_slice(bytes);
        let sign = format!("{SIGN}\n");
        if let Some(at) = find(&self.held, sign.as_bytes()) {
            return Ok(Passed::Open(self.held.split_off(at + sign.len())));
        }
        if self.is_question() {
            self.asked += 1;
            if !self.has_password || self.asked > 1 {
                return Err(self.refused());
            }
            self.held.clear();
            return Ok(Passed::Password);
        }
        let over = self.held.len().saturating_sub(MOST);
        self.held.drain(..over);
        Ok(Passed::Wait)
    }

    /// `su` asks in the words of the system and in its language; they end with a colon.
    fn is_question(&self) -> bool {
        let held = String::from_utf8_lossy(&self.held);
        match self.method {
            Method::Sudo => held.contains(QUESTION),
            Method::Su => held.trim_end_matches(' ').ends_with([':', '：']),
            Method::Doas => false,
        }
    }

    /// The error for an end before the shell was there.
    pub fn refused(&self) -> Error {
        let (tool, user) = (self.method.as_str(), &self.user);
        let said = String::from_utf8_lossy(&self.held).replace(QUESTION, "").trim().to_owned();
        if self.asked > 1 {
            return Error::new(Code::Forbidden, format!("{tool} does not take the password for '{user}'"))
                .because(said)
                .hint("check the password");
        }
        let wants_password = self.asked > 0 || said.contains("password") || said.contains("Authentication");
        if wants_password && !self.has_password {
            let allow = match self.method {
                Method::Sudo => "allow it without one (NOPASSWD in sudoers)",
                Method::Su => "log in as a user who needs none",
                Method::Doas => "allow it without one (`permit nopass` in doas.conf)",
            };
            return Error::new(Code::Forbidden, format!("{tool} asks for a password to run as '{user}'"))
                .because(said)
                .hint(format!("give it with --ask-become-password, or {allow}"));
        }
        let e =
            Error::new(Code::Forbidden, format!("{tool} did not run the command as '{user}'")).because(&said);
        if said.contains("not found") {
            return e.hint(format!("install {tool} on the node, or choose another way with --become-method"));
        }
        e
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}
