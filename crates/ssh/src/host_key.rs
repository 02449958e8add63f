//! What the server may make us do: nothing but show its key and answer. The rest is refused here.

use crate::{
    HostKeyCheck,
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

/// The keys that may come; none means any.
pub(crate) struct Expected(Vec<PublicKey>);

impl Expected {
    pub(crate) fn new(check: &HostKeyCheck) -> Result<Self> {
        let HostKeyCheck::Pinned(lines) = check else { return Ok(Expected(Vec::new())) };
        if lines.is_empty() {
            return Err(Error::internal("no host key is pinned, so none could be accepted"));
        }
        let parse = |line: &String| {
            PublicKey::from_openssh(line)
                .map_err(|e| Error::new(Code::Invalid, format!("'{line}' is not a host key")).because(e))
        };
        Ok(Expected(lines.iter().map(parse).collect::<Result<_>>()?))
    }

    /// The types to ask for, the pinned ones first: a server with several keys shows the first it has. The others stay,
    /// so that a changed key is reported as such. RSA is left out, we cannot check its signatures.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        let known = |a: &Algorithm| self.0.iter().any(|k| k.algorithm() == *a);
        let all = russh::Preferred::DEFAULT.key;
        let (mut first, rest): (Vec<_>, Vec<_>) =
            all.iter().filter(|a| !matches!(a, Algorithm::Rsa { .. })).cloned().partition(known);
        first.extend(rest);
        first
    }

    fn check(&self, came: &PublicKey) -> Result<()> {
        if self.0.is_empty() || self.0.iter().any(|k| k.key_data() == came.key_data()) {
            return Ok(());
        }
        let show = |k: &PublicKey| format!("{} {}", k.algorithm().as_str(), fingerprint(k));
        let expected: Vec<String> = self.0.iter().map(show).collect();
        Err(Error::new(Code::Forbidden, "THE HOST KEY IS NOT THE ONE WE KNOW, so nothing was sent")
            .because(format!("expected {}, but {} came", expected.join(" or "), show(came)))
            .hint("another machine answers at this address, or the guest made itself a new key; do not go on before you know which"))
    }
}

/// Called by the protocol library from the task of the session. Dropped with it, which ends the connection for us.
pub(crate) struct Callbacks {
    pub(crate) expected: Expected,
    pub(crate) state: Arc<State>,
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.state.ended.cancel();
    }
}

impl Callbacks {
    /// A key of an "any" check is pinned by its first use: a rekey must not bring another one.
    fn accept(&self, came: &PublicKey) -> Result<()> {
        self.expected.check(came)?;
        let line = public_line(&PublicKey::new(came.key_data().clone(), ""))?;
        let line = line.trim_end().to_owned();
        if *self.state.host_key.get_or_init(|| line.clone()) == line {
            return Ok(());
        }
        Err(Error::new(Code::Forbidden, "the host key changed during the connection"))
    }
}

impl Handler for Callbacks {
    type Error = Failure;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        self.accept(&key.public_key()).map_err(Failure::Ours)?;
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
