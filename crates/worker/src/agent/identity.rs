//! Who this worker is: its key, its certificate, its controller. Made once by joining, kept in the state directory.

use super::{
    blobs::{refusal, unavailable},
    keeper::Keeper,
};
use api::{
    routes::RouteId,
    worker::{JoinAnswer, JoinRequest},
};
use base::{Code, Error, Name, Result, Secret, Uid};
use link::pki::{JoinToken, WorkerKey, pin_of};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FILE: &str = "identity.json";
const KEY: &str = "key.json";
const VERSION: u32 = 1;

/// A worker that has joined.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    version: u32,
    /// Its uid.
    pub uid: Uid,
    /// Its name.
    pub name: Name,
    /// The controller, e.g. `https://controller:6120`, without a slash at the end.
    pub url: String,
    /// The CA's certificate, PEM.
    pub ca: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: Secret,
    /// With this it fetches images.
    pub token: Secret,
    /// Raised at each start of the agent.
    #[serde(default)]
    pub starts: u64,
    /// The hash of the join token that was used.
    #[serde(default)]
    joined_with: String,
}

impl Identity {
    /// Who this worker was at its last start.
    pub fn load(keeper: &Keeper) -> Result<Option<Self>> {
        keeper.load(FILE, VERSION)
    }

    /// Keeps it.
    pub async fn save(&self, keeper: &Keeper) -> Result<()> {
        keeper.save(FILE, self).await
    }

    /// Whether it joined with this token.
    pub fn joined_with(&self, token: &JoinToken) -> bool {
        JoinToken::matches(&token.secret, &self.joined_with)
    }

    /// Whether the controller still knows this worker: anything but a clear no is a yes.
    pub async fn is_known(&self) -> bool {
        let Ok(client) = http_client(&self.url, || link::pki::client_tls_ca(&self.ca)) else { return true };
        let url = format!("{}{}", self.url, RouteId::WhoAmI.path(&[]));
        let asked = client.get(url).bearer_auth(self.token.expose_secret()).timeout(Duration::from_secs(10));
        !asked.send().await.is_ok_and(|r| r.status() == reqwest::StatusCode::UNAUTHORIZED)
    }

    /// `host:port` of the controller.
    pub fn address(&self) -> Result<String> {
        let url = parse(&self.url)?;
        let host = url.host_str().unwrap_or_default();
        Ok(format!("{host}:{}", url.port_or_known_default().unwrap_or(443)))
    }
}

/// Joins the controller at `url` with the text of a join token. The key is kept before it is used, so that a worker that
/// dies in between joins as the same one.
///
/// # Errors
/// [`Code::Unauthenticated`] for a token or a CA that is not the right one, [`Code::Unavailable`] where the controller
/// cannot be reached.
pub async fn join(keeper: &Keeper, url: &str, name: &Name, token: &Secret) -> Result<Identity> {
    let url = parse(url)?.as_str().trim_end_matches('/').to_owned();
    let invitation: JoinToken = token.expose_secret().parse()?;
    let key = key(keeper).await?;
    let client = http_client(&url, || link::pki::client_tls_pinned(invitation.ca_pin))?;
    let text = Secret::new(token.expose_secret().trim());
    let request = JoinRequest { token: text, name: name.clone(), csr: key.csr_pem.clone() };
    let response = client
        .post(format!("{url}{}", RouteId::Join.path(&[])))
        .timeout(Duration::from_secs(30))
        .json(&request)
        .send()
        .await
        .map_err(|e| {
            unavailable(&e).hint(format!("check that {url} is right and that the controller runs"))
        })?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let answer: JoinAnswer = response
        .json()
        .await
        .map_err(|e| Error::internal("the controller's answer is not understood").because(e))?;
    if pin_of(&answer.ca)? != invitation.ca_pin {
        return Err(Error::new(
            Code::Unauthenticated,
            "this controller has another CA than the join token names",
        )
        .hint("make a join token on this controller: hostler worker token create"));
    }
    rt::failpoint::pass("worker.joined");
    let before = Identity::load(keeper)?.map_or(0, |i| i.starts);
    let identity = Identity {
        version: VERSION,
        uid: answer.uid,
        name: name.clone(),
        url,
        ca: answer.ca,
        certificate: answer.certificate,
        key: key.key_pem,
        token: answer.token,
        starts: before,
        joined_with: invitation.hash(),
    };
    identity.save(keeper).await?;
    Ok(identity)
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    key: Secret,
}

/// The key of an attempt to join that did not come to its end, or a new one.
async fn key(keeper: &Keeper) -> Result<WorkerKey> {
    if let Some(kept) = keeper.load::<KeyFile>(KEY, VERSION)? {
        return WorkerKey::load(&kept.key);
    }
    let key = WorkerKey::generate()?;
    keeper.save(KEY, &KeyFile { version: VERSION, key: key.key_pem.clone() }).await?;
    Ok(key)
}

/// A client for this URL. Without TLS only the own host is spoken to.
pub fn http_client(url: &str, tls: impl FnOnce() -> Result<ClientConfig>) -> Result<reqwest::Client> {
    let parsed = parse(url)?;
    if parsed.scheme() == "http" && !is_loopback(&parsed) {
        return Err(
            Error::new(Code::Invalid, format!("{url} has no TLS")).hint("use https:// for other hosts")
        );
    }
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .connect_timeout(Duration::from_secs(10))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| Error::internal("cannot set up the HTTP client").because(e))
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn parse(url: &str) -> Result<reqwest::Url> {
    let wrong = |why: String| {
        Error::new(Code::Invalid, format!("'{url}' is not the URL of a controller"))
            .because(why)
            .hint("write it like https://controller.example:6120")
    };
    let parsed = reqwest::Url::parse(url).map_err(|e| wrong(e.to_string()))?;
    match (parsed.scheme(), parsed.host_str()) {
        ("http" | "https", Some(_)) => Ok(parsed),
        _ => Err(wrong("it needs http or https, and a host".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, address) in [
            ("https://c.example:6120", "c.example:6120"),
            ("http://127.0.0.1:80/", "127.0.0.1:80"),
            ("https://[::1]:7/", "[::1]:7"),
            ("https://c.example", "c.example:443"),
        ] {
            let parsed = parse(url).unwrap();
            let host = parsed.host_str().unwrap();
            assert_eq!(format!("{host}:{}", parsed.port_or_known_default().unwrap()), address);
        }
        for wrong in ["", "c.example:6120", "ftp://x", "https://"] {
            assert_eq!(parse(wrong).unwrap_err().code, Code::Invalid, "{wrong}");
        }
    }

    #[test]
    fn only_the_own_host_may_do_without_tls() {
        let tls = || link::pki::client_tls_pinned(pin());
        assert!(http_client("http://127.0.0.1:1", tls).is_ok());
        assert!(http_client("http://[::1]:1", tls).is_ok());
        assert!(http_client("https://10.0.0.1:1", tls).is_ok());
        assert_eq!(http_client("http://10.0.0.1:1", tls).unwrap_err().code, Code::Invalid);
    }

    fn pin() -> link::pki::Pin {
        "00".repeat(32).parse().unwrap()
    }
}
