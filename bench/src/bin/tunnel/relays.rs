//! The floor: three processes that do nothing but pass bytes on, plain at both ends and with TLS between them, with the
//! same TLS library. The way of a forward: command line, controller, worker.

use crate::ends::{Ends, address, listen};
use base::{Result, Secret};
use e2e::{Process, eventually};
use link::{
    BoxedIo,
    accept::{Accepted, Acceptor},
    io::ReadAhead,
    pki::{Ca, client_tls_ca, server_tls},
};
use rt::task::Group;
use rustls::pki_types::ServerName;
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

const START: Duration = Duration::from_secs(30);
const BUFFER: usize = 256 << 10;
/// What TLS may have waiting to be sent.
const TLS_BUFFER: usize = 1 << 20;
/// The last of the three, counted from 0.
const LAST: usize = 2;

/// Two chains of three: one leads to a source, one to a sink.
pub struct Relays {
    pub ends: Ends,
    _processes: Vec<Process>,
    _dir: TempDir,
}

impl Relays {
    pub async fn start(to: Ends) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ca = Ca::generate().expect("a CA");
        fs::write(dir.path().join("ca.crt"), ca.certificate_pem()).expect("a file");
        fs::write(dir.path().join("ca.key"), ca.key_pem().expose_secret()).expect("a file");
        let mut processes = Vec::new();
        let mut ends = [to.source, to.sink];
        for (chain, end) in ends.iter_mut().enumerate() {
            for place in (0..=LAST).rev() {
                let (process, at) = start(dir.path(), chain, place, *end).await;
                processes.push(process);
                *end = at;
            }
        }
        let [source, sink] = ends;
        Relays { ends: Ends { source, sink }, _processes: processes, _dir: dir }
    }
}

async fn start(dir: &Path, chain: usize, place: usize, to: SocketAddr) -> (Process, SocketAddr) {
    let mut command = rt::process::command(std::env::current_exe().expect("this program"));
    command.arg("--relay").arg(place.to_string()).arg(dir).arg(to.to_string());
    let process = Process::start(command, &dir.join(format!("relay-{chain}-{place}")));
    let at = eventually("a relay listens", START, || async { process.log().trim().parse().ok() }).await;
    (process, at)
}

/// The process of one relay. The first one takes plain connections, the last one makes them.
pub async fn relay(place: usize, dir: &str, to: &str) -> Result<()> {
    let read = |name: &str| fs::read_to_string(Path::new(dir).join(name)).expect("a file of the CA");
    let ca = Ca::load(&read("ca.crt"), &Secret::new(read("ca.key")))?;
    let identity = ca.issue_server(&["127.0.0.1".into()], None)?;
    let acceptor = Acceptor::new(server_tls(&ca, &identity)?);
    let connector = TlsConnector::from(Arc::new(client_tls_ca(ca.certificate_pem())?));
    let listener: TcpListener = listen().await;
    announce(address(&listener));
    let group = Group::new();
    loop {
        let (tcp, _) = listener.accept().await.map_err(|e| base::Error::io("take a connection", &e))?;
        let (acceptor, connector, to) = (acceptor.clone(), connector.clone(), to.to_owned());
        group.spawn("connection", async move {
            let mut near = if place == 0 { Box::new(tcp) as BoxedIo } else { tls_in(&acceptor, tcp).await };
            let tcp = TcpStream::connect(&to).await.expect("the next one");
            let mut far =
                if place == LAST { Box::new(tcp) as BoxedIo } else { tls_out(&connector, tcp).await };
            let _ = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await; // one side has left
        });
    }
}

#[allow(clippy::disallowed_macros)] // how it tells its parent where it is
fn announce(at: SocketAddr) {
    println!("{at}");
}

async fn tls_in(acceptor: &Acceptor, tcp: TcpStream) -> BoxedIo {
    match acceptor.accept(tcp).await.expect("TLS") {
        Accepted::Api { stream, .. } => stream,
        Accepted::Link(_) => unreachable!("relays do not offer the link's protocol"),
    }
}

async fn tls_out(connector: &TlsConnector, tcp: TcpStream) -> BoxedIo {
    tcp.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut tls = connector.connect(name, ReadAhead::new(tcp)).await.expect("TLS");
    tls.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    Box::new(tls)
}
