//! Typed client of the API: HTTP, SSE, WebSocket.
//!
//! [`Client::call`] reaches every route of [`api::routes`]. [`kind::Kind`] gives get, list, create, change and delete of
//! all kinds of objects. [`watch::Watch`] follows changes and survives cuts. [`tcp::TcpStream`] and [`exec::Exec`] lead
//! into guests. [`wait`] ends on success, on failure, or in time.
//!
//! Requests that are safe to repeat are repeated when the connection fails or the server says 503: GET, PUT, DELETE and
//! PATCH by their nature, POST by its `Idempotency-Key`. The number of attempts and the time are bounded ([`Retry`]).

mod call;
mod error;
pub mod exec;
mod explain;
pub mod kind;
pub mod list;
pub mod log;
mod query;
mod socket;
mod sse;
mod target;
pub mod tcp;
pub mod upload;
pub mod wait;
pub mod watch;

pub use call::{Call, Raw};
pub use error::{Error, Result};
pub use kind::{Key, Kind};
pub use rustls::ClientConfig as TlsConfig;
pub use target::{Options, Retry};

use std::sync::Arc;

/// A connection to one controller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(pub(crate) Arc<target::Target>);

impl Client {
    /// Checks the options; connects with the first request.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] for a URL that is not `http(s)://host[:port]`, for `https` without a TLS configuration,
    /// and for plain HTTP to another host.
    pub fn new(options: Options) -> base::Result<Self> {
        Ok(Client(Arc::new(target::Target::new(options)?)))
    }

    /// Where it talks to, without a path.
    pub fn url(&self) -> &str {
        &self.0.url
    }
}
