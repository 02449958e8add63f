//! The controller's one port: the HTTP API with its streams, and the links of workers.
//!
//! Every request goes the same way: [`router`] finds the route in `api::routes::ROUTES`, [`guard`] says who asks and
//! whether they may, [`handlers`] hands it to the controller, and whatever fails becomes a problem (RFC 9457).

mod guard;
mod handlers;
mod linger;
mod listen;
mod metrics;
pub mod openapi;
mod problem;
mod request;
mod router;
mod serve;
mod tunnel;
mod watch;

pub use listen::Limits;
pub use serve::{Options, Server};
