//! What the session's task tells us, and what is asked meanwhile.

use base::{Error, Result};
use parking_lot::Mutex;
use rt::task::CancellationToken;
use russh::ChannelId;
use std::{
    collections::HashMap,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a server may take to hang up.
pub(super) const PARTING: Duration = Duration::from_secs(2);

/// What is known of a connection, from its first byte on.
#[derive(Default)]
pub(crate) struct State {
    /// The key that came, also where it was refused.
    pub(crate) host_key_shown: OnceLock<String>,
    /// The key that was accepted.
    pub(crate) host_key: OnceLock<String>,
    /// Names under which the key was not known and shall be.
    pub(crate) new_names: OnceLock<Vec<String>>,
    /// Whether the server hung up before it said anything: it may be busy with others.
    pub(crate) dropped: AtomicBool,
    /// Why the session ended.
    pub(crate) reason: OnceLock<String>,
    /// What the server shows before a login.
    pub(crate) greeting: Mutex<String>,
    pub(crate) ended: CancellationToken,
    /// Questions that somebody is being asked.
    questions: AtomicUsize,
    /// Whether somebody answered since we last looked.
    answered: AtomicBool,
    channels: Mutex<HashMap<ChannelId, CancellationToken>>,
}

impl State {
    /// A token that is cancelled when the server closes this channel. Made by whoever asks first.
    pub(crate) fn channel_closed(&self, id: ChannelId) -> CancellationToken {
        self.channels.lock().entry(id).or_default().clone()
    }

    pub(crate) fn forget_channel(&self, id: ChannelId) {
        self.channels.lock().remove(&id);
    }

    /// Somebody is asked something, until this is dropped.
    pub(crate) fn asking(&self) -> Asking<'_> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Asking(self)
    }

    /// Limits the time of a handshake, but not that which a person takes to answer.
    pub(super) async fn patiently<T>(
        &self,
        limit: Duration,
        handshake: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut handshake = std::pin::pin!(handshake);
        loop {
            let ended = rt::clock::timeout(limit, "the SSH handshake", &mut handshake).await;
            let asked = self.answered.swap(false, Ordering::Relaxed);
            match ended {
                Ok(result) => return result,
                Err(_) if asked || self.questions.load(Ordering::Relaxed) > 0 => {}
                Err(late) => return Err(late),
            }
        }
    }

    /// As [`Self::lost`], when the reason may be just about to be known.
    pub(crate) async fn lost_in_a_moment(&self) -> Error {
        let _ = rt::clock::timeout(PARTING, "the end of the connection", self.ended.cancelled()).await;
        self.lost()
    }

    /// The error for whoever still wants something of an ended connection.
    pub(crate) fn lost(&self) -> Error {
        let reason = self.reason.get().map_or("the connection was closed", String::as_str);
        Error::unavailable("the SSH connection was lost").because(reason).hint("connect again")
    }
}

/// An open question.
pub(crate) struct Asking<'a>(&'a State);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.answered.store(true, Ordering::Relaxed);
        self.0.questions.fetch_sub(1, Ordering::Relaxed);
    }
}
