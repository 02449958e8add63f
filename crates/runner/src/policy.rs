//! Which addresses code of others may reach.

use base::{Code, Error, Result};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What is refused, and the exceptions that an admin made.
///
/// Refused are the controller's own addresses, loopback, link-local ones (where clouds serve the host's credentials,
/// 169.254.169.254), unspecified, multicast and broadcast ones. Private networks are where nodes are: they are allowed.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Networks that are allowed in spite of the rules above.
    pub allowed: Vec<IpNet>,
    /// Where the controller listens: refused in any case.
    pub own: Vec<SocketAddr>,
}

impl Policy {
    /// Whether this address may be reached.
    ///
    /// # Errors
    /// [`Code::Forbidden`] that says which rule refuses it.
    pub fn check(&self, address: SocketAddr) -> Result<()> {
        let ip = address.ip().to_canonical();
        if self.own.iter().any(|own| same_service(*own, ip, address.port())) {
            return Err(refused(address, "it is the controller's own address"));
        }
        if self.allowed.iter().any(|net| net.contains(&ip)) {
            return Ok(());
        }
        match reason(ip) {
            Some(why) => Err(refused(address, why)),
            None => Ok(()),
        }
    }
}

/// A service that listens on all addresses is met at any of this host's.
fn same_service(own: SocketAddr, ip: IpAddr, port: u16) -> bool {
    own.port() == port && (own.ip().to_canonical() == ip || (own.ip().is_unspecified() && ip.is_loopback()))
}

fn reason(ip: IpAddr) -> Option<&'static str> {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || is_cloud_metadata(v6),
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    match () {
        () if link_local => Some("it is a link-local address"),
        () if ip.is_loopback() => Some("it is a loopback address of the controller's host"),
        () if ip.is_unspecified() || ip.is_multicast() || broadcast => Some("it is no address of one host"),
        () => None,
    }
}

/// Where one cloud serves the host's credentials over IPv6 (`fd00:ec2::254`).
fn is_cloud_metadata(ip: Ipv6Addr) -> bool {
    ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
}

fn refused(address: SocketAddr, why: &str) -> Error {
    Error::new(Code::Forbidden, format!("a runner may not reach {address}"))
        .because(why)
        .hint("an admin may allow its network in the settings: runnerNetworks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(policy: &Policy, address: &str) -> bool {
        policy.check(address.parse().unwrap()).is_err()
    }

    #[test]
    fn what_belongs_to_the_host_is_refused() {
        let policy = Policy::default();
        for address in [
            "127.0.0.1:22",
            "169.254.169.254:80",
            "[::1]:22",
            "[fe80::1]:22",
            "[fd00:ec2::254]:80",
            "[::ffff:169.254.169.254]:80",
            "0.0.0.0:22",
            "224.0.0.1:22",
            "255.255.255.255:22",
        ] {
            assert!(refuses(&policy, address), "{address}");
        }
        for address in ["10.1.2.3:22", "192.168.1.1:22", "203.0.113.7:443", "[2001:db8::1]:22"] {
            assert!(!refuses(&policy, address), "{address}");
        }
    }

    #[test]
    fn an_exception_never_covers_the_controller() {
        let allowed = vec!["127.0.0.0/8".parse().unwrap()];
        let policy = Policy { allowed, own: vec!["0.0.0.0:6120".parse().unwrap()] };
        assert!(!refuses(&policy, "127.0.0.1:2222"));
        assert!(refuses(&policy, "127.0.0.1:6120"));
        assert!(refuses(&policy, "[::ffff:127.0.0.1]:6120"));
    }
}
