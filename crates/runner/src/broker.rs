//! The only way out of a sandbox: an HTTP proxy on a socket. `CONNECT host:port` opens a connection where the policy
//! allows it; `GET /credentials/{name}` or `/credentials/{project}/{name}` asks for a credential.

use crate::Policy;
use base::{Code, Error, Result, Secret};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rt::task::{Group, Task};
use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};

/// How long a connection to a node may take to open.
const CONNECT: Duration = Duration::from_secs(20);
/// Connections that one sandbox may have at a time.
const AT_ONCE: usize = 2048;

/// What a sandbox reached for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A host and port, as it was named.
    Address(String),
    /// A credential: its project where one was named, and its name.
    Credential(Option<String>, String),
    /// A file of the controller.
    File(PathBuf),
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who decides over credentials and writes down what was tried.
pub trait Overseer: Send + Sync + 'static {
    /// A credential of the sandbox's own project. Another project's is refused.
    fn credential<'a>(&'a self, project: Option<&'a str>, name: &'a str) -> Answer<'a, Result<Secret>>;

    /// Something was reached for, and this became of it.
    fn reached<'a>(&'a self, what: Reach, outcome: &'a Result<()>) -> Answer<'a, ()>;
}

/// A broker that listens. Dropping it ends it and its connections.
pub struct Broker {
    _listening: Task<()>,
    shared: Arc<Shared>,
}

struct Shared {
    policy: Policy,
    overseer: Arc<dyn Overseer>,
    connections: Group,
    room: Semaphore,
}

impl Broker {
    /// Listens on a socket of this path.
    pub fn start(socket: &Path, policy: Policy, overseer: Arc<dyn Overseer>) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .map_err(|e| Error::io(format_args!("listen on {}", socket.display()), &e))?;
        let (connections, room) = (Group::new(), Semaphore::new(AT_ONCE));
        let shared = Arc::new(Shared { policy, overseer, connections, room });
        let accepting = Arc::clone(&shared);
        let listening = rt::task::spawn("broker", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(Arc::clone(&accepting), stream);
                accepting.connections.spawn("broker connection", serving);
            }
        });
        Ok(Broker { _listening: listening, shared })
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.connections.token().cancel();
    }
}

async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(&shared, request).await) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let result = match *request.method() {
        Method::CONNECT => connect(shared, request).await,
        Method::GET => credential(shared, request.uri().path()).await,
        _ => Err(Error::new(Code::MethodNotAllowed, "the broker knows CONNECT and GET")),
    };
    result.unwrap_or_else(|e| {
        let status = StatusCode::from_u16(e.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = Response::new(Full::new(Bytes::from(format!("{e}\n"))));
        *response.status_mut() = status;
        response
    })
}

async fn connect(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let target = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .ok_or_else(|| Error::new(Code::Invalid, "CONNECT needs host:port"))?;
    let opened = open(shared, &target).await;
    let outcome = opened.as_ref().map(drop).map_err(Clone::clone);
    shared.overseer.reached(Reach::Address(target), &outcome).await;
    let mut there = opened?;
    let shared_too = Arc::clone(shared);
    shared.connections.spawn("broker tunnel", async move {
        let Ok(_room) = shared_too.room.acquire().await else { return };
        if let Ok(here) = hyper::upgrade::on(request).await {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut there).await;
        }
    });
    Ok(Response::new(Full::default()))
}

/// Each address of the name is checked, so that a name never leads where its address may not.
async fn open(shared: &Shared, target: &str) -> Result<TcpStream> {
    let names = tokio::net::lookup_host(target).await;
    let addresses: Vec<SocketAddr> =
        names.map_err(|e| Error::unavailable(format!("{target} has no address")).because(e))?.collect();
    let mut last = Error::unavailable(format!("{target} has no address"));
    for address in addresses {
        if let Err(e) = shared.policy.check(address) {
            last = e;
            continue;
        }
        match rt::clock::timeout(CONNECT, target, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) => last = Error::unavailable(format!("{target} cannot be reached")).because(e),
            Err(e) => last = e,
        }
    }
    Err(last)
}

async fn credential(shared: &Shared, path: &str) -> Result<Response<Full<Bytes>>> {
    let names: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (project, name) = match names[..] {
        ["credentials", name] => (None, name),
        ["credentials", project, name] => (Some(project), name),
        _ => return Err(Error::not_found("the broker has only credentials")),
    };
    let secret = shared.overseer.credential(project, name).await;
    let outcome = secret.as_ref().map(drop).map_err(Clone::clone);
    let what = Reach::Credential(project.map(ToOwned::to_owned), name.to_owned());
    shared.overseer.reached(what, &outcome).await;
    secret.map(|s| Response::new(Full::new(Bytes::copy_from_slice(s.expose_secret().as_bytes()))))
}
