//! An open way to where something is run, and as whom.

use crate::session::{Become, Command, Output, Session};
use base::Result;

/// An open way, and as whom.
pub struct Way {
    pub session: Session,
    pub user: Option<Become>,
}

impl Way {
    /// As [`Session::output`].
    pub async fn output(&self, command: Command, most: usize) -> Result<Output> {
        self.session.output(Command { r#become: self.user.clone(), ..command }, most).await
    }
}
