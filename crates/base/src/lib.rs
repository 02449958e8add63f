//! Typed ids, names, units, secrets, revisions and diagnostics: the words every other crate speaks.
//!
//! Pure: no network, no file system, no clock.

mod error;
mod id;
mod revision;
mod secret;
mod units;

pub use error::{Code, Error, Result};
pub use id::{Name, NameError, Uid};
pub use revision::Revision;
pub use secret::Secret;
pub use units::{ByteSize, MIB};
mod schema;
