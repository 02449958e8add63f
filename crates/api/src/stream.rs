//! What goes through WebSockets and event streams.

use base::Revision;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// WebSocket subprotocol for bytes: binary messages are bytes, an empty one ends that direction.
pub const TCP_PROTOCOL: &str = "hostler.tcp.v1";
/// WebSocket subprotocol for commands: binary messages, the first byte is a [`Channel`].
pub const EXEC_PROTOCOL: &str = "hostler.exec.v1";

/// The first byte of an `hostler.exec.v1` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Channel {
    /// To the command.
    Stdin = 0,
    /// From the command.
    Stdout = 1,
    /// From the command.
    Stderr = 2,
    /// A [`Control`] as JSON, either way.
    Control = 3,
}

impl TryFrom<u8> for Channel {
    type Error = base::Error;
    fn try_from(byte: u8) -> Result<Self, base::Error> {
        Ok(match byte {
            0 => Channel::Stdin,
            1 => Channel::Stdout,
            2 => Channel::Stderr,
            3 => Channel::Control,
            n => return Err(base::Error::invalid("/0", format!("{n} is not a channel of {EXEC_PROTOCOL}"))),
        })
    }
}

/// What is said beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Control {
    /// To the command: the terminal has this size now.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters a line.
        cols: u16,
    },
    /// To the command: no more input.
    Eof {},
    /// To the command: a signal by its name without `SIG`.
    Signal {
        /// E.g. `TERM`.
        name: String,
    },
    /// From the command, last: how it ended.
    Exit {
        /// The exit code, unless a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
        /// The signal that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
    },
    /// From us, last: it could not be run or the connection to the guest broke.
    Error {
        /// Why.
        #[schema(value_type = Object)]
        error: base::Error,
    },
}

/// The query of `.../exec`. Lists are repeated parameters: `command=ls&command=-l`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecRequest {
    /// The command line, for the login shell; absent: a login shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// An SSH subsystem (`sftp`) instead of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<String>,
    /// `NAME=value`, one a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub env: String,
    /// Whether it gets a terminal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
    /// The kind of terminal, e.g. `xterm-256color`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub term: String,
    /// Lines of the terminal.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u16,
    /// Characters a line.
    #[serde(skip_serializing_if = "is_zero")]
    pub cols: u16,
    /// Seconds to wait for a guest that does not answer yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(n: &u16) -> bool {
    *n == 0
}

/// A change, as the `data:` of a server-sent event named like its `kind`; its `id:` is the revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What happened.
    pub change: ChangeKind,
    /// `vm`, `worker`, ...: the kind of object; absent in a bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// When, on the store's clock.
    pub revision: Revision,
    /// The object as it is now, or was last; absent in a bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub object: Option<serde_json::Value>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is there, new or changed.
    Put,
    /// It is gone.
    Deleted,
    /// Nothing happened up to this revision: continue from here.
    Bookmark,
}
