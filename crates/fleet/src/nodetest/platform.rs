//! Tests of platforms.

use super::outcome::Found;
use base::Result;
use inventory::{Inventory, Node, Platform};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, time::Duration};

const LIMIT: Duration = Duration::from_mins(1);
/// How far back the history is looked at.
const SINCE: &str = "--since=6 months ago";
/// More merges than these, newest first, are not looked at.
const MERGES: &str = "--max-count=500";

/// Whether every merge of the last six months is of a branch that started where the merge went: the history reads as a
/// line of finished pieces of work.
pub async fn linear_history(platform: &Platform) -> Found {
    let Some(dir) = platform.path.as_deref().map(|p| if p.is_dir() { p } else { p.parent().unwrap_or(p) })
    else {
        return Found::Unclear("the platform has no directory".into());
    };
    if git(dir, &["rev-parse", "--verify", "--quiet", "HEAD"]).await.is_err() {
        return Found::Unclear("the platform is in no git repository".into());
    }
    match crooked(dir).await {
        Ok(errors) => Found::of(errors),
        Err(e) => e.into(),
    }
}

async fn crooked(dir: &Path) -> Result<Vec<String>> {
    let merges = git(dir, &["log", "--merges", "--first-parent", SINCE, MERGES, "--format=%h %p"]).await?;
    let mut errors = Vec::new();
    for line in merges.lines() {
        let mut commits = line.split(' ');
        let (Some(merge), Some(first)) = (commits.next(), commits.next()) else { continue };
        for branch in commits {
            if git(dir, &["merge-base", "--is-ancestor", first, branch]).await.is_err() {
                errors.push(format!(
                    "the merge {merge} is of a branch that did not start at {first}: rebase before a merge"
                ));
            }
        }
    }
    Ok(errors)
}

async fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let mut git = rt::process::command("git");
    // In a hook of git these name another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git.arg("-C").arg(dir).args(args);
    Ok(rt::process::run(git, LIMIT).await?.stdout)
}

/// Which addresses several nodes have, one of them in this platform.
pub fn unique_addresses(platform: &Platform, inventory: &Inventory) -> Found {
    let mut users: BTreeMap<String, Vec<&Node>> = BTreeMap::new();
    for node in inventory.nodes.values().filter(|n| !n.flag("local_node")) {
        for address in addresses(node) {
            users.entry(address).or_default().push(node);
        }
    }
    let shared = users
        .into_iter()
        .filter(|(_, nodes)| nodes.len() > 1 && nodes.iter().any(|n| n.platform == platform.name));
    let say = |(address, nodes): (String, Vec<&Node>)| {
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        format!("{address} is the address of {}", names.join(" and "))
    };
    Found::of(shared.map(say).collect())
}

/// Private addresses, and where the SSH server is: several may be behind one address at ports of their own.
fn addresses(node: &Node) -> Vec<String> {
    let private = match node.metadata.get("private_ips") {
        Some(Value::Array(ips)) => ips.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        Some(Value::String(ips)) => vec![ips.clone()],
        _ => Vec::new(),
    };
    let port = node.metadata.get("ssh_port").map_or_else(|| "22".to_owned(), Value::to_string);
    let reached = node.text("host_ip").map(|ip| format!("{ip} port {}", port.trim_matches('"')));
    private.into_iter().chain(reached).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::PlatformType;
    use serde_json::json;

    fn platform(path: Option<&Path>) -> Platform {
        Platform { name: "lab".into(), kind: PlatformType::Yaml, path: path.map(Into::into) }
    }

    #[test]
    fn shared_addresses_are_named() {
        let node = |name: &str, metadata: Value| {
            let metadata = serde_json::from_value(metadata).unwrap();
            (name.to_owned(), Node { name: name.into(), platform: "lab".into(), metadata, ..Node::default() })
        };
        let nodes = [
            node("a", json!({"host_ip": "10.0.0.1", "private_ips": ["10.1.0.1"]})),
            node("b", json!({"host_ip": "10.0.0.1", "ssh_port": 2222})),
            node("c", json!({"host_ip": "10.0.0.1", "ssh_port": "2222"})),
            node("d", json!({"private_ips": "10.1.0.1"})),
            node("e", json!({"host_ip": "10.0.0.1", "local_node": true})),
        ];
        let mut inventory = Inventory::default();
        inventory.nodes = nodes.into();
        let wrong = ["10.0.0.1 port 2222 is the address of b and c", "10.1.0.1 is the address of a and d"];
        assert_eq!(unique_addresses(&platform(None), &inventory), Found::Wrong(wrong.map(Into::into).into()));
        let other = Platform { name: "other".into(), ..platform(None) };
        assert_eq!(unique_addresses(&other, &inventory), Found::Well);
    }

    async fn repository(script: &str) -> Found {
        let dir = tempfile::tempdir().unwrap();
        let mut sh = rt::process::command("sh");
        let setup = "set -e; git init -qb main .; git config user.email a@b; git config user.name a\n\
                     commit() { echo \"$1\" >\"$1\"; git add .; git commit -qm \"$1\"; }\ncommit first\n";
        sh.arg("-c").arg(format!("{setup}{script}")).current_dir(dir.path());
        rt::process::run(sh, LIMIT).await.unwrap();
        linear_history(&platform(Some(dir.path()))).await
    }

    #[tokio::test]
    async fn merges_of_branches_that_were_not_rebased_are_found() {
        let branch = "git checkout -qb work; commit second; git checkout -q main\n";
        let straight = repository(&format!("{branch}git merge -q --no-ff -m merged work")).await;
        assert_eq!(straight, Found::Well);
        let crooked = repository(&format!("{branch}commit third; git merge -q --no-ff -m merged work")).await;
        let Found::Wrong(errors) = crooked else { panic!("{crooked:?}") };
        assert!(errors[0].contains("did not start at"), "{errors:?}");
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(linear_history(&platform(Some(dir.path()))).await, Found::Unclear(_)));
    }
}
