//! The way to a host that can be reached directly.

use super::unreachable;
use crate::config::{AddressFamily, HostConfig};
use base::{Code, Error, Result};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpSocket, TcpStream};

/// Between two tries of `ConnectionAttempts`.
const PAUSE: Duration = Duration::from_secs(1);

/// The addresses of a host, in the order of the resolver.
pub(super) async fn addresses(host: &HostConfig, limit: Duration) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.host_name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, host.port)]);
    }
    let looking = tokio::net::lookup_host((host.host_name.as_str(), host.port));
    let found = rt::clock::timeout(limit, &format!("the lookup of {}", host.host_name), looking).await?;
    let found = found.map_err(|e| {
        Error::new(Code::Unavailable, format!("the name {} of {} has no address", host.host_name, host.host))
            .because(e)
            .hint("check its spelling, or give the address (host_ip, HostName)")
    })?;
    let wanted = |a: &SocketAddr| match host.address_family {
        AddressFamily::Any => true,
        AddressFamily::Inet => a.is_ipv4(),
        AddressFamily::Inet6 => a.is_ipv6(),
    };
    let found: Vec<SocketAddr> = found.filter(wanted).collect();
    if found.is_empty() {
        return Err(unreachable(host, "it has no address of the family that AddressFamily allows"));
    }
    Ok(found)
}

/// Connects to the first address that answers.
pub(super) async fn connect(
    host: &HostConfig,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream> {
    let trying = async {
        let mut last = None;
        for number in 0..host.connection_attempts.max(1) {
            if number > 0 {
                rt::clock::sleep(PAUSE).await;
            }
            for address in addresses {
                match attempt(host, *address).await {
                    Ok(stream) => return Ok(stream),
                    Err(e) => last = Some(e),
                }
            }
        }
        Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into()))
    };
    match rt::clock::timeout(limit, &format!("the connection to {}", host.host), trying).await? {
        Ok(stream) => Ok(stream),
        Err(e) => Err(unreachable(host, e)),
    }
}

async fn attempt(host: &HostConfig, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Small packets must not wait for others.
    socket.set_nodelay(true)?;
    socket.set_keepalive(host.tcp_keep_alive)?;
    if let Some(from) = &host.bind_address {
        let ip: IpAddr = from.parse().map_err(std::io::Error::other)?;
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(address).await
}
