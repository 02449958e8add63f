//! The node has the addresses that the inventory gives it.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};
use inventory::Node;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

/// The addresses that are expected.
pub struct Ip(BTreeSet<IpAddr>);

impl Ip {
    /// Those of the metadata `private_ips`; without them `host_ip`, unless it is one of the public network, which may
    /// belong to a router before the node.
    pub fn of(node: &Node) -> Option<Self> {
        let listed = node.metadata.get("private_ips").map(addresses).unwrap_or_default();
        if !listed.is_empty() {
            return Some(Ip(listed));
        }
        let address: IpAddr = node.text("host_ip")?.parse().ok()?;
        is_private(address).then(|| Ip([address].into()))
    }
}

fn addresses(value: &Value) -> BTreeSet<IpAddr> {
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split([' ', ',']).collect(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter_map(|t| t.parse().ok()).collect()
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

impl Probe for Ip {
    fn script(&self) -> String {
        // Whatever of these a node has; the last is Linux's own table.
        "if command -v ip >/dev/null; then ip -o addr show\n\
         elif command -v ifconfig >/dev/null; then ifconfig -a\n\
         else cat /proc/net/fib_trie /proc/net/if_inet6\nfi"
            .into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        let there = addresses_in(answer.text);
        if there.is_empty() {
            return answer.failed();
        }
        let missing = self.0.difference(&there).map(|ip| format!("the node does not have the address {ip}"));
        Found::of(missing.collect())
    }
}

fn addresses_in(text: &str) -> BTreeSet<IpAddr> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '%'));
    words.filter_map(|word| address(word.strip_prefix("addr:").unwrap_or(word))).collect()
}

fn address(word: &str) -> Option<IpAddr> {
    // `/proc/net/if_inet6` writes 32 digits without colons.
    if word.len() == 32 {
        return u128::from_str_radix(word, 16).ok().map(|bits| Ipv6Addr::from(bits).into());
    }
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(metadata: Value, said: &str) -> Option<Found> {
        let metadata = serde_json::from_value(metadata).unwrap();
        let node = Node { name: "web1".into(), metadata, ..Node::default() };
        Ip::of(&node).map(|ip| ip.judge(&Answer { code: 0, text: said }))
    }

    #[test]
    fn addresses_are_found_in_what_each_tool_prints() {
        let metadata = json!({"private_ips": ["10.1.2.3", "fd00::7"]});
        for said in [
            "2: eth0    inet 10.1.2.3/16 brd 10.1.255.255 scope global eth0\\ \n2: eth0    inet6 fd00::7/64 scope global",
            "eth0  Link encap:Ethernet\n  inet addr:10.1.2.3  Bcast:10.1.255.255\n  inet6 addr: fd00::7/64 Scope:Global",
            "  |-- 10.1.2.3\n      /32 host LOCAL\nfd000000000000000000000000000007 02 40 00 80 eth0",
        ] {
            assert_eq!(found(metadata.clone(), said), Some(Found::Well), "{said}");
        }
        let wrong = Found::wrong("the node does not have the address fd00::7");
        assert_eq!(found(metadata, "inet 10.1.2.3/16"), Some(wrong));
    }

    #[test]
    fn an_address_of_the_public_network_may_be_a_router_s() {
        assert_eq!(found(json!({"host_ip": "203.0.113.9"}), "inet 10.1.2.3/16"), None);
        assert_eq!(found(json!({"host_ip": "10.1.2.3"}), "inet 10.1.2.3/16"), Some(Found::Well));
        assert_eq!(found(json!({}), ""), None);
    }
}
