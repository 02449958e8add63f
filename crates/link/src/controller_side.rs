//! The controller's side: it is the HTTP/2 client on each connection that a worker dialled.

mod connection;
mod report;
mod session;
mod sessions;

pub use report::Report;
pub use session::Session;
pub use sessions::{Admitted, Sessions};
