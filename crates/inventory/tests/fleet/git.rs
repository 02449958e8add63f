//! What changes in git mean, with a real git.

use super::{LAB, directory, load, write};
use inventory::{Impact, Selection};
use std::path::Path;

/// Runs git in a directory, with nothing of this user's configuration.
async fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = rt::process::command("git");
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    git.arg("-C").arg(dir).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
    rt::process::run(git, std::time::Duration::from_mins(1)).await.unwrap().stdout
}

const NODES: &str =
    "a: {services: [s1], metadata: {x: 1}}\nb: {services: [s2]}\nc: {services: [s1, s2]}\nd:\n";

/// A repository whose platform is in a directory of its own, all of it committed to `trunk`.
async fn repository() -> tempfile::TempDir {
    let dir = directory(&[
        ("hostler.yaml", &LAB.1.replace("path: .", "path: lab")),
        ("lab/inventory.yaml", NODES),
        ("lab/groups.yaml", "g: {nodes: [a, d], metadata: {y: 1}}\nh: {nodes: [a]}\n"),
        ("lab/services/s1/service.yaml", "x: 1\n"),
        ("lab/service_s2.rb", "# two\n"),
        ("lab/.gitignore", "ignored\n"),
    ]);
    git(dir.path(), &["init", "-q", "-b", "trunk"]).await;
    commit(dir.path()).await;
    dir
}

async fn commit(dir: &Path) {
    git(dir, &["add", "-A"]).await;
    git(dir, &["commit", "-q", "-m", "x"]).await;
}

async fn impact(dir: &Path, change: &str) -> Impact {
    load(dir).await.unwrap().impact(&change.parse().unwrap()).await.unwrap()
}

async fn concerned(dir: &Path, change: &str) -> String {
    impact(dir, change).await.nodes.into_iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_kind_of_file_concerns_its_nodes() {
    let long = NODES.replace("d:\n", "d: {metadata: {z: 1}}\ne:\n");
    for (file, text, nodes) in [
        ("lab/inventory.yaml", long.as_str(), "d e"),
        (
            "lab/inventory.yaml",
            "# the same\na: {metadata: {x: 1}, services: [s1]}\nb: {services: [s2]}\nd: {}\n",
            "",
        ),
        ("lab/groups.yaml", "g: {nodes: [a, d], metadata: {y: 2}}\nh: {nodes: [a]}\n", "a d"),
        ("lab/groups.yaml", "g: {nodes: [a, d], metadata: {y: 1}}\nh: {nodes: [b]}\n", "a b"),
        ("lab/defaults.yaml", "metadata: {x: 5}\n", "b c d"),
        ("lab/services/s1/service.yaml", "x: 2\n", "a c"),
        ("lab/services/s1/files/new", "x\n", "a c"),
        ("lab/service_s2.rb", "# changed\n", "b c"),
        ("lab/template.erb", "x\n", "a b c d"),
        ("lab/ignored", "x\n", ""),
        ("elsewhere", "x\n", ""),
    ] {
        let dir = repository().await;
        write(dir.path(), &[(file, text)]);
        assert_eq!(concerned(dir.path(), "lab:trunk").await, nodes, "{file}, not committed");
        git(dir.path(), &["checkout", "-q", "-b", "work"]).await;
        git(dir.path(), &["add", "-A"]).await;
        git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "x"]).await;
        assert_eq!(concerned(dir.path(), "lab:trunk:work").await, nodes, "{file}, committed");
        assert_eq!(concerned(dir.path(), "lab:work").await, "", "{file}, nothing since");
    }
}

#[tokio::test]
async fn the_smallest_set_has_every_changed_service() {
    let dir = repository().await;
    write(dir.path(), &[("lab/services/s1/service.yaml", "x: 2\n"), ("lab/service_s2.rb", "# 2\n")]);
    let all = impact(dir.path(), "lab:trunk").await;
    assert_eq!((all.everything, all.services.len(), all.nodes.len()), (false, 2, 3));
    assert_eq!(concerned(dir.path(), "lab:trunk::min").await, "a b");
}

#[tokio::test]
async fn the_default_branch_is_that_of_the_repository() {
    let dir = repository().await;
    // Nothing says that trunk is the default.
    let mut inventory = load(dir.path()).await.unwrap();
    let e = inventory.impact(&"lab".parse().unwrap()).await.unwrap_err();
    assert_eq!(e.hint.as_deref(), Some("name the commit or branch to compare with"));

    let clone = tempfile::TempDir::new().unwrap();
    let from = dir.path().to_str().unwrap();
    git(clone.path(), &["clone", "-q", from, "."]).await;
    write(clone.path(), &[("lab/service_s2.rb", "# changed\n")]);
    git(clone.path(), &["checkout", "-q", "-b", "work"]).await;
    commit(clone.path()).await;
    assert_eq!(concerned(clone.path(), "lab").await, "b c");
    inventory = load(clone.path()).await.unwrap();
    let include = vec!["git:lab".parse().unwrap()];
    let chosen = inventory.choose(&Selection { include, ..Selection::default() }).await.unwrap();
    assert_eq!(chosen.len(), 2);
}

#[tokio::test]
async fn what_git_cannot_answer_is_said() {
    let dir = repository().await;
    let inventory = load(dir.path()).await.unwrap();
    let e = inventory.impact(&"lab:nope".parse().unwrap()).await.unwrap_err();
    assert!(e.message.starts_with("there is no commit or branch 'nope'"), "{e}");
    let e = inventory.impact(&"lab:--help".parse().unwrap()).await.unwrap_err();
    assert!(e.message.starts_with("there is no commit or branch '--help'"), "{e}");
    let plain = directory(&[LAB]);
    let e = load(plain.path()).await.unwrap().impact(&"lab".parse().unwrap()).await.unwrap_err();
    assert!(e.message.ends_with("is not in a git repository"), "{e}");
}

#[tokio::test]
async fn variables_of_ansible_concern_their_hosts() {
    let dir = directory(&[
        ("hostler.yaml", "platforms: [{name: lab, type: ansible, path: lab/hosts}]\n"),
        ("lab/hosts", "[g]\na\nb\n[h]\nc.x\n"),
        ("lab/group_vars/g.yml", "x: 1\n"),
    ]);
    git(dir.path(), &["init", "-q", "-b", "trunk"]).await;
    commit(dir.path()).await;
    for (file, text, nodes) in [
        ("lab/host_vars/c.x/main.yml", "x: 2\n", "c.x"),
        ("lab/group_vars/g.yml", "x: 2\n", "a b c.x"),
        ("lab/hosts", "[g]\na\nb\n[h]\nc.x\nd\n", "a b c.x d"),
    ] {
        write(dir.path(), &[(file, text)]);
        assert_eq!(concerned(dir.path(), "lab:trunk").await, nodes, "{file}");
    }
}
