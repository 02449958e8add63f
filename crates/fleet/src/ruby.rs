//! Services as `service_NAME.rb`, and `hpc_config.rb`: files of Hybrid Platforms Conductor, evaluated as they are.
//!
//! A small program of ours runs in `ruby` and speaks JSON lines with this process. It is started when it is needed first,
//! once per run, in the fleet directory. What the methods of a service return comes back as data ([`Action`]), so that all
//! that touches a node goes the same way as everything else; only blocks of code (`ruby:`) run over there, when their turn
//! comes. What a method asks of a node that was not handed over is asked back ([`Answers`]).
//!
//! These files are code of whoever wrote them. It runs as the user of this process, with all that this user may do. What
//! it prints is its output, never part of the conversation; a method that does not end within its time is ended with the
//! whole program.

mod action;
mod bridge;
mod known;
mod message;
mod process;

pub use action::{Action, Actions, Block, Copy};
pub use bridge::{Answers, Bridge, Method, Options, Service};
pub use known::Known;
pub use message::{Question, Statement};

/// The service file of that name in the directory of a platform, where there is one.
pub fn service_file(directory: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let path = directory.join(format!("service_{name}.rb"));
    path.is_file().then_some(path)
}
