//! Checks and deployments.

mod carry_out;
mod in_ruby;
mod node;
mod operator;
mod settings;
mod turn;
mod voice;

pub use node::{Mode, Report, Request, run};
pub use operator::{Operator, Playbooks};
pub use settings::Section;
pub use voice::Voice;

#[cfg(test)]
mod tests;
