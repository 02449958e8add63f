//! Our keys: which of them a host is offered, and in which order. Files are read once.

use crate::{
    KeyPair,
    auth::{
        Answers, Step,
        locked::LockedKey,
        proof::{Offer, Proof, Signing, agent_offers, same, user_certificate},
    },
    config::{Agent, HostConfig},
};
use base::{Error, Result, Secret};
use parking_lot::Mutex;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Signature algorithms of our keys that count where no configuration says (ssh_config(5),
/// `PubkeyAcceptedAlgorithms`).
const ACCEPTED: [&str; 16] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// What a file of a key holds.
#[derive(Clone, Default)]
struct Identity {
    /// The public half, where it is known without asking anybody.
    public: Option<PublicKey>,
    /// `None` where only an agent, or a device, can sign.
    signing: Option<Signing>,
    /// The certificate beside it, `FILE-cert.pub`.
    certificate: Option<Certificate>,
}

/// Keys by the file that they are in.
pub(super) struct Identities {
    answers: Arc<dyn Answers>,
    known: Mutex<HashMap<PathBuf, Identity>>,
}

impl Identities {
    pub(super) fn new(answers: Arc<dyn Answers>) -> Self {
        Identities { answers, known: Mutex::default() }
    }

    /// What a host is offered: certificates, then keys that both the agent and a file name, then the agent's others,
    /// then those that only files have (the order of OpenSSH).
    pub(super) async fn steps(&self, host: &HostConfig, agent: Option<&Path>) -> Result<Vec<Step>> {
        if !host.pubkey_authentication {
            return Ok(Vec::new());
        }
        let files: Vec<Identity> = host.identity_files.iter().map(|path| self.identity(path)).collect();
        let socket = match &host.identity_agent {
            Agent::Usual => agent.map(Path::to_owned),
            Agent::Nobody => None,
            Agent::Socket(path) => Some(path.clone()),
        };
        let held = match &socket {
            Some(socket) => agent_offers(socket).await,
            None => Vec::new(),
        };
        let certificates = certificates(host)?;
        let offers = order(&files, &held, socket.as_deref(), &certificates, host.identities_only);
        Ok(offers.into_iter().filter_map(|proof| accepted(proof, host)).map(Step::Key).collect())
    }

    /// Whether there is a key in this file, or beside it.
    pub(super) fn is_key(&self, path: &Path) -> bool {
        let identity = self.identity(path);
        identity.public.is_some() || identity.signing.is_some()
    }

    fn identity(&self, path: &Path) -> Identity {
        let mut known = self.known.lock();
        known.entry(path.to_owned()).or_insert_with(|| self.read(path)).clone()
    }

    fn read(&self, path: &Path) -> Identity {
        let mut identity = text(path).map_or_else(Identity::default, |text| self.understand(path, text));
        if identity.public.is_none() {
            identity.public = text_beside(path, ".pub").and_then(|line| PublicKey::from_openssh(&line).ok());
        }
        identity.certificate = text_beside(path, "-cert.pub").and_then(|line| user_certificate(&line));
        identity
    }

    fn understand(&self, path: &Path, text: String) -> Identity {
        // A public key may stand for the private one that an agent holds.
        if let Ok(public) = PublicKey::from_openssh(text.trim()) {
            return Identity { public: Some(public), ..Identity::default() };
        }
        let text = Secret::new(text);
        match KeyPair::from_openssh(&text) {
            Ok(key) => Identity {
                public: Some(key.private().public_key().clone()),
                signing: Some(Signing::Key(key)),
                certificate: None,
            },
            Err(e) if is_encrypted(&text) => {
                tracing::debug!(path = %path.display(), error = %e, "a key with a passphrase");
                let public = KeyPair::public_of_encrypted(&text);
                let locked = LockedKey::new(path.to_owned(), text, Arc::clone(&self.answers));
                Identity { public, signing: Some(Signing::Locked(Arc::new(locked))), certificate: None }
            }
            Err(e) => {
                tracing::warn!(path = %path.display(), error = %e, "a private key is not used");
                Identity::default()
            }
        }
    }
}

/// Each of the formats says so in its own way.
fn is_encrypted(text: &Secret) -> bool {
    let text_is = |words: &str| text.expose_secret().contains(words);
    text_is("ENCRYPTED") || KeyPair::public_of_encrypted(text).is_some()
}

/// What a file says. One of the usual names may be a directory, or somebody else's: that is no error.
fn text(path: &Path) -> Option<String> {
    let bytes = rt::files::read_optional(path).unwrap_or_else(|e| {
        tracing::debug!(path = %path.display(), error = %e, "a key cannot be read");
        None
    });
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn text_beside(path: &Path, ending: &str) -> Option<String> {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    text(Path::new(&name))
}

/// Those that the configuration names.
fn certificates(host: &HostConfig) -> Result<Vec<Certificate>> {
    let mut certificates = Vec::new();
    for path in &host.certificate_files {
        let Some(certificate) = text(path).as_deref().and_then(user_certificate) else {
            return Err(Error::invalid(
                path.display().to_string(),
                "this is not a certificate of a user, or does not exist",
            )
            .hint("make one: ssh-keygen -s CA -I NAME -n USER KEY.pub"));
        };
        certificates.push(certificate);
    }
    Ok(certificates)
}

fn order(
    files: &[Identity],
    held: &[Offer],
    socket: Option<&Path>,
    named: &[Certificate],
    only_files: bool,
) -> Vec<Proof> {
    let plain: Vec<PublicKey> = held.iter().filter(|o| matches!(o, Offer::Key(_))).map(Offer::key).collect();
    let agent = |plain| socket.map(|socket| Signing::Agent { socket: socket.to_owned(), plain });
    let in_agent = |key: &PublicKey| plain.iter().any(|held| same(held, key));
    let signer = |key: &PublicKey| {
        let own = files.iter().find(|f| f.public.as_ref().is_some_and(|p| same(p, key)));
        let agent = agent(true).filter(|_| in_agent(key));
        agent.or_else(|| own?.signing.clone())
    };
    let mut proofs: Vec<Proof> = Vec::new();
    let beside = files.iter().filter_map(|f| f.certificate.as_ref()).filter(|_| named.is_empty());
    for certificate in named.iter().chain(beside) {
        let offer = Offer::Certificate(Box::new(certificate.clone()));
        proofs.extend(signer(&offer.key()).map(|signing| proof(offer, signing)));
    }
    let in_files = |key: &PublicKey| files.iter().any(|f| f.public.as_ref().is_some_and(|p| same(p, key)));
    let (both, others): (Vec<&Offer>, Vec<&Offer>) = held.iter().partition(|offer| in_files(&offer.key()));
    let others = others.into_iter().filter(|_| !only_files);
    for offer in both.into_iter().chain(others) {
        let plain = matches!(offer, Offer::Key(_));
        proofs.extend(agent(plain).map(|agent| proof(offer.clone(), agent)));
    }
    for file in files {
        if let (Some(public), Some(signing)) = (&file.public, &file.signing)
            && !in_agent(public)
        {
            proofs.push(proof(Offer::Key(public.clone()), signing.clone()));
        }
    }
    proofs
}

fn proof(offer: Offer, signing: Signing) -> Proof {
    Proof { offer, signing, hashes: Vec::new() }
}

/// A proof whose signature the configuration allows.
fn accepted(mut proof: Proof, host: &HostConfig) -> Option<Proof> {
    let allowed = match &host.pubkey_accepted_algorithms {
        Some(list) => list.apply(&ACCEPTED, &ACCEPTED),
        None => ACCEPTED.to_vec(),
    };
    let is_allowed = |algorithm: Algorithm| {
        let name = match proof.offer {
            Offer::Key(_) => algorithm.to_string(),
            Offer::Certificate(_) => algorithm.to_certificate_type(),
        };
        allowed.contains(&name.as_str())
    };
    if !proof.is_rsa() {
        return is_allowed(proof.offer.algorithm()).then_some(proof);
    }
    let bits =
        proof.offer.key().key_data().rsa().map_or(0, russh::keys::ssh_key::public::RsaPublicKey::key_size);
    let hashes = [HashAlg::Sha512, HashAlg::Sha256];
    proof.hashes =
        hashes.into_iter().filter(|hash| is_allowed(Algorithm::Rsa { hash: Some(*hash) })).collect();
    (!proof.hashes.is_empty() && bits >= host.required_rsa_size).then_some(proof)
}
