//! The node calls itself as the inventory does.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};
use inventory::Node;
use std::net::IpAddr;

/// The short name that is expected.
pub struct Hostname(String);

impl Hostname {
    /// The first label of the metadata `hostname`, else the node's own name. Names of this host are its own affair.
    pub fn of(node: &Node) -> Option<Self> {
        let declared = node.text("hostname").filter(|name| name.parse::<IpAddr>().is_err());
        match declared {
            Some(name) => Some(Hostname(short(name).to_owned())),
            None if node.flag("local_node") => None,
            None => Some(Hostname(short(&node.name).to_owned())),
        }
    }
}

impl Probe for Hostname {
    fn script(&self) -> String {
        "uname -n".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        let name = short(answer.text.trim());
        if answer.code != 0 {
            return answer.failed();
        }
        if name.eq_ignore_ascii_case(&self.0) {
            return Found::Well;
        }
        Found::wrong(format!("the node calls itself '{name}', not '{}'", self.0))
    }
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(metadata: serde_json::Value, said: &str) -> Option<Found> {
        let metadata = serde_json::from_value(metadata).unwrap();
        let node = Node { name: "web1".into(), metadata, ..Node::default() };
        Hostname::of(&node).map(|h| h.judge(&Answer { code: 0, text: said }))
    }

    #[test]
    fn short_names_are_compared() {
        assert_eq!(found(json!({}), "web1.example.org\n"), Some(Found::Well));
        assert_eq!(found(json!({"hostname": "Front.example.org"}), "front"), Some(Found::Well));
        assert_eq!(found(json!({"hostname": "10.0.0.1"}), "web1"), Some(Found::Well));
        assert_eq!(found(json!({"local_node": true}), "laptop"), None);
        let wrong = Found::wrong("the node calls itself 'web2', not 'web1'");
        assert_eq!(found(json!({}), "web2"), Some(wrong));
    }
}
