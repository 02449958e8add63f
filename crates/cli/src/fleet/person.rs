//! The person in front of the terminal, for questions of SSH.

use crate::{app::App, terminal};
use base::Secret;
use futures::future::{BoxFuture, FutureExt};
use ssh::{Answers, Question};
use tokio::sync::Mutex;

/// Gives passphrases of keys, and is told of new host keys. Passwords are asked for once for all nodes, by flags, so that
/// servers are not asked for questions of theirs.
pub struct Person {
    app: App,
    /// One question at a time.
    turn: Mutex<()>,
}

impl Person {
    /// Asks where the program may.
    pub fn new(app: &App) -> Self {
        Person { app: app.clone(), turn: Mutex::default() }
    }
}

impl Answers for Person {
    fn answer(&self, question: Question) -> BoxFuture<'_, Option<Secret>> {
        async move {
            let Question::Passphrase { file, again } = question else { return None };
            let _turn = self.turn.lock().await;
            let words = if again { "that was not it; passphrase of" } else { "passphrase of" };
            let (app, words) = (self.app.clone(), format!("{words} {}: ", file.display()));
            let asking = move || terminal::password(&app, &words, "an SSH agent").ok();
            rt::task::blocking(asking).await.ok().flatten()
        }
        .boxed()
    }

    fn kept(&self, host: &str, fingerprint: &str) {
        self.app.printer.note(&format!("{host} is believed to be {fingerprint} from now on"));
    }

    fn is_there(&self) -> bool {
        false
    }
}
