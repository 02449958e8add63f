//! Where secret values come from, and how they are kept out of every output.

mod forms;
mod redactor;

pub use redactor::{Redacted, Redactor};
