//! A private key that has a passphrase.

use super::{Answers, Question};
use crate::KeyPair;
use base::{Code, Error, Result, Secret};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Mutex;

/// How often a passphrase is asked for, as OpenSSH does.
const TRIES: usize = 3;

/// A private key that is opened when it is first needed, and asked for once, however many need it.
pub(crate) struct LockedKey {
    path: PathBuf,
    text: Secret,
    answers: Arc<dyn Answers>,
    /// What came of asking.
    opened: Mutex<Option<Result<KeyPair>>>,
}

impl LockedKey {
    pub(crate) fn new(path: PathBuf, text: Secret, answers: Arc<dyn Answers>) -> Self {
        LockedKey { path, text, answers, opened: Mutex::new(None) }
    }

    /// The key.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] where nobody knows the passphrase.
    pub(crate) async fn open(&self) -> Result<KeyPair> {
        let mut opened = self.opened.lock().await;
        match &*opened {
            Some(known) => known.clone(),
            None => opened.insert(self.ask().await).clone(),
        }
    }

    async fn ask(&self) -> Result<KeyPair> {
        for attempt in 0..TRIES {
            let question = Question::Passphrase { file: self.path.clone(), again: attempt > 0 };
            let Some(passphrase) = self.answers.answer(question).await else { break };
            let text = self.text.clone();
            // The key is made slow to open on purpose (bcrypt).
            let read = rt::task::blocking(move || KeyPair::from_encrypted(&text, &passphrase)).await?;
            match read {
                Ok(key) => return Ok(key),
                Err(e) => tracing::debug!(path = %self.path.display(), error = %e, "wrong passphrase"),
            }
        }
        Err(Error::new(Code::Unauthenticated, format!("the key {} stays closed", self.path.display()))
            .because("nobody gave its passphrase")
            .hint(format!("add it to the agent: ssh-add {}", self.path.display())))
    }
}
