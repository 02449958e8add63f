//! What the server may make us do: nothing but show its key and answer. The rest is refused here.

use crate::{
    connection::State,
    error::Failure,
    key::{fingerprint, public_line},
};
use base::{Code, Error, Result};
use russh::{
    Channel, ChannelId,
    client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session},
    keys::{Algorithm, PublicKey, PublicKeyOrCertificate},
};
use std::sync::Arc;

mod known;
mod pinned;

pub(crate) use known::{KnownCheck, NewKeys};
pub(crate) use pinned::Pinned;

/// How a key is judged.
pub(crate) enum Checker {
    /// By what was given.
    Pinned(Pinned),
    /// By files.
    Known(Box<KnownCheck>),
}

impl Checker {
    /// The types of keys to ask for, out of `allowed`: those that are known first, since a server with several keys
    /// shows the first that we name. The others stay, so that a changed key is reported as such. And those for which a
    /// certificate is asked for too.
    pub(crate) fn algorithms(&self, allowed: &[Algorithm]) -> (Vec<Algorithm>, Vec<Algorithm>) {
        let (wanted, authorities) = match self {
            Checker::Pinned(pinned) => (pinned.algorithms(), false),
            Checker::Known(known) => known.wanted(),
        };
        let is_rsa = |a: &Algorithm| matches!(a, Algorithm::Rsa { .. });
        let is_wanted = |a: &Algorithm| wanted.iter().any(|w| w == a || (is_rsa(w) && is_rsa(a)));
        let (mut first, rest): (Vec<_>, Vec<_>) = allowed.iter().cloned().partition(is_wanted);
        first.extend(rest);
        let certificates = if authorities { first.clone() } else { Vec::new() };
        (first, certificates)
    }

    /// Judges a key; the names under which it shall be known from now on.
    async fn check(&self, came: &PublicKeyOrCertificate, state: &State) -> Result<Vec<String>> {
        match self {
            Checker::Pinned(pinned) => pinned.check(&came.public_key()).map(|()| Vec::new()),
            Checker::Known(known) => known.check(came, state).await,
        }
    }
}

/// `ssh-ed25519 SHA256:...`
fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), fingerprint(key))
}

/// The key as it travels.
fn blob(key: &PublicKey) -> Result<Vec<u8>> {
    key.to_bytes().map_err(|e| Error::internal("cannot write a public key").because(e))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// Called by the protocol library from the task of the session. Dropped with it, which ends the connection for us.
pub(crate) struct Callbacks {
    pub(crate) checker: Checker,
    pub(crate) state: Arc<State>,
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.state.ended.cancel();
    }
}

impl Callbacks {
    /// A key that was accepted is pinned from then on: a rekey must not bring another one.
    async fn accept(&self, came: &PublicKeyOrCertificate) -> Result<()> {
        let key = came.public_key();
        let line = public_line(&PublicKey::new(key.key_data().clone(), ""))?;
        let line = line.trim_end().to_owned();
        if let Some(pinned) = self.state.host_key.get() {
            return if *pinned == line { Ok(()) } else { Err(exchanged()) };
        }
        let _ = self.state.host_key_shown.set(line.clone());
        let names = self.checker.check(came, &self.state).await?;
        let _ = self.state.new_names.set(names);
        let _ = self.state.host_key.set(line);
        Ok(())
    }
}

fn exchanged() -> Error {
    Error::new(Code::Forbidden, "the host key changed during the connection")
}

impl Handler for Callbacks {
    type Error = Failure;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        self.accept(key).await?;
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Failure> {
        *self.state.greeting.lock() = banner.chars().take(1000).collect();
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Failure> {
        self.state.channel_closed(id).cancel();
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        let text = match reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the server said: {}", info.message),
            DisconnectReason::Error(e) => Error::from(e).cause.unwrap_or_default(),
        };
        tracing::debug!(reason = text, "SSH connection ended");
        let _ = self.state.reason.set(text);
        Ok(())
    }

    // We forward nothing, so a server has no reason to open channels. The library's default is to accept them; a
    // dropped handle refuses.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        Ok(())
    }
}
