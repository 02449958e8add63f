//! Facts: what a node says of itself, in one round trip, and what is kept of it for later.

mod gather;
mod store;

pub use gather::{Gather, of};
pub use store::{Known, Store};

use inventory::Metadata;
use serde_json::Value;

/// The most bytes of one fact.
const LONGEST: usize = 200;

/// A fact, and how the node's word for it becomes a value.
struct Fact(&'static str, fn(&str) -> Option<Value>);

/// What a node's own words tell.
const FACTS: [Fact; 12] = [
    Fact("os", text),
    Fact("os_version", text),
    Fact("os_title", text),
    Fact("kernel", text),
    Fact("architecture", text),
    Fact("nodename", text),
    Fact("cpus", number),
    Fact("memory_mib", number),
    Fact("virtualization", text),
    Fact("package_manager", text),
    Fact("supervisor", text),
    Fact("ip", text),
];

/// What there may be of each node: `os`, `os_version` and `os_title` as os-release(5) has them; `kernel`, `architecture`
/// and `nodename` as uname(1) has them; `cpus`; `memory_mib`; `virtualization`, which is `none` on a machine of its own, and
/// `physical`, which is true there; `package_manager`; `supervisor`, which starts its services; `ip`, an address that others
/// reach.
pub const NAMES: [&str; 13] = [
    "os",
    "os_version",
    "os_title",
    "kernel",
    "architecture",
    "nodename",
    "cpus",
    "memory_mib",
    "virtualization",
    "physical",
    "package_manager",
    "supervisor",
    "ip",
];

/// Reads what the script printed. Other lines are somebody else's, as those of a shell that greets.
fn read(printed: &str) -> Metadata {
    let fact = |line: &str| {
        let (name, word) = line.split_once('=')?;
        let Fact(name, value) = FACTS.iter().find(|fact| fact.0 == name)?;
        Some(((*name).to_owned(), value(word.trim())?))
    };
    let mut facts: Metadata = printed.lines().filter_map(fact).collect();
    if let Some(kind) = facts.get("virtualization") {
        let physical = kind == "none";
        facts.insert("physical".into(), physical.into());
    }
    facts
}

fn text(word: &str) -> Option<Value> {
    let is_well = !word.is_empty() && word.len() <= LONGEST && !word.contains(char::is_control);
    is_well.then(|| word.into())
}

fn number(word: &str) -> Option<Value> {
    word.parse::<u64>().ok().filter(|n| *n > 0).map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lines_become_values_and_others_are_passed_over() {
        let printed = "Welcome!\nos=debian\nos_title=Debian GNU/Linux 12 (bookworm)\nshell=bash\ncpus=4\nmemory_mib=x\n\
                       virtualization=none\nkernel=\nnodename=a\u{1b}[2J\n";
        let facts = json!({
            "os": "debian", "os_title": "Debian GNU/Linux 12 (bookworm)", "cpus": 4, "virtualization": "none", "physical": true
        });
        assert_eq!(json!(read(printed)), facts);
        assert_eq!(read("virtualization=kvm\n")["physical"], json!(false));
    }

    #[test]
    fn all_facts_have_a_name() {
        let mut known: Vec<&str> = FACTS.iter().map(|fact| fact.0).chain(["physical"]).collect();
        let mut names = NAMES.to_vec();
        known.sort_unstable();
        names.sort_unstable();
        assert_eq!(known, names);
    }

    proptest! {
        #[test]
        fn whatever_a_node_says_is_short_and_can_be_shown(words in "(os|cpus|ip|x)?=?[\\PC\u{1b}\n=]{0,300}") {
            for (name, value) in read(&words) {
                prop_assert!(NAMES.contains(&name.as_str()));
                prop_assert!(value.as_str().is_none_or(|t| t.len() <= LONGEST && !t.contains(char::is_control)));
            }
        }
    }
}
