//! Host keys that files know.

use super::{blob, describe};
use crate::{
    auth::{Answers, Question},
    connection::State,
    key::fingerprint,
    known_hosts::{Kind, Known, KnownHosts, host_name},
};
use base::{Code, Error, Result};
use russh::keys::{Algorithm, Certificate, PublicKey, PublicKeyOrCertificate, ssh_key::Fingerprint};
use std::sync::Arc;

/// What happens to a key that nobody knows.
#[derive(Clone)]
pub(crate) enum NewKeys {
    Refuse,
    Accept,
    Ask(Arc<dyn Answers>),
}

/// What decides about the key of one host.
pub(crate) struct KnownCheck {
    /// What people call it, in messages and to `node trust`.
    pub(crate) node: String,
    /// Its name in the files, in small letters and without its port: also what its certificates must name.
    pub(crate) name: String,
    /// Its port, where that is a part of its name.
    pub(crate) port: u16,
    /// Its address, as a name in the files, where that must be known with the same key (`CheckHostIP`).
    pub(crate) address: Option<String>,
    /// What the files say.
    pub(crate) book: KnownHosts,
    /// Keys that no host may show.
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) new_keys: NewKeys,
    /// Signature algorithms of authorities.
    pub(crate) authority_algorithms: Vec<String>,
}

impl KnownCheck {
    fn full_name(&self) -> String {
        host_name(&self.name, self.port)
    }

    /// The types of the keys that are known, and whether authorities are.
    pub(super) fn wanted(&self) -> (Vec<Algorithm>, bool) {
        let name = self.full_name();
        let mut types = Vec::new();
        let mut authorities = false;
        for known in self.book.of(&name).chain(self.without_port().filter(|k| k.kind == Kind::Key)) {
            match known.kind {
                Kind::Key => types.extend(known.key_type.parse::<Algorithm>()),
                Kind::Authority => authorities = true,
                Kind::Revoked => {}
            }
        }
        (types, authorities)
    }

    /// What is known of the host at its usual port counts too, where nothing speaks of this one.
    fn without_port(&self) -> impl Iterator<Item = Known<'_>> {
        (self.port != 22).then(|| self.book.of(&self.name)).into_iter().flatten()
    }

    /// Judges a key; the names under which it shall be known from now on.
    pub(super) async fn check(&self, came: &PublicKeyOrCertificate, state: &State) -> Result<Vec<String>> {
        let key = came.public_key();
        let name = self.full_name();
        let known: Vec<Known<'_>> = self.book.of(&name).collect();
        let bytes = blob(&key)?;
        self.refuse_revoked(&known, &bytes, came)?;
        if self.is_certified(&known, came)? {
            return Ok(Vec::new());
        }
        let mut new_names = self.check_address(&key, &bytes)?;
        if self.is_known(&known, &key, &bytes)? {
            return Ok(new_names);
        }
        self.take_new(&key, state).await?;
        new_names.insert(0, name);
        Ok(new_names)
    }

    fn is_known(&self, known: &[Known<'_>], key: &PublicKey, bytes: &[u8]) -> Result<bool> {
        let keys: Vec<&Known<'_>> = known.iter().filter(|k| k.kind == Kind::Key).collect();
        if keys.iter().any(|k| k.blob == bytes) {
            return Ok(true);
        }
        if !keys.is_empty() {
            return Err(self.changed(&keys, key));
        }
        Ok(self.without_port().any(|k| k.kind == Kind::Key && k.blob == bytes))
    }

    /// The name of the address, where it is not known yet.
    fn check_address(&self, key: &PublicKey, bytes: &[u8]) -> Result<Vec<String>> {
        let Some(address) = &self.address else { return Ok(Vec::new()) };
        let known: Vec<Known<'_>> = self.book.of(address).filter(|k| k.kind == Kind::Key).collect();
        if known.iter().any(|k| k.blob == bytes) {
            return Ok(Vec::new());
        }
        if !known.is_empty() {
            return Err(self.changed(&known.iter().collect::<Vec<_>>(), key));
        }
        Ok(vec![address.clone()])
    }

    async fn take_new(&self, key: &PublicKey, state: &State) -> Result<()> {
        let taken = match &self.new_keys {
            NewKeys::Refuse => false,
            NewKeys::Accept => true,
            NewKeys::Ask(answers) => {
                let _asking = state.asking();
                let question = Question::NewHostKey { host: self.node.clone(), key: describe(key) };
                let answer = answers.answer(question).await;
                answer.is_some_and(|a| [fingerprint(key).as_str(), "yes"].contains(&a.expose_secret().trim()))
            }
        };
        if taken { Ok(()) } else { Err(self.unknown(key)) }
    }

    fn refuse_revoked(&self, known: &[Known<'_>], key: &[u8], came: &PublicKeyOrCertificate) -> Result<()> {
        let signer = came.certificate().map(signer).transpose()?;
        let is = |bad: &[u8]| bad == key || Some(bad) == signer.as_deref();
        let line = known.iter().find(|k| k.kind == Kind::Revoked && is(k.blob)).map(Known::describe);
        let listed = || self.revoked.iter().any(|bad| is(bad)).then(|| "it is in RevokedHostKeys".to_owned());
        match line.or_else(listed) {
            None => Ok(()),
            Some(why) => Err(Error::new(
                Code::Forbidden,
                format!("THE HOST KEY OF {} IS REVOKED, so nothing was sent", self.node),
            )
            .because(why)
            .hint("do not use this machine before somebody gave it another key")),
        }
    }

    /// Whether an authority that is known vouches for the key. One that is not known does not count, and the key is
    /// judged by itself.
    fn is_certified(&self, known: &[Known<'_>], came: &PublicKeyOrCertificate) -> Result<bool> {
        let Some(certificate) = came.certificate() else { return Ok(false) };
        let signer = signer(certificate)?;
        let mut authorities = known.iter().filter(|k| k.kind == Kind::Authority);
        match authorities.find(|k| k.blob == signer) {
            Some(authority) => self.check_certificate(certificate, authority).map(|()| true),
            None => Ok(false),
        }
    }

    /// As PROTOCOL.certkeys of OpenSSH asks for.
    fn check_certificate(&self, certificate: &Certificate, authority: &Known<'_>) -> Result<()> {
        let refuse = |why: String| {
            Error::new(Code::Forbidden, format!("the host certificate of {} is not valid", self.node))
                .because(why)
                .hint("have the authority sign the host's key again: ssh-keygen -s CA -h -n NAME")
        };
        if !certificate.cert_type().is_host() {
            return Err(refuse("it is not a certificate for hosts".into()));
        }
        let principals = certificate.valid_principals();
        let named = |p: &String| crate::config::pattern::matches(&p.to_ascii_lowercase(), &self.name);
        if !principals.is_empty() && !principals.iter().any(named) {
            return Err(refuse(format!("it is for {}, not for {}", principals.join(", "), self.name)));
        }
        if let Some((option, _)) = certificate.critical_options().iter().next() {
            return Err(refuse(format!("it has the critical option {option}, which we do not know")));
        }
        let algorithm = certificate.signature().algorithm().to_string();
        if !self.authority_algorithms.contains(&algorithm) {
            return Err(refuse(format!("its authority signed with {algorithm}, which is not allowed")));
        }
        // Validity is a matter of the calendar, so this is one of the few decisions by the wall clock.
        let now = u64::try_from(rt::clock::wall().as_second()).unwrap_or(0);
        if !(certificate.valid_after()..certificate.valid_before()).contains(&now) {
            return Err(refuse("it is not valid now: it has expired, or is not valid yet".into()));
        }
        let authority = Fingerprint::Sha256(super::sha256(authority.blob));
        certificate
            .validate_at(now, [&authority])
            .map_err(|_| refuse("the signature of its authority is wrong".into()))
    }

    fn changed(&self, keys: &[&Known<'_>], came: &PublicKey) -> Error {
        let expected: Vec<String> = keys.iter().map(|k| k.describe()).collect();
        Error::new(Code::Forbidden, format!("THE HOST KEY OF {} HAS CHANGED, so nothing was sent", self.node))
            .because(format!("known is {}, but {} came", expected.join(" or "), describe(came)))
            .hint(format!(
                "if the machine was installed anew: hostler node trust {}; else find out who answers there",
                self.node
            ))
    }

    fn unknown(&self, came: &PublicKey) -> Error {
        Error::new(Code::Forbidden, format!("the host key of {} is not known", self.node))
            .because(format!("{} came, and no file knows {}", describe(came), self.full_name()))
            .hint(format!(
                "compare it with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: hostler node trust {0}; or take keys at first use: ssh: {{host_keys: first-use}} in hostler.yaml",
                self.node
            ))
    }
}

fn signer(certificate: &Certificate) -> Result<Vec<u8>> {
    blob(&PublicKey::from(certificate.signature_key().clone()))
}
