//! Runs code of others apart: own user, namespaces, limits, and a broker that says what it may reach.
//!
//! A fleet directory that somebody registered holds scripts, Ruby, Ansible plugins, git filters: code that the controller
//! must never run as itself. A [`Sandbox`] gives each operation a user id and namespaces of its own, in which there is no
//! network and none of the controller's files, and a control group that keeps it within its [`Limits`]. All that it may reach
//! goes through a [`Broker`] on a socket: addresses that the [`Policy`] allows, and the credentials of its own project. What
//! it tries beyond that is refused and told to the [`Overseer`], and so is a touch of the [`decoy`] that lies where the
//! controller's state directory would be.

mod broker;
pub mod decoy;
mod groups;
pub mod inside;
mod limits;
mod place;
mod policy;
mod sandbox;

pub use broker::{Broker, Overseer, Reach};
pub use limits::Limits;
pub use place::Place;
pub use policy::Policy;
pub use sandbox::{BROKER, HOME, PROGRAM, SOCKETS, Sandbox, WORK};
