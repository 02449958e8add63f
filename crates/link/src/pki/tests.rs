use super::*;
use base::Secret;

#[test]
fn a_ca_survives_being_kept() {
    let ca = Ca::generate().unwrap();
    let again = Ca::load(ca.certificate_pem(), &ca.key_pem()).unwrap();
    assert_eq!(ca.pin(), again.pin());
    assert_eq!(ca.pin(), pin_of(ca.certificate_pem()).unwrap());
    let worker = rt::ids::uid();
    let pem = again.issue_worker(worker, &WorkerKey::generate().unwrap().csr_pem).unwrap();
    assert_eq!(worker_of(&certificates(&pem).unwrap()[0]).unwrap(), worker);
}

#[test]
fn a_key_of_another_ca_is_noticed() {
    let (a, b) = (Ca::generate().unwrap(), Ca::generate().unwrap());
    assert!(Ca::load(a.certificate_pem(), &b.key_pem()).is_err());
}

#[test]
fn a_forged_request_gets_no_certificate() {
    use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
    let ca = Ca::generate().unwrap();
    let csr = WorkerKey::generate().unwrap().csr_pem;
    let mut der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes()).unwrap().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1; // a bit of the signature
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", base64(&der));
    let refused = ca.issue_worker(rt::ids::uid(), &forged).unwrap_err();
    assert_eq!(refused.code, base::Code::Invalid);
    assert!(ca.issue_worker(rt::ids::uid(), "nonsense").is_err());
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |w, i| w << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]);
            text.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn server_names_are_checked() {
    let ca = Ca::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    assert!(ca.issue_server(&names, None).is_ok());
    assert_eq!(ca.issue_server(&["no such name".into()], None).unwrap_err().code, base::Code::Invalid);
}

#[test]
fn a_server_keeps_its_key_when_asked() {
    let ca = Ca::generate().unwrap();
    let first = ca.issue_server(&["localhost".into()], None).unwrap();
    let second = ca.issue_server(&["other".into()], Some(&first.key_pem)).unwrap();
    let pin = |identity: &ServerIdentity| pin_of(&identity.chain_pem).unwrap();
    assert_eq!(pin(&first), pin(&second));
}

#[test]
fn tokens_are_one_word_and_hide_their_secret() {
    let token = JoinToken::generate(Ca::generate().unwrap().pin());
    let word = token.expose_secret();
    assert_eq!(word.parse::<JoinToken>().unwrap(), token);
    assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    assert!(!format!("{token} {token:?}").contains(token.secret.expose_secret()));
    assert!(JoinToken::matches(&token.secret, &token.hash()));
    assert!(!JoinToken::matches(&Secret::new("x"), &token.hash()));
    assert!(!JoinToken::matches(&token.secret, &token.hash()[1..]));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_token_or_an_error(text in ".*", cut in 0usize..150) {
        let _ = text.parse::<JoinToken>();
        let word = JoinToken::generate("0".repeat(64).parse().unwrap()).expose_secret();
        let short = &word[..cut.min(word.len())];
        proptest::prop_assert_eq!(short.parse::<JoinToken>().is_ok(), short.len() == word.len());
    }
}
