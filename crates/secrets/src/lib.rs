//! Where secret values come from, and how they are kept out of every output.
//!
//! A fleet directory declares [`Source`]s. [`Lazy`] reads them when somebody first needs one, and merges them into
//! [`Secrets`]. A [`Redactor`] hides their values in whatever is shown.

mod forms;
mod lazy;
mod redactor;
mod secrets;
mod source;
mod surroundings;
mod text;

pub use lazy::Lazy;
pub use redactor::{Redacted, Redactor};
pub use secrets::{Listed, Secrets};
pub use source::{
    Source, age::Age, command::Command, credential::Credential, env::Env, file::File, keepass::Keepass, vault,
};
pub use surroundings::{Credentials, Surroundings};
