//! Keys and certificates that are offered, and who signs for them.

use super::locked::LockedKey;
use crate::{KeyPair, connection::State, error::Failure, key::fingerprint};
use base::{Code, Error, Result};
use russh::{
    Signer,
    keys::{
        Certificate, HashAlg, PrivateKey, PublicKey,
        agent::{AgentIdentity, AgentSessionBinding, client::AgentClient},
        signature,
        ssh_encoding::Encode,
        ssh_key::{self, Algorithm, Signature, private::KeypairData},
    },
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long an agent may take: some ask a person.
const AGENT_PATIENCE: Duration = Duration::from_mins(1);

/// What the server is shown.
#[derive(Clone, Debug)]
pub(crate) enum Offer {
    Key(PublicKey),
    Certificate(Box<Certificate>),
}

impl Offer {
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Offer::Key(key) => key.algorithm(),
            Offer::Certificate(certificate) => certificate.algorithm(),
        }
    }

    /// The key, also that in a certificate.
    pub(crate) fn key(&self) -> PublicKey {
        match self {
            Offer::Key(key) => key.clone(),
            Offer::Certificate(certificate) => PublicKey::new(certificate.public_key().clone(), ""),
        }
    }
}

/// Who signs.
#[derive(Clone)]
pub(crate) enum Signing {
    Key(KeyPair),
    Locked(Arc<LockedKey>),
    /// The agent at this socket, which holds the plain key, or the certificate itself.
    Agent {
        socket: PathBuf,
        plain: bool,
    },
}

/// One way to prove who we are with a key.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) offer: Offer,
    pub(crate) signing: Signing,
    /// For RSA: the hashes that may be used, the best first.
    pub(crate) hashes: Vec<HashAlg>,
}

impl Proof {
    pub(crate) fn of_key(key: &KeyPair) -> Self {
        Proof {
            offer: Offer::Key(key.private().public_key().clone()),
            signing: Signing::Key(key.clone()),
            hashes: vec![HashAlg::Sha512, HashAlg::Sha256],
        }
    }

    pub(crate) fn is_rsa(&self) -> bool {
        matches!(self.offer.algorithm(), Algorithm::Rsa { .. })
    }

    /// As errors show it.
    pub(crate) fn name(&self) -> String {
        match &self.offer {
            Offer::Key(key) => format!("publickey {}", fingerprint(key)),
            Offer::Certificate(c) => {
                format!("certificate '{}' {}", c.key_id(), fingerprint(&self.offer.key()))
            }
        }
    }
}

/// Signs for the protocol library.
pub(super) struct Pen<'a> {
    pub(super) proof: &'a Proof,
    pub(super) binding: Option<AgentSessionBinding>,
    pub(super) state: &'a State,
}

impl Signer for Pen<'_> {
    type Error = Failure;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let signature = match &self.proof.signing {
            Signing::Key(key) => sign(&key.private(), hash, &data),
            Signing::Locked(key) => {
                let _asking = self.state.asking();
                sign(&key.open().await?.private(), hash, &data)
            }
            Signing::Agent { socket, plain } => {
                let _asking = self.state.asking();
                let key = if *plain { &AgentIdentity::from(self.proof.offer.key()) } else { identity };
                let signing = ask_agent(socket, self.binding.as_ref(), key, hash, data);
                return rt::clock::timeout(AGENT_PATIENCE, "the SSH agent", signing)
                    .await?
                    .map_err(Failure::Ours);
            }
        }?;
        let wrong = |e| Error::internal("cannot write a signature").because(e);
        let bytes = signature.encode_vec().map_err(wrong)?;
        bytes.encode(&mut data).map_err(wrong)?;
        Ok(data)
    }
}

fn sign(key: &PrivateKey, hash: Option<HashAlg>, data: &[u8]) -> Result<Signature> {
    let signed: Result<Signature, signature::Error> = match key.key_data() {
        KeypairData::Rsa(pair) => signature::Signer::try_sign(&(pair, hash), data),
        pair => signature::Signer::try_sign(pair, data),
    };
    signed.map_err(|e| Error::internal("cannot sign with a private key").because(e))
}

/// The data with the agent's signature behind it. Agents that know the connection can hold keys that are for some hosts
/// only.
async fn ask_agent(
    socket: &PathBuf,
    binding: Option<&AgentSessionBinding>,
    identity: &AgentIdentity,
    hash: Option<HashAlg>,
    data: Vec<u8>,
) -> Result<Vec<u8>> {
    let failed = |e: russh::keys::Error| {
        Error::new(Code::Unauthenticated, "the SSH agent did not sign")
            .because(e)
            .hint("look at its keys: ssh-add -l")
    };
    let mut agent = AgentClient::connect_uds(socket).await.map_err(failed)?;
    if let Some(binding) = binding
        && let Err(e) = agent.bind_session(binding, false).await
    {
        tracing::debug!(error = %e, "the agent does not bind to connections");
    }
    agent.sign_request(identity, hash, data).await.map_err(failed)
}

/// What an agent holds. An agent that cannot be reached holds nothing.
pub(crate) async fn agent_offers(socket: &PathBuf) -> Vec<Offer> {
    let listing = async {
        let mut agent = AgentClient::connect_uds(socket).await?;
        agent.request_identities().await
    };
    let listed = match rt::clock::timeout(AGENT_PATIENCE, "the SSH agent", listing).await {
        Ok(Ok(listed)) => listed,
        Ok(Err(e)) => {
            tracing::debug!(socket = %socket.display(), error = %e, "no keys from the SSH agent");
            Vec::new()
        }
        Err(e) => {
            tracing::warn!(socket = %socket.display(), error = %e, "the SSH agent does not answer");
            Vec::new()
        }
    };
    let offer = |identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Offer::Key(key),
        AgentIdentity::Certificate { certificate, .. } => Offer::Certificate(Box::new(certificate)),
    };
    listed.into_iter().map(offer).collect()
}

/// Whether two keys are the same, whatever their comments say.
pub(crate) fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// A certificate of a user, as one line.
pub(crate) fn user_certificate(text: &str) -> Option<Certificate> {
    let certificate = Certificate::from_openssh(text.trim()).ok()?;
    (certificate.cert_type() == ssh_key::certificate::CertType::User).then_some(certificate)
}
