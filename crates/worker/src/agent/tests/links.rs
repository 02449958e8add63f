//! A worker that joins, keeps its link up, and serves tunnels on it: with real TLS, on loopback.

use super::{
    super::*,
    rig::{LIMIT, assignment, name, spec, work},
};
use ::images::Digest;
use api::{
    assignment::{Desired, Report},
    worker::{JoinAnswer, JoinRequest},
};
use base::{Revision, Secret};
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use link::{
    Class, Hello, KeepAlive, Welcome,
    accept::{Accepted as Connection, Acceptor},
    controller_side::{Admitted, Session, Sessions},
    pki::{Ca, JoinToken, WorkerKey, client_tls_worker, server_tls},
    worker_side::Dial,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const BLOB: &[u8] = b"0123456789";

/// The least of a controller: its port, joins, one blob, sessions.
pub struct Controller {
    pub address: SocketAddr,
    pub ca: Arc<Ca>,
    forget: Arc<AtomicBool>,
    sessions: Arc<Sessions>,
    admitted: tokio::sync::Mutex<mpsc::UnboundedReceiver<Session>>,
    _task: rt::task::Task<()>,
}

impl Controller {
    pub async fn start() -> Self {
        let ca = Arc::new(Ca::generate().unwrap());
        let identity = ca.issue_server(&["127.0.0.1".to_owned()], None).unwrap();
        let acceptor = Acceptor::new(server_tls(&ca, &identity).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Arc::new(Sessions::new(Welcome::default(), KeepAlive::default()));
        let (send, admitted) = mpsc::unbounded_channel();
        let parts = Parts { ca: ca.clone(), forget: Arc::default(), sessions: sessions.clone(), send };
        let forget = parts.forget.clone();
        let task = rt::task::spawn("controller", serve(listener, acceptor, parts));
        Controller { address, ca, forget, sessions, admitted: tokio::sync::Mutex::new(admitted), _task: task }
    }

    /// The next session that comes up.
    pub async fn session(&self) -> Session {
        let mut admitted = self.admitted.lock().await;
        rt::clock::timeout(LIMIT, "a session", admitted.recv()).await.unwrap().unwrap()
    }
}

#[derive(Clone)]
struct Parts {
    ca: Arc<Ca>,
    /// Whether no worker is known any more.
    forget: Arc<AtomicBool>,
    sessions: Arc<Sessions>,
    send: mpsc::UnboundedSender<Session>,
}

async fn serve(listener: TcpListener, acceptor: Acceptor, parts: Parts) {
    let group = Group::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        group.spawn("connection", connection(tcp, acceptor.clone(), parts.clone()));
    }
}

async fn connection(tcp: TcpStream, acceptor: Acceptor, parts: Parts) {
    match acceptor.accept(tcp).await {
        Ok(Connection::Link(incoming)) => {
            if let Ok(Admitted::Session(session)) = parts.sessions.admit(incoming).await {
                let _ = parts.send.send(session);
            }
        }
        Ok(Connection::Api { stream, .. }) => {
            let service = service_fn(move |request| answer(request, parts.clone()));
            let executor = hyper_util::rt::TokioExecutor::new();
            let builder = hyper_util::server::conn::auto::Builder::new(executor);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
        Err(_) => {}
    }
}

async fn answer(request: Request<Incoming>, parts: Parts) -> Result<Response<Full<Bytes>>, Infallible> {
    let respond = |status: StatusCode, body: Vec<u8>| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        Ok(response)
    };
    if request.uri().path() == "/v1/join" {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let join: JoinRequest = serde_json::from_slice(&body).unwrap();
        if join.name == name("refused") {
            let problem = api::problem::Problem::new(Error::conflict("that name is taken"), "");
            return respond(StatusCode::CONFLICT, serde_json::to_vec(&problem).unwrap());
        }
        let uid = rt::ids::uid();
        let certificate = parts.ca.issue_worker(uid, &join.csr).unwrap();
        let ca = parts.ca.certificate_pem().to_owned();
        let answer = JoinAnswer { uid, certificate, ca, token: Secret::new("secret-of-worker") };
        return respond(StatusCode::OK, serde_json::to_vec(&answer).unwrap());
    }
    let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("authorization").unwrap(), "Bearer secret-of-worker");
    if request.uri().path() == "/v1/whoami" {
        let known = !parts.forget.load(Ordering::SeqCst);
        return respond(if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, b"{}".to_vec());
    }
    let range = header("range").unwrap();
    let from: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    let digest = api::routes::encode(&Digest::of(BLOB).to_string());
    if request.uri().path() != format!("/v1/blobs/{digest}") {
        let problem = api::problem::Problem::new(Error::not_found("no such blob"), "");
        return respond(StatusCode::NOT_FOUND, serde_json::to_vec(&problem).unwrap());
    }
    respond(StatusCode::PARTIAL_CONTENT, BLOB[from..].to_vec())
}

/// Keeps an agent's link up, without a join.
pub fn dial(controller: &Controller, agent: Agent) -> rt::task::Task<()> {
    let (uid, key) = (rt::ids::uid(), WorkerKey::generate().unwrap());
    let certificate = controller.ca.issue_worker(uid, &key.csr_pem).unwrap();
    let tls = client_tls_worker(controller.ca.certificate_pem(), &certificate, &key.key_pem).unwrap();
    let dial = Dial::new(controller.address.to_string(), tls);
    rt::task::spawn("link", async move {
        match link::worker_side::run(dial, Hello::new(uid, 1), Arc::new(agent), |_| {}).await {}
    })
}

fn options(controller: &Controller, dir: &tempfile::TempDir) -> RunOptions {
    let token = JoinToken::generate(controller.ca.pin()).expose_secret();
    RunOptions {
        agent: AgentOptions {
            state_dir: Some(dir.path().to_owned()),
            ..AgentOptions::synthetic(Amounts::default())
        },
        name: name("worker"),
        url: Some(format!("https://{}/", controller.address)),
        join_token: Some(Secret::new(token)),
    }
}

#[tokio::test]
async fn a_worker_joins_once_and_serves_its_controller() {
    let (controller, dir) = (Controller::start().await, tempfile::tempdir().unwrap());
    let worker = Worker::start(options(&controller, &dir)).await.unwrap();
    rt::clock::timeout(LIMIT, "the link", worker.connected()).await.unwrap();
    let session = controller.session().await;
    assert_eq!(session.worker(), worker.identity().uid);

    let uid = rt::ids::uid();
    let vms = vec![assignment(uid, Desired::Running, work(spec()))];
    let set = Assignments { version: 1, revision: Revision::new(1, 1), vms, keep_images: vec![] };
    let answer = session.put_assignments(serde_json::to_vec(&set).unwrap().into()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Accepted>(&answer).unwrap().revision, Revision::new(1, 1));
    let mut report = session.report().await.unwrap();
    let mut running = false;
    while !running {
        let line = rt::clock::timeout(LIMIT, "a line", report.next()).await.unwrap().unwrap().unwrap();
        running = matches!(serde_json::from_slice(&line).unwrap(),
            Report::Vm { vm } if vm.phase == api::vm::VmPhase::Running);
    }
    let wrong = session.put_assignments("{".into()).await.unwrap_err();
    assert_eq!(wrong.code, Code::Invalid);

    let mut port = session.open_tunnel(&format!("vms/{uid}/ports/7"), Class::Interactive).await.unwrap();
    port.write_all(b"echo").await.unwrap();
    port.shutdown().await.unwrap();
    let mut back = Vec::new();
    rt::clock::timeout(LIMIT, "an echo", port.read_to_end(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, b"echo");
    let synthetic = session.open_tunnel(&format!("vms/{uid}/exec"), Class::Interactive).await.unwrap_err();
    assert_eq!(synthetic.code, Code::Invalid);
    drop((report, port));

    // The same directory is the same worker, without a token.
    let first = worker.identity().uid;
    worker.stop().await;
    let again = RunOptions { join_token: None, url: None, ..options(&controller, &dir) };
    let worker = Worker::start(again).await.unwrap();
    assert_eq!((worker.identity().uid, worker.identity().starts), (first, 2));
    assert_eq!(controller.session().await.worker(), first);
    assert!(controller.sessions.get(first).is_some());
    worker.stop().await;
    // Another token changes nothing while the controller knows the worker.
    let worker = Worker::start(options(&controller, &dir)).await.unwrap();
    assert_eq!(worker.identity().uid, first);
    worker.stop().await;
    controller.forget.store(true, Ordering::SeqCst);
    let worker = Worker::start(options(&controller, &dir)).await.unwrap();
    assert_ne!(worker.identity().uid, first);
    assert_eq!(worker.identity().starts, 4);
}

#[tokio::test]
async fn one_process_has_a_directory_and_one_controller_a_worker() {
    let (controller, dir) = (Controller::start().await, tempfile::tempdir().unwrap());
    let worker = Worker::start(options(&controller, &dir)).await.unwrap();
    assert_eq!(Worker::start(options(&controller, &dir)).await.unwrap_err().code, Code::Conflict);
    worker.stop().await;
    let other = Controller::start().await;
    let error = Worker::start(options(&other, &dir)).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    assert!(error.hint.unwrap().contains("--data-dir"));
}

#[tokio::test]
async fn what_keeps_a_worker_from_joining() {
    let (controller, dir) = (Controller::start().await, tempfile::tempdir().unwrap());
    let missing = RunOptions { join_token: None, ..options(&controller, &dir) };
    assert!(Worker::start(missing).await.unwrap_err().hint.unwrap().contains("--join-token-file"));
    let nobody = RunOptions { url: Some("https://127.0.0.1:1".into()), ..options(&controller, &dir) };
    assert_eq!(Worker::start(nobody).await.unwrap_err().code, Code::Unavailable);
    let refused = RunOptions { name: name("refused"), ..options(&controller, &dir) };
    assert_eq!(Worker::start(refused).await.unwrap_err().message, "that name is taken");
    // A token of another CA: the pin is checked before the token is sent.
    let other = Controller::start().await;
    let foreign =
        RunOptions { url: Some(format!("https://{}", other.address)), ..options(&controller, &dir) };
    assert!(Worker::start(foreign).await.is_err());
}

#[tokio::test]
async fn images_come_over_the_ordinary_api() {
    let (controller, dir) = (Controller::start().await, tempfile::tempdir().unwrap());
    let worker = Worker::start(options(&controller, &dir)).await.unwrap();
    let source = HttpSource::new(worker.identity()).unwrap();
    let mut bytes = Vec::new();
    let mut stream = source.fetch(Digest::of(BLOB), 4).await.unwrap();
    while let Some(piece) = stream.next().await {
        bytes.extend(piece.unwrap());
    }
    assert_eq!(bytes, b"456789");
    let missing = source.fetch(Digest::of(b"other"), 0).await.map(drop).unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (Code::NotFound, "no such blob"));
}

#[tokio::test]
async fn a_fleet_of_synthetic_workers() {
    let controller = Controller::start().await;
    let fleet = Fleet::start(FleetOptions {
        url: format!("https://{}", controller.address),
        join_token: Secret::new(JoinToken::generate(controller.ca.pin()).expose_secret()),
        count: 40,
        prefix: "synthetic".into(),
        shapes: vec![Shape::default(), Shape { arch: Some("arm64".into()), ..Shape::default() }],
        heartbeat: Duration::from_secs(5),
    });
    let fleet = fleet.await.unwrap();
    rt::clock::timeout(LIMIT, "all links", fleet.connected()).await.unwrap();
    assert_eq!(controller.sessions.all().len(), 40);
    assert_eq!(fleet.workers[39].identity().name, name("synthetic-40"));
}
