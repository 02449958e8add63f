//! Logging in.

use crate::{Auth, connection::State, error, host_key::Callbacks};
use base::{Code, Error, Result, Secret};
use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Answer},
    keys::{HashAlg, PrivateKeyWithHashAlg},
};

/// A server that asks more often than this will not be satisfied.
const MOST_QUESTIONS: usize = 5;

/// Tries each method in turn until the server lets us in.
pub(crate) async fn login(
    handle: &mut Handle<Callbacks>,
    user: &str,
    auth: &[Auth],
    state: &State,
) -> Result<()> {
    let failed = |e: russh::Error| error::protocol("the login over SSH failed", &e);
    let mut tried = Vec::new();
    let mut left = MethodSet::empty();
    if auth.is_empty() {
        tried.push("none".to_owned());
        match handle.authenticate_none(user).await.map_err(failed)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => left = remaining_methods,
        }
    }
    for method in auth {
        tried.push(name(method));
        match attempt(handle, user, method).await.map_err(failed)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => left = remaining_methods,
        }
        if handle.is_closed() {
            break;
        }
    }
    Err(refused(user, &tried, &left, state))
}

fn name(method: &Auth) -> String {
    match method {
        Auth::Key(key) => format!("publickey {}", key.fingerprint()),
        Auth::Password(_) => "password".into(),
    }
}

async fn attempt(
    handle: &mut Handle<Callbacks>,
    user: &str,
    method: &Auth,
) -> Result<AuthResult, russh::Error> {
    match method {
        Auth::Key(key) => {
            let hash = if key.is_rsa() { rsa_hash(handle).await? } else { None };
            handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key.private(), hash)).await
        }
        Auth::Password(password) => {
            let result = handle.authenticate_password(user, password.expose_secret()).await?;
            match &result {
                AuthResult::Failure { remaining_methods, .. }
                    if remaining_methods.contains(&MethodKind::KeyboardInteractive) =>
                {
                    answer_questions(handle, user, password).await
                }
                _ => Ok(result),
            }
        }
    }
}

/// The hash that the server takes in signatures of RSA keys (RFC 8308): SHA-512 where it does not say.
async fn rsa_hash(handle: &Handle<Callbacks>) -> Result<Option<HashAlg>, russh::Error> {
    Ok(handle.best_supported_rsa_hash().await?.unwrap_or(Some(HashAlg::Sha512)))
}

/// Answers each question with the password (RFC 4256): servers with PAM often ask for it this way only.
async fn answer_questions(
    handle: &mut Handle<Callbacks>,
    user: &str,
    password: &Secret,
) -> Result<AuthResult, russh::Error> {
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..MOST_QUESTIONS {
        match answer {
            Answer::Success => return Ok(AuthResult::Success),
            Answer::Failure { remaining_methods, partial_success } => {
                return Ok(AuthResult::Failure { remaining_methods, partial_success });
            }
            Answer::InfoRequest { prompts, .. } => {
                let words = prompts.iter().map(|_| password.expose_secret().to_owned()).collect();
                answer = handle.authenticate_keyboard_interactive_respond(words).await?;
            }
        }
    }
    Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false })
}

fn refused(user: &str, tried: &[String], left: &MethodSet, state: &State) -> Error {
    let mut why = format!("tried {}", tried.join(", "));
    let accepted: Vec<&str> = left.iter().map(Into::into).collect();
    if let Some(reason) = state.reason.get() {
        why = format!("{why}; {reason}");
    } else if accepted.is_empty() {
        why = format!("{why}; the server closed the connection");
    } else {
        why = format!("{why}; the server accepts {}", accepted.join(", "));
    }
    let greeting = state.greeting.lock();
    if !greeting.trim().is_empty() {
        why = format!("{why}; it says: {}", greeting.trim());
    }
    Error::new(Code::Unauthenticated, format!("the SSH server refused the login of '{user}'"))
        .because(why)
        .hint("check the user name, and that the guest knows this key or password")
}
