//! The worker's side: it dials, and serves HTTP/2 on the connection it dialled.

mod dial;
mod serve;

pub use dial::{Dial, Event, connect, run};
pub use serve::{Handler, Offer, TunnelRequest, serve};
