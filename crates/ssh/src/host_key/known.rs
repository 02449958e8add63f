//! Host keys that files know.

use super::{Accepted, blob, describe};
use crate::known_hosts::{Kind, Known, KnownHosts, host_name};
use base::{Code, Error, Result};
use russh::keys::{Algorithm, Certificate, PublicKey, PublicKeyOrCertificate, ssh_key::Fingerprint};
use std::sync::Arc;

/// What decides about the key of one host.
pub(crate) struct KnownCheck {
    /// What people call it, in messages and to `node trust`.
    pub(crate) node: String,
    /// Its name in the files, in small letters and without its port: also what its certificates must name.
    pub(crate) name: String,
    /// Its port, where that is a part of its name.
    pub(crate) port: u16,
    /// What the files say.
    pub(crate) book: Arc<KnownHosts>,
    /// Whether a key that nobody knows is taken.
    pub(crate) accept_new: bool,
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

    pub(super) fn check(&self, came: &PublicKeyOrCertificate) -> Result<Accepted> {
        let key = came.public_key();
        let name = self.full_name();
        let known: Vec<Known<'_>> = self.book.of(&name).collect();
        let bytes = blob(&key)?;
        self.refuse_revoked(&known, &bytes, came)?;
        if let Some(certificate) = came.certificate() {
            let authorities = known.iter().filter(|k| k.kind == Kind::Authority);
            let signer = blob(&PublicKey::from(certificate.signature_key().clone()))?;
            if let Some(authority) = authorities.into_iter().find(|k| k.blob == signer) {
                self.check_certificate(certificate, authority)?;
                return Ok(Accepted::Known);
            }
        }
        let keys: Vec<&Known<'_>> = known.iter().filter(|k| k.kind == Kind::Key).collect();
        if keys.iter().any(|k| k.blob == bytes) {
            return Ok(Accepted::Known);
        }
        if !keys.is_empty() {
            return Err(self.changed(&keys, &key));
        }
        if self.without_port().any(|k| k.kind == Kind::Key && k.blob == bytes) {
            return Ok(Accepted::Known);
        }
        if self.accept_new { Ok(Accepted::New) } else { Err(self.unknown(&key)) }
    }

    fn refuse_revoked(&self, known: &[Known<'_>], key: &[u8], came: &PublicKeyOrCertificate) -> Result<()> {
        let signer = match came.certificate() {
            Some(c) => Some(blob(&PublicKey::from(c.signature_key().clone()))?),
            None => None,
        };
        let is =
            |k: &&Known<'_>| k.kind == Kind::Revoked && (k.blob == key || Some(k.blob) == signer.as_deref());
        match known.iter().find(is) {
            None => Ok(()),
            Some(revoked) => Err(Error::new(
                Code::Forbidden,
                format!("THE HOST KEY OF {} IS REVOKED, so nothing was sent", self.node),
            )
            .because(format!("{} is marked as revoked", revoked.describe()))
            .hint("do not use this machine before somebody gave it another key")),
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
                "compare it with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: hostler node trust {0}; or take keys at first use: host_keys: first-use",
                self.node
            ))
    }
}
