//! The first words on a link, before HTTP/2: the worker says who it is, the controller welcomes or refuses it. Each is
//! one [`crate::frame`] of JSON. Unknown fields are ignored, so that either side may be newer.

use crate::frame::MAX_FRAME;
use base::{Code, Error, Result, Uid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of the link this release speaks. Additions are capabilities; only a break raises it.
pub const VERSION: u32 = 1;
/// The oldest version this release still speaks.
pub const OLDEST_VERSION: u32 = 1;

/// What a connection of a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Assignments, reports and tunnels that people type into.
    Control,
    /// Tunnels that move much data.
    Bulk,
}

/// The worker's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the link the worker speaks.
    pub version: u32,
    /// Name and version of the worker's software, for people.
    #[serde(default)]
    pub software: String,
    /// Who it is. Must be the uid in its certificate.
    pub worker: Uid,
    /// What this connection is for.
    pub role: Role,
    /// Raised at every start of the agent and kept on the worker's disk: a newer agent replaces an older one.
    pub generation: u64,
    /// Raised at every dial of this agent: a newer connection replaces an older one of the same generation.
    #[serde(default)]
    pub connection: u64,
    /// What it can do beyond the version.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

impl Hello {
    /// The words of an agent. The dialer fills in role and connection.
    pub fn new(worker: Uid, generation: u64) -> Self {
        Hello {
            version: VERSION,
            software: String::new(),
            worker,
            role: Role::Control,
            generation,
            connection: 0,
            capabilities: Vec::new(),
        }
    }

    /// Names the software.
    #[must_use]
    pub fn software(mut self, name: impl Into<String>) -> Self {
        self.software = name.into();
        self
    }

    /// Adds a capability.
    #[must_use]
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.push(name.into());
        self
    }

    /// Which of two connections of one worker and role is newer.
    pub(crate) fn order(&self) -> (u64, u64) {
        (self.generation, self.connection)
    }
}

/// The controller's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version of the link the controller speaks.
    pub version: u32,
    /// Name and version of the controller's software, for people.
    #[serde(default)]
    pub software: String,
    /// What it can do beyond the version.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Why the worker may not stay, where it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Error>,
}

impl Default for Welcome {
    fn default() -> Self {
        Welcome { version: VERSION, software: String::new(), capabilities: Vec::new(), refused: None }
    }
}

impl Welcome {
    /// A refusal.
    pub fn refuse(error: Error) -> Self {
        Welcome { refused: Some(error), ..Welcome::default() }
    }
}

/// Whether both sides understand each other.
pub(crate) fn check_version(who: &str, version: u32) -> Result<()> {
    if version >= OLDEST_VERSION {
        return Ok(()); // a newer peer knows whether it still speaks ours
    }
    Err(Error::new(Code::PreconditionFailed, format!("the {who} speaks version {version} of the link"))
        .because(format!("the oldest one that is still understood is {OLDEST_VERSION}"))
        .hint(format!("upgrade the {who}")))
}

pub(crate) async fn send<T: Serialize>(io: &mut (impl AsyncWrite + Unpin), words: &T) -> Result<()> {
    let json = serde_json::to_vec(words).map_err(|e| Error::internal("cannot write a hello").because(e))?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let frame = [&length.to_be_bytes()[..], &json].concat();
    let sent = async {
        io.write_all(&frame).await?;
        io.flush().await
    };
    sent.await.map_err(|e| Error::io("say hello on the link", &e))
}

/// Reads exactly one frame and nothing after it: that belongs to HTTP/2.
pub(crate) async fn receive<T: DeserializeOwned>(io: &mut (impl AsyncRead + Unpin)) -> Result<T> {
    let lost = |e: std::io::Error| Error::unavailable("the link ended before a hello").because(e);
    let length = io.read_u32().await.map_err(lost)? as usize;
    if length > MAX_FRAME {
        return Err(Error::new(Code::Invalid, format!("a hello of {length} bytes is too long")));
    }
    let mut json = vec![0; length];
    io.read_exact(&mut json).await.map_err(lost)?;
    serde_json::from_slice(&json)
        .map_err(|e| Error::new(Code::Invalid, "the hello on a link is not understood").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_peers_may_say_more() {
        let text = r#"{"version":7,"worker":"00000000-0000-7000-8000-000000000000","role":"bulk","generation":3,"new":1}"#;
        let hello: Hello = serde_json::from_str(text).unwrap();
        assert_eq!((hello.role, hello.order()), (Role::Bulk, (3, 0)));
        assert!(check_version("worker", hello.version).is_ok());
        assert!(check_version("worker", 0).unwrap_err().hint.is_some());
    }

    #[tokio::test]
    async fn nothing_after_the_hello_is_read() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Welcome::default()).await.unwrap();
        bytes.extend(b"PRI *");
        let mut rest = &bytes[..];
        assert_eq!(receive::<Welcome>(&mut rest).await.unwrap(), Welcome::default());
        assert_eq!(rest, b"PRI *");
    }
}
