//! The agent as a whole, on synthetic machines.

mod guests;
mod images;
mod links;
mod rig;
mod transitions;
