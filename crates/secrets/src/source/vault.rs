//! A secret of HashiCorp Vault's key-value store, version 1 or 2 (the HTTP API `/v1/MOUNT/...`).

use crate::{Secrets, Surroundings, surroundings::LARGEST};
use base::{Code, Error, Result, Secret};
use reqwest::{Client, Method, StatusCode, Url, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One secret, whose fields become names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// The server, `https://vault.example:8200`. Plain http is for the own host alone.
    pub url: String,
    /// Where the key-value store is mounted.
    #[serde(default = "secret")]
    pub mount: String,
    /// The secret's path in it.
    pub path: String,
    /// The version of the key-value store, 1 or 2.
    #[serde(default = "two")]
    pub kv: u8,
    /// The namespace (Vault Enterprise).
    pub namespace: Option<String>,
    /// The certificate of the server's CA (PEM), where the system does not know it.
    pub ca_file: Option<PathBuf>,
    /// The variable with the token.
    pub token_env: Option<String>,
    /// The file with the token, such as `~/.vault-token`.
    pub token_file: Option<PathBuf>,
    /// Log in as an application, instead of with a token.
    pub approle: Option<AppRole>,
    /// The name that its values go below.
    pub at: Option<String>,
}

/// The login of an application.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// Which one.
    pub role_id: String,
    /// The variable with its secret id.
    pub secret_id_env: Option<String>,
    /// The file with its secret id.
    pub secret_id_file: Option<PathBuf>,
    /// Where the login is mounted.
    #[serde(default = "approle")]
    pub mount: String,
}

fn secret() -> String {
    "secret".into()
}

fn approle() -> String {
    "approle".into()
}

fn two() -> u8 {
    2
}

impl Vault {
    pub(super) async fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let server = Server::new(self, surroundings)?;
        let token = self.token(&server, surroundings).await?;
        let (middle, pointer) = match self.kv {
            1 => ("", "/data"),
            2 => ("data/", "/data/data"),
            _ => return Err(Error::new(Code::Invalid, "kv is 1 or 2")),
        };
        let (mount, path) = (self.mount.trim_matches('/'), self.path.trim_matches('/'));
        let path = format!("{mount}/{middle}{path}");
        let mut answer = server.call(Method::GET, &path, Some(&token), None).await?;
        let data = answer.pointer_mut(pointer).map(Value::take);
        let fields: Option<BTreeMap<String, Value>> = data.and_then(|d| serde_json::from_value(d).ok());
        let fields = fields.ok_or_else(|| {
            Error::new(Code::Invalid, format!("the answer for {path} is not that of a key-value store"))
                .hint("check kv: 1 or kv: 2, the mount and the path")
        })?;
        Ok(Secrets::new(name, fields))
    }

    async fn token(&self, server: &Server, surroundings: &Surroundings) -> Result<Secret> {
        let (variable, file) = (self.token_env.as_deref(), self.token_file.as_deref());
        match (surroundings.secret("token", variable, file)?, &self.approle) {
            (Some(token), None) => Ok(token),
            (None, Some(role)) => role.log_in(server, surroundings).await,
            _ => Err(Error::new(Code::Invalid, "one way to log in is needed").hint(
                "give token_file: FILE, token_env: NAME or approle: {role_id: ID, secret_id_file: FILE}",
            )),
        }
    }
}

impl AppRole {
    async fn log_in(&self, server: &Server, surroundings: &Surroundings) -> Result<Secret> {
        let (variable, file) = (self.secret_id_env.as_deref(), self.secret_id_file.as_deref());
        let mut body = json!({"role_id": self.role_id});
        if let Some(secret_id) = surroundings.secret("secret id", variable, file)? {
            body["secret_id"] = secret_id.expose_secret().into();
        }
        let path = format!("auth/{}/login", self.mount.trim_matches('/'));
        let answer = server.call(Method::POST, &path, None, Some(body)).await?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        token.map(Secret::new).ok_or_else(|| Error::new(Code::Invalid, "the login gave no token"))
    }
}

struct Server {
    http: Client,
    url: Url,
    namespace: Option<String>,
}

impl Server {
    fn new(vault: &Vault, surroundings: &Surroundings) -> Result<Self> {
        let url = address(&vault.url)?;
        let ca = vault.ca_file.as_ref().map(|file| surroundings.read(file)).transpose()?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls(ca.as_deref())?)
            .no_proxy() // the environment is read by the program, never by a library
            .redirect(Policy::none()) // the token goes where it was sent, and nowhere else
            .connect_timeout(Duration::from_secs(10))
            .timeout(PATIENCE)
            .build()
            .map_err(|e| Error::internal("cannot set up the HTTP client").because(e))?;
        Ok(Server { http, url, namespace: vault.namespace.clone() })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<Value>,
    ) -> Result<Value> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/v1/{path}", self.url.path().trim_end_matches('/')));
        let mut request = self.http.request(method, url).header("X-Vault-Request", "true");
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token.expose_secret());
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > LARGEST {
                return Err(Error::new(
                    Code::TooLarge,
                    format!("the answer for {path} is larger than 1 MiB"),
                ));
            }
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { Err(refusal(status, path, &answer)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Error::unavailable(format!("Vault at {} cannot be reached", self.url)).because(cause)
    }
}

/// What the server says (`errors` holds sentences, never values).
fn refusal(status: StatusCode, path: &str, answer: &Value) -> Error {
    let said: Vec<&str> =
        answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (code, message, hint) = match status.as_u16() {
        400 | 403 => (
            Code::Forbidden,
            format!("Vault does not allow {path}"),
            "check that the token is valid and that its policy allows to read this path",
        ),
        404 => (
            Code::NotFound,
            format!("Vault has nothing at {path}"),
            "check kv: 1 or kv: 2, the mount and the path",
        ),
        300..400 => (
            Code::Unavailable,
            "Vault sends to another server".into(),
            "give the url of the active server: tokens are not sent on",
        ),
        503 => (Code::Unavailable, "Vault is sealed".into(), "unseal it, then try again"),
        other => (Code::Unavailable, format!("Vault answered {other} for {path}"), "see Vault's own log"),
    };
    let error = Error::new(code, message).hint(hint);
    if said.is_empty() { error } else { error.because(said.join("; ")) }
}

fn address(text: &str) -> Result<Url> {
    let wrong =
        |why: &str| Error::new(Code::Invalid, format!("'{text}' is not the address of a Vault")).because(why);
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    match url.scheme() {
        _ if host.is_empty() || !url.username().is_empty() || url.query().is_some() => {
            Err(wrong("write it as https://host:8200"))
        }
        "https" => Ok(url),
        "http" if host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) => Ok(url),
        "http" => Err(wrong("the token would go in plain sight")
            .hint("use https://; plain http is for the own host alone")),
        _ => Err(wrong("write it as https://host:8200")),
    }
}

/// Trusts this CA alone, else those that the system trusts.
fn tls(ca: Option<&[u8]>) -> Result<ClientConfig> {
    let failed = |e: &dyn std::fmt::Display| Error::internal("cannot set up TLS").because(e);
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?;
    let Some(pem) = ca else {
        let builder = builder.with_platform_verifier().map_err(|e| failed(&e))?;
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |e: &dyn std::fmt::Display| {
        Error::new(Code::Invalid, "ca_file is not a certificate in PEM").because(e)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is none in it"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
