//! The transport between worker and controller: certificates, mutual TLS, reversed HTTP/2, tunnels.
//!
//! The worker dials the controller's one port with ALPN `hostler-link/1`. Both sides prove who they are by certificates
//! of the controller's own CA ([`pki`]). After a short [`hello`] the roles are reversed: the worker is the HTTP/2
//! server ([`worker_side`]), the controller the client ([`controller_side`]):
//!
//! | Request | What it is |
//! |---|---|
//! | `PUT /assignments` | the full desired set of the worker; the answer says what the worker made of it |
//! | `GET /report` | endless lines of JSON: a snapshot, then deltas |
//! | `CONNECT /tunnels/{target}` | one tunnel (RFC 8441 with `:protocol` = `hostler-tunnel`) |
//!
//! A worker holds two such connections: `control`, and `bulk` for tunnels that move much data.

pub mod accept;
pub mod controller_side;
pub mod frame;
pub mod hello;
mod http2;
pub mod io;
pub mod pki;
mod relay;
mod tunnel;
mod wire;
pub mod worker_side;

pub use hello::{Hello, Role, Welcome};
pub use http2::KeepAlive;
pub use io::BoxedIo;
pub use relay::{into_tunnel, out_of_tunnel, relay};
pub use tunnel::{Class, TunnelReader, TunnelStream, TunnelWriter};
