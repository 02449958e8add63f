//! From the protocol library's errors to ours.

use base::{Code, Error};

/// What ends a session: the protocol, or a decision of ours that is already an [`Error`].
#[derive(Debug)]
pub(crate) enum Failure {
    Protocol(russh::Error),
    Ours(Error),
}

impl From<russh::Error> for Failure {
    fn from(e: russh::Error) -> Self {
        Failure::Protocol(e)
    }
}

impl From<russh::SendError> for Failure {
    fn from(_: russh::SendError) -> Self {
        Failure::Protocol(russh::Error::SendError)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Ours(e)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Ours(e) => e,
            Failure::Protocol(e) => protocol("the SSH connection failed", &e),
        }
    }
}

/// An error of the protocol library, with our sentence in front.
pub(crate) fn protocol(what: &str, error: &russh::Error) -> Error {
    use russh::Error as E;
    let unavailable = Error::new(Code::Unavailable, what);
    match error {
        E::IO(e) if e.kind() == std::io::ErrorKind::TimedOut => Error::new(Code::Timeout, what).because(e),
        E::IO(e) if e.kind() == std::io::ErrorKind::NotFound => {
            unavailable.because(e).hint("correct it in the SSH configuration, or install what it names")
        }
        E::IO(e) => unavailable.because(e).hint("connect again"),
        E::KeepaliveTimeout | E::ConnectionTimeout | E::InactivityTimeout | E::Elapsed(_) => {
            Error::new(Code::Timeout, what).because("the server no longer answers")
        }
        E::HUP | E::Disconnect | E::SendError | E::RecvError => {
            unavailable.because("the connection was closed").hint("connect again")
        }
        E::NoCommonAlgo { kind, theirs, .. } => unavailable
            .because(format!("no common {kind:?} algorithm; the server offers {}", theirs.join(", ")))
            .hint("update the SSH server of this machine, or give it an ed25519 host key"),
        E::Version => unavailable.because("something else than an SSH server answers"),
        E::ChannelOpenFailure(reason) => unavailable
            .because(format!("the server opens no further session: {reason:?}"))
            .hint("use another connection; sshd allows MaxSessions (10) sessions on each"),
        other => unavailable.because(other),
    }
}
