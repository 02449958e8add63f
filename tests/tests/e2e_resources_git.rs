//! Working trees by real git, from repositories on the node itself and on another machine.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Machines;
use std::fs;
use testkit::hosts;

/// A repository with a branch, a tag and commits; `commit` adds one. The same on two machines.
const REPOSITORY: &str = r#"
set -e
git config --global user.name t
git config --global user.email t@example.org
git config --global init.defaultBranch main
git init -q /srv/work
cd /srv/work
cat >/usr/local/sbin/commit <<'END'
#!/bin/sh -e
cd /srv/work
git checkout -q "$1" 2>/dev/null || git checkout -q -b "$1"
echo "$2" >page
git add .
git commit -q -m "$2"
git push -q --all /srv/app.git
git push -q --tags --force /srv/app.git
git rev-parse HEAD
END
chmod +x /usr/local/sbin/commit
git init -q --bare /srv/app.git
commit main one >/dev/null
git tag -a -m first v1
commit feature two >/dev/null
commit main three >/dev/null
"#;

const SERVICE: &str = "
steps:
  - git: {repository: 'root@forge.example.org:/srv/app.git', path: /srv/remote, revision: BRANCH}
  - git: {repository: file:///srv/app.git, path: /srv/tagged, revision: v1}
  - git: {repository: /srv/app.git, path: ~/deep/at/commit, revision: COMMIT}
";

async fn commit(machines: &Machines, host: &str, branch: &str, text: &str) -> String {
    let ran = machines.host(host).run(&format!("commit {branch} {text}")).await.unwrap();
    ran.stdout.trim().to_owned()
}

/// A node that has a repository, and a forge that has the same, which it may log in to.
async fn scene() -> Machines {
    let machines = Machines::start(&["web1", "forge"], &[]).await;
    let (node, forge) = (machines.host("web1"), machines.host("forge"));
    for host in [node, forge] {
        host.run(REPOSITORY).await.unwrap();
    }
    let ssh = node.root().join("root/.ssh");
    fs::copy(machines.user_key(), ssh.join("id_ed25519")).unwrap();
    node.run("chmod 600 ~/.ssh/id_ed25519").await.unwrap();
    let key = fs::read_to_string(forge.root().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    fs::write(ssh.join("known_hosts"), format!("forge.example.org {key}")).unwrap();
    machines.inventory(&[("web1", &["app"])]).await;
    machines
}

fn service(machines: &Machines, branch: &str, commit: &str) {
    let text = SERVICE.replace("BRANCH", branch).replace("COMMIT", commit);
    machines.write("services/app/service.yaml", &text);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_working_trees_are_at_the_branch_the_tag_or_the_commit() {
    if let Some(reason) = hosts::missing().await {
        return e2e::skip("e2e_working_trees_are_at_the_branch_the_tag_or_the_commit", &reason);
    }
    let machines = scene().await;
    let node = machines.host("web1");
    let pages = async || {
        let seen = "for dir in /srv/remote /srv/tagged ~/deep/at/commit; do cat $dir/page; git -C $dir status --porcelain; done";
        node.run(seen).await.unwrap().stdout.replace('\n', " ")
    };
    let first = commit(&machines, "web1", "main", "four").await;
    service(&machines, "feature", &first);
    let told = machines.settle("web1", 3).await;
    assert_eq!(told[0], "Clone root@forge.example.org:/srv/app.git into /srv/remote");
    assert_eq!(
        told[4..],
        ["Clone /srv/app.git into /root/deep/at/commit".to_owned(), format!("> commit {first}")]
    );
    assert_eq!(pages().await, "two one four ");

    // A branch that moves is followed, and so is a tag; a commit stays.
    let moved = commit(&machines, "forge", "feature", "five").await;
    node.run("cd /srv/work && git tag -f v1 main && commit main six").await.unwrap();
    let told = machines.settle("web1", 2).await;
    assert!(
        told[0] == "Change working tree /srv/remote" && told[2] == format!("> commit {moved}"),
        "{told:?}"
    );
    assert_eq!(pages().await, "five four four ");

    // Another branch, and a commit that the clone has not seen yet.
    let newest = commit(&machines, "web1", "main", "seven").await;
    service(&machines, "main", &newest);
    machines.settle("web1", 2).await;
    assert_eq!(pages().await, "three four seven ");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_was_changed_in_a_working_tree_is_not_lost() {
    if let Some(reason) = hosts::missing().await {
        return e2e::skip("e2e_what_was_changed_in_a_working_tree_is_not_lost", &reason);
    }
    let machines = scene().await;
    let node = machines.host("web1");
    service(&machines, "main", "main");
    machines.settle("web1", 3).await;
    node.run("echo mine >/srv/remote/page; echo new >/srv/remote/notes").await.unwrap();
    machines.settle("web1", 0).await; // it is at its commit
    commit(&machines, "forge", "main", "next").await;
    let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
    assert!(said.contains("1 file was changed in /srv/remote") && said.contains("`force: true`"), "{said}");
    machines.hostler(&["deploy", "--node", "web1"]).await.fails(1);
    assert_eq!(node.run("cat /srv/remote/page").await.unwrap().stdout, "mine\n");

    let text = SERVICE.replace("BRANCH", "main, force: true").replace("COMMIT", "main");
    machines.write("services/app/service.yaml", &text);
    let told = machines.settle("web1", 1).await;
    assert!(told.contains(&"< 1 changed files".to_owned()), "{told:?}");
    // What git does not know is nobody's business.
    assert_eq!(node.run("cat /srv/remote/page /srv/remote/notes").await.unwrap().stdout, "next\nnew\n");

    for (change, why) in [
        ("revision: nosuch", "has no branch or tag 'nosuch'"),
        ("path: /etc/ssh", "/etc/ssh is there and is no working tree of git"),
        (
            "repository: 'root@forge.example.org:/srv/none.git'",
            "the node cannot read root@forge.example.org:/srv/none.git",
        ),
        (
            "repository: 'root@nowhere.example.org:/srv/app.git'",
            "the node cannot read root@nowhere.example.org:/srv/app.git",
        ),
    ] {
        let usual = ["repository: /srv/app.git", "path: /srv/other", "revision: main"];
        let key = change.split(':').next().unwrap();
        let kept = usual.into_iter().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join(", ");
        machines.write("services/app/service.yaml", &format!("steps:\n  - git: {{{kept}, {change}}}\n"));
        let before = machines.snapshot("web1");
        let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
        before.is_still(&machines.snapshot("web1"));
        assert!(said.contains(why), "{said}");
    }
}
