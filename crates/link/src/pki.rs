//! Certificates: the controller's CA, what it issues, join tokens, and the TLS configurations of every part.
//!
//! One provider for the whole tree: ring, named in each configuration and never taken from a process default.

mod ca;
mod config;
mod pin;
mod token;
mod worker;

pub use ca::{Ca, ServerIdentity, key_of_request};
pub use config::{
    ALPN_H2, ALPN_HTTP1, ALPN_LINK, ServerTls, client_tls_ca, client_tls_pinned, client_tls_worker,
    explain_tls, server_tls,
};
pub use pin::{Pin, pin_of};
pub use token::JoinToken;
pub use worker::{WorkerKey, worker_of};

use base::{Error, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// The certificates of a PEM text, at least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| Error::internal("a certificate is not valid PEM").because(e))?;
    if chain.is_empty() {
        return Err(Error::internal("a PEM text holds no certificate"));
    }
    Ok(chain)
}

/// The private key of a PEM text.
fn private_key(pem: &base::Secret) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes())
        .map_err(|e| Error::internal("a private key is not valid PEM").because(e))
}

#[cfg(test)]
mod tests;
