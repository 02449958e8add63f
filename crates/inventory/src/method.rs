//! The programs that make somebody another user.

use base::{Code, Error};

/// What changes the user on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `sudo`, which takes a password on its standard input.
    #[default]
    Sudo,
    /// `su`, likewise.
    Su,
    /// `doas`, which takes a password from a terminal only: it must be allowed without one.
    Doas,
}

impl Method {
    /// Its program.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Sudo => "sudo",
            Method::Su => "su",
            Method::Doas => "doas",
        }
    }
}

impl std::str::FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = [Method::Sudo, Method::Su, Method::Doas].into_iter().find(|m| m.as_str() == text);
        known.ok_or_else(|| {
            Error::new(Code::Invalid, format!("'{text}' is no way to become another user"))
                .hint("known are sudo, su and doas")
        })
    }
}
