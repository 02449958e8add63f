//! Logging in.

mod answers;
pub(crate) mod locked;
pub(crate) mod proof;

pub use answers::{Answers, Nobody, Question};

use crate::{Auth, connection::State, error, error::Failure, host_key::Callbacks};
use base::{Code, Error, Result, Secret};
use proof::{Offer, Pen, Proof};
use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Answer, Prompt},
    keys::HashAlg,
};
use std::{path::PathBuf, sync::Arc};

/// A server that asks more often than this will not be satisfied.
const MOST_QUESTIONS: usize = 5;
/// Servers hang up after so many attempts (`MaxAuthTries`).
const USUAL_TRIES: usize = 6;

/// One attempt.
#[derive(Clone)]
pub(crate) enum Step {
    Key(Proof),
    /// This password.
    Password(Secret),
    /// A password that somebody is asked for, so many times.
    AskPassword(u32),
    /// The server's questions, each answered with this password.
    Interactive(Secret),
    /// The server's questions, asked so many times.
    AskInteractive(u32),
}

impl Step {
    fn method(&self) -> MethodKind {
        match self {
            Step::Key(_) => MethodKind::PublicKey,
            Step::Password(_) | Step::AskPassword(_) => MethodKind::Password,
            Step::Interactive(_) | Step::AskInteractive(_) => MethodKind::KeyboardInteractive,
        }
    }

    fn name(&self) -> String {
        match self {
            Step::Key(proof) => proof.name(),
            other => <&str>::from(&other.method()).to_owned(),
        }
    }
}

/// Who logs in, and how.
pub(crate) struct Login {
    pub(crate) user: String,
    /// What people call the host.
    pub(crate) host: String,
    pub(crate) steps: Vec<Step>,
    /// Files that were to have a key and have none.
    pub(crate) keyless: Vec<PathBuf>,
    pub(crate) answers: Arc<dyn Answers>,
}

impl Login {
    /// What is tried is known, and nobody is asked.
    pub(crate) fn given(user: String, auth: &[Auth]) -> Self {
        let steps = auth.iter().flat_map(|auth| match auth {
            Auth::Key(key) => vec![Step::Key(Proof::of_key(key))],
            Auth::Password(p) => vec![Step::Password(p.clone()), Step::Interactive(p.clone())],
        });
        let (steps, keyless) = (steps.collect(), Vec::new());
        Login { user, host: "the server".into(), steps, keyless, answers: Arc::new(Nobody) }
    }
}

/// Tries each step until the server lets us in. A step that the server takes and wants more after (`partial success`)
/// is not tried again, but those that failed before are.
pub(crate) async fn login(handle: &mut Handle<Callbacks>, login: &Login, state: &State) -> Result<()> {
    let mut attempts = Attempts { handle, login, state, allowed: None, tried: Vec::new(), refused: None };
    let mut left: Vec<&Step> = login.steps.iter().collect();
    if !matches!(left.first(), Some(Step::Key(_))) && attempts.with_nothing().await? {
        return Ok(());
    }
    loop {
        match attempts.round(&left).await? {
            Round::In => return Ok(()),
            Round::More(taken) => _ = left.remove(taken),
            Round::Refused => return Err(attempts.refused()),
        }
    }
}

enum Round {
    In,
    /// This step was taken, and more is wanted.
    More(usize),
    Refused,
}

struct Attempts<'a> {
    handle: &'a mut Handle<Callbacks>,
    login: &'a Login,
    state: &'a State,
    /// What the server goes on with, once it said so.
    allowed: Option<MethodSet>,
    tried: Vec<String>,
    /// Why a key of ours was not used.
    refused: Option<Error>,
}

impl Attempts<'_> {
    async fn round(&mut self, steps: &[&Step]) -> Result<Round> {
        for (number, step) in steps.iter().enumerate() {
            if self.handle.is_closed() {
                break;
            }
            let method = step.method();
            if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&method)) {
                continue;
            }
            match self.attempt(step).await? {
                Some(AuthResult::Success) => return Ok(Round::In),
                Some(AuthResult::Failure { remaining_methods, partial_success }) => {
                    self.allowed = Some(remaining_methods);
                    if partial_success {
                        return Ok(Round::More(number));
                    }
                }
                None => {}
            }
        }
        Ok(Round::Refused)
    }

    /// Some servers want no proof, and all say what they would take.
    async fn with_nothing(&mut self) -> Result<bool> {
        let result = self.handle.authenticate_none(&self.login.user).await.map_err(|e| failed(&e))?;
        match result {
            AuthResult::Success => return Ok(true),
            AuthResult::Failure { remaining_methods, .. } => self.allowed = Some(remaining_methods),
        }
        Ok(false)
    }

    /// `None` where there was nothing to try with.
    async fn attempt(&mut self, step: &Step) -> Result<Option<AuthResult>> {
        match step {
            Step::Key(proof) => {
                self.tried.push(step.name());
                self.key(proof).await
            }
            Step::Password(password) => {
                self.tried.push(step.name());
                self.password(password).await.map(Some)
            }
            Step::Interactive(password) => {
                self.tried.push(step.name());
                self.interactive(Some(password)).await
            }
            Step::AskPassword(times) => self.ask_password(*times).await,
            Step::AskInteractive(times) => self.ask_interactive(*times).await,
        }
    }

    async fn key(&mut self, proof: &Proof) -> Result<Option<AuthResult>> {
        let user = self.login.user.clone();
        let hash = if proof.is_rsa() { self.rsa_hash(&proof.hashes).await? } else { None };
        let binding = self.handle.agent_session_binding().cloned();
        let mut pen = Pen { proof, binding, state: self.state };
        let result = match &proof.offer {
            Offer::Key(key) => {
                self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut pen).await
            }
            Offer::Certificate(certificate) => {
                let certificate = certificate.as_ref().clone();
                self.handle.authenticate_certificate_with(user, certificate, hash, &mut pen).await
            }
        };
        match result {
            Ok(result) => Ok(Some(result)),
            Err(Failure::Protocol(e)) => Err(failed(&e)),
            // The next one may do.
            Err(Failure::Ours(e)) => {
                self.refused.get_or_insert(e);
                Ok(None)
            }
        }
    }

    /// The hash for signatures of RSA keys that the server takes (RFC 8308); our best where it does not say.
    async fn rsa_hash(&self, ours: &[HashAlg]) -> Result<Option<HashAlg>> {
        let theirs = self.handle.best_supported_rsa_hash().await.map_err(|e| failed(&e))?;
        Ok(match theirs {
            Some(Some(hash)) if ours.contains(&hash) => Some(hash),
            _ => ours.first().copied(),
        })
    }

    async fn password(&mut self, password: &Secret) -> Result<AuthResult> {
        let trying = self.handle.authenticate_password(&self.login.user, password.expose_secret());
        trying.await.map_err(|e| failed(&e))
    }

    async fn ask_password(&mut self, times: u32) -> Result<Option<AuthResult>> {
        let mut last = None;
        for attempt in 0..times {
            let Login { user, host, answers, .. } = self.login;
            let question = Question::Password { user: user.clone(), host: host.clone(), again: attempt > 0 };
            let answer = {
                let _asking = self.state.asking();
                answers.answer(question).await
            };
            let Some(password) = answer else { break };
            self.tried.push("password".into());
            let result = self.password(&password).await?;
            let again = matches!(&result, AuthResult::Failure { remaining_methods, partial_success: false }
                if remaining_methods.contains(&MethodKind::Password));
            last = Some(result);
            if !again || self.handle.is_closed() {
                break;
            }
        }
        Ok(last)
    }

    async fn ask_interactive(&mut self, times: u32) -> Result<Option<AuthResult>> {
        let mut last = None;
        for _ in 0..times {
            self.tried.push("keyboard-interactive".into());
            let Some(result) = self.interactive(None).await? else { break };
            let again = matches!(&result, AuthResult::Failure { remaining_methods, partial_success: false }
                if remaining_methods.contains(&MethodKind::KeyboardInteractive));
            last = Some(result);
            if !again || self.handle.is_closed() {
                break;
            }
        }
        Ok(last)
    }

    /// Answers each question (RFC 4256): servers with PAM often ask for the password this way only. `None` where
    /// somebody gave no answer.
    async fn interactive(&mut self, password: Option<&Secret>) -> Result<Option<AuthResult>> {
        let user = &self.login.user;
        let started = self.handle.authenticate_keyboard_interactive_start(user, None).await;
        let mut answer = started.map_err(|e| failed(&e))?;
        for _ in 0..MOST_QUESTIONS {
            match answer {
                Answer::Success => return Ok(Some(AuthResult::Success)),
                Answer::Failure { remaining_methods, partial_success } => {
                    return Ok(Some(AuthResult::Failure { remaining_methods, partial_success }));
                }
                Answer::InfoRequest { prompts, .. } => {
                    let Some(words) = self.words(prompts, password).await else { return Ok(None) };
                    let sent = self.handle.authenticate_keyboard_interactive_respond(words).await;
                    answer = sent.map_err(|e| failed(&e))?;
                }
            }
        }
        Ok(Some(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false }))
    }

    async fn words(&self, prompts: Vec<Prompt>, password: Option<&Secret>) -> Option<Vec<String>> {
        let mut words = Vec::with_capacity(prompts.len());
        for Prompt { prompt, echo } in prompts {
            let Login { user, host, answers, .. } = self.login;
            let word = if let Some(password) = password {
                password.clone()
            } else {
                let _asking = self.state.asking();
                let (user, host) = (user.clone(), host.clone());
                answers.answer(Question::Prompt { user, host, text: prompt, echo }).await?
            };
            words.push(word.expose_secret().to_owned());
        }
        Some(words)
    }

    fn refused(&self) -> Error {
        let user = &self.login.user;
        let mut why = match self.tried.as_slice() {
            [] => "there is no key and no password to try".to_owned(),
            tried => format!("tried {}", tried.join(", ")),
        };
        let accepted: Vec<&str> = self.allowed.iter().flat_map(|m| m.iter()).map(Into::into).collect();
        if let Some(reason) = self.state.reason.get() {
            why = format!("{why}; {reason}");
        } else if accepted.is_empty() {
            why = format!("{why}; the server closed the connection");
        } else {
            why = format!("{why}; the server accepts {}", accepted.join(", "));
        }
        for file in &self.login.keyless {
            why = format!("{why}; there is no key in {}", file.display());
        }
        if let Some(e) = &self.refused {
            why = format!("{why}; {e}");
        }
        let greeting = self.state.greeting.lock();
        if !greeting.trim().is_empty() {
            why = format!("{why}; it says: {}", greeting.trim());
        }
        let hint = match self.refused.as_ref().and_then(|e| e.hint.as_deref()) {
            Some(hint) => hint,
            None if self.tried.len() >= USUAL_TRIES => {
                "the server hangs up after some attempts: offer one key only, with IdentityFile and IdentitiesOnly yes"
            }
            None => "check the user name, and that the node knows this key or password",
        };
        Error::new(Code::Unauthenticated, format!("the SSH server refused the login of '{user}'"))
            .because(why)
            .hint(hint)
    }
}

fn failed(e: &russh::Error) -> Error {
    error::protocol("the login over SSH failed", e)
}
