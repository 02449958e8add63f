//! One HTTP/1.1 connection under TLS that does no more than it must: the load generator shares the machine.

use bytes::Bytes;
use e2e::Cluster;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rt::task::Task;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{error::Error, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub type Failed = Box<dyn Error + Send + Sync>;

/// Where to, and as whom.
#[derive(Clone)]
pub struct Target {
    address: String,
    tls: Arc<ClientConfig>,
    authorization: String,
}

/// A connection with at most one request at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authorization: String,
    _driver: Task<()>,
}

impl Target {
    /// The controller of a cluster, as its admin.
    pub fn of(cluster: &Cluster) -> Self {
        let ca = std::fs::read_to_string(cluster.data_dir().join("ca.crt")).expect("a CA");
        let mut tls = link::pki::client_tls_ca(&ca).expect("a CA");
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let authorization = format!("Bearer {}", cluster.token().expose_secret());
        Target { address: cluster.address(), tls: Arc::new(tls), authorization }
    }

    pub async fn connect(&self) -> Result<Connection, Failed> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        let tls =
            TlsConnector::from(self.tls.clone()).connect(ServerName::try_from("localhost")?, tcp).await?;
        let (sender, driver) = handshake(TokioIo::new(tls)).await?;
        let driver = rt::task::spawn("connection", async move {
            let _ = driver.await; // its end shows in the next request
        });
        Ok(Connection { sender, authorization: self.authorization.clone(), _driver: driver })
    }
}

impl Connection {
    /// Whether the server has ended it, as it does with one that is idle for long.
    pub fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the answer to its end. Anything but success is a failure.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failed> {
        let response = self.open(method, path, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("{path}: {status} {body:?}").into()) }
    }

    /// Sends a request and gives the answer once its head is there.
    pub async fn open(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failed> {
        let patch = method == Method::PATCH;
        let media = if patch { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, media)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}
