//! Ports of the guest, reached through QEMU's user-mode network: forwards made on demand.

use super::{argv::NETDEV, qmp::Qmp};
use base::{Error, Result, Uid};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
};

/// How many pairs of address and port are tried.
const ATTEMPTS: u8 = 24;
/// After so many failures another address is tried.
const PER_ADDRESS: u8 = 8;

/// The forwards of one run of a machine. Everyone who wants the same port shares one.
#[derive(Debug, Default)]
pub(super) struct Forwards(tokio::sync::Mutex<Option<HashMap<u16, SocketAddrV4>>>);

impl Forwards {
    /// Where a port of the guest can be reached, making a forward where there is none yet. QEMU keeps the list: after
    /// a restart of the agent it is read from there.
    pub(super) async fn address(&self, qmp: &Qmp, uid: Uid, port: u16) -> Result<SocketAddrV4> {
        let mut known = self.0.lock().await;
        let mut map = match known.take() {
            Some(map) => map,
            None => parse(&qmp.human("info usernet").await?),
        };
        let found = match map.get(&port) {
            Some(address) => Ok(*address),
            None => add(qmp, uid, port).await,
        };
        if let Ok(address) = found {
            map.insert(port, address);
        }
        *known = Some(map);
        found
    }
}

/// Tries addresses and ports until QEMU could bind one.
async fn add(qmp: &Qmp, uid: Uid, port: u16) -> Result<SocketAddrV4> {
    let mut said = String::new();
    for attempt in 0..ATTEMPTS {
        let address = SocketAddrV4::new(own_address(uid, attempt / PER_ADDRESS), free_port());
        said = qmp
            .human(&format!("hostfwd_add {NETDEV} tcp:{}:{}-:{port}", address.ip(), address.port()))
            .await?;
        if said.is_empty() {
            return Ok(address);
        }
    }
    Err(Error::unavailable(format!("cannot forward port {port} of the guest")).because(said))
}

/// A loopback address of the machine's own, so that a port of a guest is never taken for a service of the host, and
/// machines do not compete for ports. Two machines that come to the same address differ in their ports.
fn own_address(uid: Uid, choice: u8) -> Ipv4Addr {
    // macOS has only 127.0.0.1, unless root adds more.
    if cfg!(not(target_os = "linux")) {
        return Ipv4Addr::LOCALHOST;
    }
    let [.., x, y, z] = *uid.as_bytes();
    // The first and last of each are left out: 127.0.x.y is in use by resolvers and host names.
    let inner = |b: u8| b % 254 + 1;
    Ipv4Addr::new(127, inner(x), y.wrapping_add(choice), inner(z))
}

/// A port that is probably free; QEMU says if it is not.
fn free_port() -> u16 {
    20_000 + u16::from_le_bytes(rt::ids::random_bytes()) % 40_000
}

/// Reads the forwards from what `info usernet` prints.
fn parse(text: &str) -> HashMap<u16, SocketAddrV4> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            if words.next()? != "TCP[HOST_FORWARD]" {
                return None;
            }
            let _descriptor = words.next()?;
            let address = SocketAddrV4::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let _guest = words.next()?;
            Some((words.next()?.parse().ok()?, address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_qemu_is_read() {
        let text = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                    TCP[HOST_FORWARD]  12       127.8.9.9 20022       10.0.2.15    22     0     0\r\n  \
                    TCP[ESTABLISHED]   13       127.8.9.9 20022       10.0.2.15    22     0     0\r\n  \
                    UDP[236 sec]       14       10.0.2.15 37318       10.0.2.3     53     0     0\r\n";
        let expected = HashMap::from([(22, "127.8.9.9:20022".parse().unwrap())]);
        assert_eq!(parse(text), expected);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn addresses_are_never_those_of_the_host() {
        for n in 0..=255 {
            for choice in 0..3 {
                let [net, a, _, c] = own_address(Uid::from_parts(1, &[n; 10]), choice).octets();
                assert!(net == 127 && (1..=254).contains(&a) && (1..=254).contains(&c));
            }
        }
    }
}
