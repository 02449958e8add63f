//! Trust in one CA by the digest of its public key, for a worker that has nothing but a join token.

use super::certificates;
use base::{Code, Error, Result};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr, sync::Arc};

/// SHA-256 of a public key (its SubjectPublicKeyInfo in DER), written as 64 hexadecimal digits: a CA's, or a worker's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// The pin of a CA from its certificate.
pub fn pin_of(certificate_pem: &str) -> Result<Pin> {
    of_certificate(&certificates(certificate_pem)?[0])
}

pub(super) fn of_spki(der: &[u8]) -> Pin {
    Pin(Sha256::digest(der).into())
}

pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Pin> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|e| Error::internal("a certificate cannot be read").because(e))?;
    Ok(of_spki(parsed.tbs_certificate.subject_pki.raw))
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(s, &mut bytes)
            .map_err(|e| Error::new(Code::Invalid, "a CA pin is 64 hexadecimal digits").because(e))?;
        Ok(Pin(bytes))
    }
}

/// Accepts a server whose chain ends in the pinned CA. Only the choice of the root is special: signatures, validity,
/// usage and the server's name are checked by rustls as for any other root.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl PinnedVerifier {
    pub(super) fn new(pin: Pin, provider: Arc<CryptoProvider>) -> Self {
        PinnedVerifier { pin, provider }
    }

    fn verifier_for(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root =
            chain.iter().find(|c| of_certificate(c).is_ok_and(|p| p == self.pin)).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| unknown())
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier_for(intermediates)?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
