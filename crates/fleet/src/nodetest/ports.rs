//! Ports, as this host sees them.

use super::{outcome::Found, wanted::Both};
use futures::future::join_all;
use inventory::Node;
use std::{collections::BTreeSet, time::Duration};
use tokio::net::{TcpStream, lookup_host};

/// A port that does not answer for so long is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a node's ports are dialled; `None` where nobody can.
pub fn address(node: &Node) -> Option<&str> {
    if node.flag("local_node") {
        return Some("127.0.0.1");
    }
    node.text("host_ip").or_else(|| node.text("hostname"))
}

/// Dials all of them at once.
pub async fn dial(address: &str, ports: &Both<u16>) -> Found {
    // What has no address has no closed port either.
    if let Err(e) = lookup_host((address, 0)).await {
        return Found::wrong(format!("{address} is not known: {e}"));
    }
    let all: BTreeSet<u16> = ports.there.union(&ports.not_there).copied().collect();
    let answers = join_all(all.iter().map(|port| async move {
        let dialled = TcpStream::connect((address, *port));
        let answer = rt::clock::timeout(PATIENCE, "the dialling of a port", dialled).await;
        matches!(answer, Ok(Ok(_))).then_some(*port)
    }));
    let open: BTreeSet<u16> = answers.await.into_iter().flatten().collect();
    judge(ports, |port| open.contains(&port))
}

/// What is wrong, of ports of which it is known whether they are open.
pub fn judge(ports: &Both<u16>, is_open: impl Fn(u16) -> bool) -> Found {
    let closed = ports.there.iter().filter(|p| !is_open(**p)).map(|p| format!("port {p} is closed"));
    let open = ports.not_there.iter().filter(|p| is_open(**p)).map(|p| format!("port {p} is open"));
    Found::of(closed.chain(open).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn ports_are_dialled() {
        let (open, closed) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (a, b) = (port(&open), port(&closed));
        drop(closed);
        let right = Both { there: [a].into(), not_there: [b].into() };
        assert_eq!(dial("127.0.0.1", &right).await, Found::Well);
        let wrong = Both { there: [b].into(), not_there: [a].into() };
        let expected = [format!("port {b} is closed"), format!("port {a} is open")];
        assert_eq!(dial("127.0.0.1", &wrong).await, Found::Wrong(expected.into()));
        let Found::Wrong(errors) = dial("no-such-name.invalid", &right).await else { panic!() };
        assert!(errors[0].starts_with("no-such-name.invalid is not known"), "{errors:?}");
    }
}
