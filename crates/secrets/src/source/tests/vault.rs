//! Vault, played by a fake server: Debian has no package of the real one.

use super::*;
use link::pki::{Ca, ServerIdentity};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;
use testkit::fake_http::{FakeServer, Reply, Seen};
use tokio::net::{TcpListener, TcpStream};

fn answer(seen: &Seen) -> Reply {
    let errors = |words: &[&str]| json!({"errors": words});
    if seen.path == "/v1/auth/approle/login" {
        let right = seen.json() == json!({"role_id": "role", "secret_id": "s3cret-id"});
        let token = json!({"auth": {"client_token": "s3cret-token"}});
        let wrong = errors(&["invalid role or secret ID"]);
        return if right { Reply::Json(200, token) } else { Reply::Json(400, wrong) };
    }
    if seen.header("x-vault-token") != "s3cret-token" {
        return Reply::Json(403, errors(&["permission denied"]));
    }
    let fields = json!({"password": "s3cret-of-vault", "port": 5432});
    match seen.path.as_str() {
        "/v1/secret/data/app/db" => {
            Reply::Json(200, json!({"data": {"data": fields, "metadata": {"version": 3}}}))
        }
        "/v1/old/app/db" => Reply::Json(200, json!({"data": fields, "lease_duration": 1})),
        "/v1/secret/data/moved" => {
            Reply::Plain(307, vec![("location", "http://127.0.0.1:1/".into())], "".into())
        }
        "/v1/secret/data/sealed" => Reply::Json(503, errors(&["Vault is sealed"])),
        _ => Reply::Json(404, errors(&[])),
    }
}

#[tokio::test]
async fn vault_gives_the_fields_of_a_secret() {
    let server = FakeServer::start(answer).await.unwrap();
    let fleet =
        Fleet::new(&[("token", b"s3cret-token\n")]).env("TOKEN", "s3cret-wrong").env("ID", "s3cret-id");
    let source = |more: &str| format!("{{type: vault, url: '{}', {more}}}", server.url());
    let expected = Ok(json!({"password": "s3cret-of-vault", "port": 5432}));
    assert_eq!(fleet.read(&source("path: app/db, token_file: token")).await, expected);
    assert_eq!(fleet.read(&source("path: /app/db, mount: old/, kv: 1, token_file: token")).await, expected);
    let role = "path: app/db, namespace: team, approle: {role_id: role, secret_id_env: ID}";
    assert_eq!(fleet.read(&source(role)).await, expected);
    assert_eq!(server.seen().last().unwrap().header("x-vault-namespace"), "team");
    for (more, code) in [
        ("path: app/db, token_env: TOKEN", Code::Forbidden),
        ("path: app/db, approle: {role_id: other, secret_id_env: ID}", Code::Forbidden),
        ("path: app/other, token_file: token", Code::NotFound),
        ("path: app/db, kv: 1, token_file: token", Code::NotFound),
        ("path: app/db, mount: old, kv: 3, token_file: token", Code::Invalid),
        ("path: moved, token_file: token", Code::Unavailable),
        ("path: sealed, token_file: token", Code::Unavailable),
        ("path: app/db", Code::Invalid),
        ("path: app/db, token_file: token, approle: {role_id: role}", Code::Invalid),
    ] {
        assert_eq!(fleet.refused(&source(more)).await.code, code, "{more}");
    }
    let seen = server.paths();
    assert!(!seen.iter().any(|path| path.contains("s3cret")), "{seen:?}");
}

fn tls(identity: &ServerIdentity) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap()
}

#[tokio::test]
async fn vault_is_spoken_to_over_tls_with_its_own_ca() {
    let server = FakeServer::start(answer).await.unwrap();
    let behind = server.url().trim_start_matches("http://").to_owned();
    let (ca, other) = (Ca::generate().unwrap(), Ca::generate().unwrap());
    let identity = ca.issue_server(&["localhost".into()], None).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls(&identity)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _relay = rt::task::spawn("tls", async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One that does not trust us goes away; the next may.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut behind = TcpStream::connect(&behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
        }
    });
    let files: [(&str, &[u8]); 3] = [
        ("ca.pem", ca.certificate_pem().as_bytes()),
        ("other.pem", other.certificate_pem().as_bytes()),
        ("token", b"s3cret-token"),
    ];
    let fleet = Fleet::new(&files);
    let source = |more: &str| {
        format!("{{type: vault, url: 'https://localhost:{port}', path: app/db, token_file: token{more}}}")
    };
    let read = fleet.read(&source(", ca_file: ca.pem")).await.unwrap();
    assert_eq!(read["password"], "s3cret-of-vault");
    assert_eq!(fleet.refused(&source(", ca_file: other.pem")).await.code, Code::Unavailable);
    assert_eq!(fleet.refused(&source("")).await.code, Code::Unavailable);
    assert_eq!(fleet.refused(&source(", ca_file: token")).await.code, Code::Invalid);
    assert_eq!(server.seen().len(), 1, "the token went to nobody else");
}

#[tokio::test]
async fn vault_addresses_are_checked() {
    let fleet = Fleet::new(&[]).env("T", "s3cret");
    for url in
        ["http://vault.example:8200", "vault.example:8200", "https://u:p@vault.example", "ftp://localhost"]
    {
        let e = fleet.refused(&format!("{{type: vault, url: '{url}', path: x, token_env: T}}")).await;
        assert_eq!(e.code, Code::Invalid, "{url}");
    }
}
