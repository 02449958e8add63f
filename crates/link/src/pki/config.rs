//! TLS configurations.

use super::{Ca, Pin, ServerIdentity, certificates, pin::PinnedVerifier, private_key};
use base::{Code, Error, Result, Secret};
use rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};

/// HTTP/2 of the API.
pub const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 of the API.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";
/// The link.
pub const ALPN_LINK: &[u8] = b"hostler-link/1";

/// The two faces of the controller's port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    api: Arc<ServerConfig>,
    link: Arc<ServerConfig>,
}

impl ServerTls {
    /// The configuration for what the client offered: whoever offers the link gets the one that demands a worker's
    /// certificate, all others the API's, which never asks for one.
    pub(crate) fn choose<'a>(&self, mut offered: impl Iterator<Item = &'a [u8]>) -> Arc<ServerConfig> {
        if offered.any(|protocol| protocol == ALPN_LINK) { self.link.clone() } else { self.api.clone() }
    }
}

/// The controller's side of its one port.
pub fn server_tls(ca: &Ca, server: &ServerIdentity) -> Result<ServerTls> {
    let chain = certificates(&server.chain_pem)?;
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().clone()).map_err(|e| failed(&e))?;
    let workers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| Error::internal("cannot set up the check of worker certificates").because(e))?;

    let mut api = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| failed(&e))?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), private_key(&server.key_pem)?)
        .map_err(|e| failed(&e))?;
    api.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];

    let mut link = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| failed(&e))?
        .with_client_cert_verifier(workers)
        .with_single_cert(chain, private_key(&server.key_pem)?)
        .map_err(|e| failed(&e))?;
    link.alpn_protocols = vec![ALPN_LINK.to_vec()];
    // A resumed session would not look at the worker's certificate again.
    link.session_storage = Arc::new(NoServerSessionStorage {});
    link.send_tls13_tickets = 0;
    Ok(ServerTls { api: Arc::new(api), link: Arc::new(link) })
}

/// For clients of the API that know the CA only by its pin: a worker that joins.
pub fn client_tls_pinned(ca_pin: Pin) -> Result<ClientConfig> {
    let verifier = Arc::new(PinnedVerifier::new(ca_pin, provider()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| failed(&e))?
        .dangerous() // rustls' word for any verifier of one's own; this one leaves no check out
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(config)
}

/// For clients of the API that have the CA's certificate.
pub fn client_tls_ca(ca_pem: &str) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(config)
}

/// For a worker's link: its certificate and key, and the CA that it joined.
pub fn client_tls_worker(ca_pem: &str, certificate_pem: &str, key_pem: &Secret) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots(ca_pem)?)
        .with_client_auth_cert(certificates(certificate_pem)?, private_key(key_pem)?)
        .map_err(|e| failed(&e))?;
    config.alpn_protocols = vec![ALPN_LINK.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A failed TLS connection to `address` in words that say what to do.
pub fn explain_tls(address: &str, error: &io::Error) -> Error {
    use rustls::{AlertDescription as A, CertificateError as C, Error as E};
    let refused = |what: &str| Error::new(Code::Unauthenticated, format!("{address} {what}")).because(error);
    match error.get_ref().and_then(|e| e.downcast_ref::<E>()) {
        Some(E::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => refused(
            "has a certificate of another CA",
        )
        .hint("check the address; a controller that was set up anew needs a new context or join token"),
        Some(E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. })) => {
            refused("has a certificate for other names")
                .hint("use a name of the certificate, or start the controller with --tls-name for this one")
        }
        Some(E::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        )) => refused("has a certificate that is not valid now").hint("check the clocks of both machines"),
        Some(E::InvalidCertificate(_)) => refused("has a certificate that is not valid for this"),
        Some(E::AlertReceived(
            A::CertificateRequired
            | A::UnknownCA
            | A::BadCertificate
            | A::CertificateUnknown
            | A::DecryptError,
        )) => refused("does not accept our certificate").hint("join again with a new join token"),
        Some(E::InvalidMessage(_)) => {
            Error::unavailable(format!("{address} does not speak TLS")).because(error).hint("check the port")
        }
        _ => Error::io(format_args!("connect to {address}"), error),
    }
}

fn roots(ca_pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem)? {
        roots.add(certificate).map_err(|e| failed(&e))?;
    }
    Ok(roots)
}

/// AES-128 comes first: it is a third cheaper than AES-256 and no less safe in practice.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

fn failed(error: &rustls::Error) -> Error {
    Error::internal("cannot set up TLS").because(error)
}
