//! SSH client: host keys, keys, exec with terminals, SFTP.
//!
//! A [`Connection`] is made over any byte stream, so that the same code reaches a guest through a socket, a forwarded
//! port or a tunnel. What resolves names, reads configuration files, asks agents or hops over other hosts stands
//! before it: the [`Dialer`], which reaches hosts as OpenSSH's client does.
//!
//! The protocol library is named in no signature of this crate.

mod algorithms;
mod auth;
mod banner;
pub mod config;
mod connection;
mod dial;
mod error;
mod exec;
mod host_key;
mod key;
pub mod key_agent;
mod known_hosts;
mod options;
mod output;
mod program;
pub mod sftp;
mod shell;

pub use auth::{Answers, Nobody, Question};
pub use banner::read_banner;
pub use connection::Connection;
pub use dial::{DialOptions, Dialer, HostKeyPolicy, Pool, Target, Transport};
pub use exec::{Exec, ExecEvent, ExecReceiver, ExecRequest, ExecSender, ExecStream, Pty};
pub use key::{KeyPair, check_public_key, public_fingerprint};
pub use options::{Auth, HostKeyCheck, Options};
pub use output::Output;
pub use shell::{quote, shell_command_with_env};
