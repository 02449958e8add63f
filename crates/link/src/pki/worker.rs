//! A worker's identity: its key, and its uid in the certificate for that key.

use super::ca::{failed, key_pair};
use base::{Code, Error, Result, Secret, Uid};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

const URI_PREFIX: &str = "hostler:worker:";

/// A worker's private key and the request for a certificate (PKCS#10) signed by it.
#[derive(Clone, Debug)]
pub struct WorkerKey {
    /// The private key (PKCS#8). It never leaves the worker.
    pub key_pem: Secret,
    /// The request that goes to the controller.
    pub csr_pem: String,
}

impl WorkerKey {
    /// A new key (ECDSA P-256).
    pub fn generate() -> Result<Self> {
        KeyPair::generate()
            .map_err(|e| failed("make the worker's key", &e))
            .and_then(|key| Self::request(&key))
    }

    /// A new request for a key that was kept: joining again after a crash uses the same identity.
    pub fn load(key_pem: &Secret) -> Result<Self> {
        Self::request(&key_pair(key_pem)?)
    }

    fn request(key: &KeyPair) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new(); // the controller names the worker
        let csr = params.serialize_request(key).and_then(|r| r.pem());
        let csr_pem = csr.map_err(|e| failed("sign the worker's certificate request", &e))?;
        Ok(WorkerKey { key_pem: Secret::new(key.serialize_pem()), csr_pem })
    }
}

pub(super) fn uri(worker: Uid) -> String {
    format!("{URI_PREFIX}{worker}")
}

/// The uid in a worker's certificate. Whether the certificate is ours was checked by the handshake.
pub fn worker_of(certificate: &CertificateDer<'_>) -> Result<Uid> {
    let refused = || Error::new(Code::Unauthenticated, "the client certificate is not a worker's");
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|e| refused().because(e))?;
    let names = parsed.subject_alternative_name().map_err(|e| refused().because(e))?.ok_or_else(refused)?;
    let uri = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(URI_PREFIX),
        _ => None,
    });
    uri.ok_or_else(refused)?.parse()
}
