//! The controller's own certificate authority.

use super::{Pin, certificates, pin};
use base::{Error, Result, Secret, Uid};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
/// Clients of Apple refuse server certificates that live longer than 825 days.
const SERVER_LIFE: Duration = DAY.saturating_mul(800);
/// Long on purpose: workers do not rotate their certificates yet.
const WORKER_LIFE: Duration = DAY.saturating_mul(3650);
const CA_LIFE: Duration = DAY.saturating_mul(36500);

/// A certificate authority: it issues the controller's server certificate and the workers' client certificates.
pub struct Ca {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A server certificate with its key.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    /// The certificate, then the CA's: a worker that knows only the CA's [`Pin`] finds it here.
    pub chain_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: Secret,
}

impl Ca {
    /// A new authority with a key of its own (ECDSA P-256).
    pub fn generate() -> Result<Self> {
        let key = KeyPair::generate().map_err(|e| failed("make the CA's key", &e))?;
        let mut params = params(CA_LIFE);
        params.distinguished_name.push(DnType::CommonName, "Hostler CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(|e| failed("make the CA's certificate", &e))?;
        Ok(Ca {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// An authority from where it was kept. Fails where certificate and key do not belong together.
    pub fn load(certificate_pem: &str, key_pem: &Secret) -> Result<Self> {
        let key = key_pair(key_pem)?;
        let certificate = certificates(certificate_pem)?.remove(0);
        if pin::of_certificate(&certificate)? != pin::of_spki(&key.subject_public_key_info()) {
            return Err(Error::internal("the CA's certificate does not belong to the CA's key")
                .hint("restore both files from the same backup"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|e| failed("read the CA's certificate", &e))?;
        Ok(Ca { certificate_pem: certificate_pem.to_owned(), certificate, issuer })
    }

    /// The CA's certificate: public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA's private key (PKCS#8).
    pub fn key_pem(&self) -> Secret {
        Secret::new(self.issuer.key().serialize_pem())
    }

    /// The digest of the CA's public key, which join tokens carry.
    pub fn pin(&self) -> Pin {
        pin::of_spki(&self.issuer.key().subject_public_key_info())
    }

    /// A certificate for the controller's port, for these DNS names and IP addresses. Makes a new key where none is
    /// given. It is valid for 800 days and cheap to make: issue a new one at every start.
    pub fn issue_server(&self, names: &[String], key: Option<&Secret>) -> Result<ServerIdentity> {
        let key = match key {
            Some(pem) => key_pair(pem)?,
            None => KeyPair::generate().map_err(|e| failed("make the server's key", &e))?,
        };
        let mut params = params(SERVER_LIFE);
        params.subject_alt_names = names.iter().map(|n| server_name(n)).collect::<Result<_>>()?;
        params.distinguished_name.push(DnType::CommonName, "Hostler controller");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate =
            params.signed_by(&key, &self.issuer).map_err(|e| failed("issue the server's certificate", &e))?;
        Ok(ServerIdentity {
            chain_pem: certificate.pem() + &self.certificate_pem,
            key_pem: Secret::new(key.serialize_pem()),
        })
    }

    /// A client certificate for a worker's own key, as PEM. Only the public key is taken from the request (PKCS#10),
    /// after its signature was checked: a worker cannot ask for names or rights.
    ///
    /// Valid for ten years: rotation and revocation come later.
    pub fn issue_worker(&self, worker: Uid, csr_pem: &str) -> Result<String> {
        let request = read_request(csr_pem)?;
        let accepted = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        if !accepted.contains(&request.public_key.algorithm()) {
            return Err(Error::invalid("/csr", "this kind of key is not accepted")
                .hint("use an ECDSA key on P-256 or P-384, or Ed25519"));
        }
        let mut params = params(WORKER_LIFE);
        params.subject_alt_names = vec![SanType::URI(text(&super::worker::uri(worker))?)];
        params.distinguished_name.push(DnType::CommonName, format!("worker {worker}"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|e| failed("issue a worker's certificate", &e))?;
        Ok(certificate.pem())
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

/// The digest of the public key in a certificate request (PKCS#10), whose signature proves that the sender has the
/// private one.
pub fn key_of_request(csr_pem: &str) -> Result<Pin> {
    Ok(pin::of_spki(&read_request(csr_pem)?.public_key.subject_public_key_info()))
}

fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams> {
    CertificateSigningRequestParams::from_pem(csr_pem).map_err(|e| {
        Error::invalid("/csr", "this is not a certificate request signed by its own key").because(e)
    })
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ca({})", self.pin())
    }
}

/// What all our certificates share. Validity starts at a fixed day: a clock that was behind when a certificate was
/// made, or is behind where it is checked, does no harm.
fn params(life: Duration) -> CertificateParams {
    let mut serial = rt::ids::random_bytes::<16>();
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and always 16 bytes (RFC 5280, 4.1.2.2)
    let first_day = rcgen::date_time_ymd(2020, 1, 1);
    let this_release = rcgen::date_time_ymd(2026, 1, 1);
    let wall = u64::try_from(rt::clock::wall().as_second()).unwrap_or(0);
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(wall);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = first_day;
    params.not_after = now.max(this_release) + life;
    params
}

fn server_name(name: &str) -> Result<SanType> {
    if let Ok(ip) = name.parse() {
        return Ok(SanType::IpAddress(ip));
    }
    rustls::pki_types::DnsName::try_from(name).map_err(|_| {
        Error::new(base::Code::Invalid, format!("'{name}' is neither an IP address nor a DNS name"))
    })?;
    Ok(SanType::DnsName(text(name)?))
}

fn text(ascii: &str) -> Result<rcgen::string::Ia5String> {
    ascii.try_into().map_err(|e| failed("write a name into a certificate", &e))
}

pub(super) fn key_pair(pem: &Secret) -> Result<KeyPair> {
    KeyPair::from_pem(pem.expose_secret()).map_err(|e| failed("read a private key", &e))
}

pub(super) fn failed(doing: &str, error: &rcgen::Error) -> Error {
    Error::internal(format!("cannot {doing}")).because(error)
}
