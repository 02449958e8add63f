//! Checks and deployments.

mod again;
mod carry_out;
mod in_ruby;
mod job;
mod last;
mod node;
mod operator;
mod origin;
mod prepare;
mod schedule;
mod settings;
mod turn;
mod voice;

pub use again::{Again, RetryRule};
pub use job::{Deployment, Prepared, What};
pub use last::LastLogs;
pub use node::{LOOK_TIMEOUT, Mode, Playbook, Report, Request, run};
pub use operator::{Operator, Playbooks, Played, Task, TaskStatus};
pub use origin::{Policies, repository};
pub use prepare::{Fleet, Ready};
pub use schedule::{Day, Schedule};
pub use settings::Section;
pub use voice::Voice;

#[cfg(test)]
mod tests;
