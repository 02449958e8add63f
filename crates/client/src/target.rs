//! Where requests go, and how.

use base::{Code, Error, Result, Secret};
use reqwest::Url;
use rustls::ClientConfig;
use std::{net::IpAddr, sync::Arc, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server sends something at least every 10 s on every stream of ours.
pub(crate) const SILENCE: Duration = Duration::from_mins(1);

/// How often, and for how long, a request that is safe to repeat is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Most attempts, the first included.
    pub attempts: u32,
    /// No attempt starts later than this after the first.
    pub within: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 5, within: Duration::from_secs(10) }
    }
}

impl Retry {
    /// One attempt only.
    pub const NEVER: Retry = Retry { attempts: 1, within: Duration::ZERO };
}

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://host:port`, or `http://` for this host alone.
    pub url: String,
    /// Whom to trust. Needed for `https`.
    pub tls: Option<ClientConfig>,
    /// The bearer token.
    pub token: Option<Secret>,
    /// Told to the server as `User-Agent`.
    pub agent: String,
    /// When to try again.
    pub retry: Retry,
}

impl Options {
    /// For a URL, with defaults for all else.
    pub fn new(url: impl Into<String>) -> Self {
        Options {
            url: url.into(),
            tls: None,
            token: None,
            agent: concat!("hostler/", env!("CARGO_PKG_VERSION")).into(),
            retry: Retry::default(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) token: Option<Secret>,
    pub(crate) retry: Retry,
    /// For all requests but upgrades.
    pub(crate) http: reqwest::Client,
    /// For upgrades, which HTTP/2 does not have: one connection each.
    pub(crate) sockets: reqwest::Client,
}

impl Target {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let url = check_url(&options.url)?;
        let tls = match (url.scheme(), options.tls) {
            ("https", None) => {
                return Err(Error::invalid("url", "https needs to know which CA to trust")
                    .hint("give --ca-pin or --ca-file; `hostler context show` on the controller's host prints the pin"));
            }
            (_, Some(tls)) => tls,
            (_, None) => no_tls()?,
        };
        let mut http1_tls = tls.clone();
        http1_tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Target {
            url: format!("{}://{}", url.scheme(), url.authority()),
            token: options.token,
            retry: options.retry,
            http: build(base_builder(&options.agent, tls))?,
            sockets: build(base_builder(&options.agent, http1_tls).http1_only().pool_max_idle_per_host(0))?,
        })
    }
}

fn check_url(text: &str) -> Result<Url> {
    let wrong = |why: String| {
        Error::invalid("url", format!("'{text}' is not the address of a controller"))
            .because(why)
            .hint("write it as https://host:6120")
    };
    let url = Url::parse(text).map_err(|e| wrong(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it must start with https:// or http://".into()));
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(wrong("nothing may stand before the host or after the port".into()));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Error::invalid("url", format!("{text} would send the token in plain sight"))
            .hint("use https://; plain http is for the own host alone"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// A configuration that trusts nobody: for plain HTTP, which never asks it.
fn no_tls() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("cannot set up TLS").because(e))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn base_builder(agent: &str, tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(agent)
        .tls_backend_preconfigured(tls)
        .no_proxy() // the environment is read by the program, never by a library
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_adaptive_window(true)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().map_err(|e| Error::new(Code::Internal, "cannot set up the HTTP client").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["http://127.0.0.1:6120", "http://localhost:1", "http://[::1]:6120/"] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:6120",
            "ftp://x",
            "https://h/v1",
            "https://u@h",
            "http://10.0.0.1:6120",
            "https://",
        ] {
            assert_eq!(check_url(bad).unwrap_err().code, Code::Invalid, "{bad}");
        }
    }

    #[test]
    fn https_needs_a_ca() {
        let error = Target::new(Options::new("https://localhost:6120")).unwrap_err();
        assert!(error.hint.unwrap().contains("--ca-pin"));
    }
}
