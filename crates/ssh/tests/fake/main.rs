//! The client against servers in this process, for what a real one does not do or must not be made to do.

#![allow(clippy::unwrap_used)] // what tests share is test code too

mod server;
mod sftp;
