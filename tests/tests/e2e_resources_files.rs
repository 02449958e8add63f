//! Files, links and copies of directories, where their names and their places are odd.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Fleet;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn service(fleet: &Fleet, text: &str) {
    let dir = fleet.path().join("services/web");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("service.yaml"), text).unwrap();
}

/// Checks, deploys and checks again: so many steps change something, then none does.
async fn settle(fleet: &Fleet, changes: u64) {
    let found = fleet.run(&["check", "-r", "web", "-o", "json"]).await.json();
    let plan = &found["nodes"]["web1"];
    assert_eq!((plan["changes"].as_u64(), plan["unknown"].as_u64()), (Some(changes), Some(0)), "{plan}");
    let done = fleet.run(&["deploy", "-r", "web", "-o", "json"]).await.json();
    assert_eq!(&done["items"][0]["plan"], plan);
    let again = fleet.run(&["deploy", "-r", "web"]).await;
    assert!(again.code == 0 && again.stderr.contains("1 node: 0 changes"), "{again:?}");
}

async fn fleet() -> Fleet {
    let fleet = Fleet::start(1).await;
    let lab =
        "platforms:\n  - {name: lab, type: yaml, path: .}\ndeploy: {state_dir: ~/state, log_dir: ~/log}\n";
    fs::write(fleet.path().join("hostler.yaml"), lab).unwrap();
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_links_to_directories_change_and_become_files() {
    let fleet = fleet().await;
    let home = fleet.nodes()[0].home();
    for (target, changes) in [("one", 3), ("two", 1)] {
        let steps = "steps:\n  - directory: {path: ~/one}\n  - directory: {path: ~/two}\n";
        service(&fleet, &format!("{steps}  - link: {{path: ~/current, target: {target}}}\n"));
        settle(&fleet, changes).await;
        assert_eq!(fs::read_link(home.join("current")).unwrap(), Path::new(target));
    }
    service(&fleet, "steps: [{file: {path: ~/current, content: plain}}]\n");
    settle(&fleet, 1).await;
    assert_eq!(fs::read_to_string(home.join("current")).unwrap(), "plain");
    // Nothing was moved into what the link led to.
    for dir in ["one", "two"] {
        assert_eq!(fs::read_dir(home.join(dir)).unwrap().count(), 0, "{dir}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_copies_have_the_names_the_modes_and_the_bytes_of_what_is_copied() {
    let fleet = fleet().await;
    service(&fleet, "steps: [{copy: {src: tree, path: ~/copy}}]\n");
    let tree = fleet.path().join("services/web/tree");
    fs::create_dir_all(tree.join("empty dir")).unwrap();
    let names = ["-n", "it's \"quoted\"", "$HOME `x`", "back\\slash", "ünï", ".hidden", "*"];
    for name in names {
        fs::write(tree.join(name), name).unwrap();
    }
    fs::set_permissions(tree.join("-n"), fs::Permissions::from_mode(0o750)).unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    fs::write(tree.join("large"), &bytes).unwrap();
    std::os::unix::fs::symlink("nowhere/at all", tree.join("dangling")).unwrap();
    settle(&fleet, 1).await;
    let copy = fleet.nodes()[0].home().join("copy");
    for name in names {
        assert_eq!(fs::read_to_string(copy.join(name)).unwrap(), name);
    }
    assert_eq!(fs::metadata(copy.join("-n")).unwrap().permissions().mode() & 0o7777, 0o750);
    assert!(fs::read(copy.join("large")).unwrap() == bytes && copy.join("empty dir").is_dir());
    assert_eq!(fs::read_link(copy.join("dangling")).unwrap(), Path::new("nowhere/at all"));

    // What is not copied stays; one byte that differs is put right.
    fs::write(copy.join("mine"), "mine").unwrap();
    fs::write(copy.join("ünï"), "other").unwrap();
    settle(&fleet, 1).await;
    assert_eq!(fs::read_to_string(copy.join("ünï")).unwrap(), "ünï");
    assert_eq!(fs::read_to_string(copy.join("mine")).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_modes_of_directories_are_exact_and_what_steps_before_bring_is_there() {
    let fleet = fleet().await;
    let home = fleet.nodes()[0].home();
    let mode = |name: &str| fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o7777;
    service(
        &fleet,
        "steps: [{directory: {path: ~/shared, mode: '2770'}}, {directory: {path: ~/shared/in}}]\n",
    );
    settle(&fleet, 2).await;
    assert_eq!((mode("shared"), mode("shared/in")), (0o2770, 0o2755));
    service(
        &fleet,
        "steps: [{directory: {path: ~/shared, mode: '0700'}}, {directory: {path: ~/shared/in, mode: '0750'}}]\n",
    );
    settle(&fleet, 2).await;
    assert_eq!((mode("shared"), mode("shared/in")), (0o700, 0o750));

    // A file in what a clone will bring.
    let git = "cd \"$1\" && git init -q -b main repo && cd repo && mkdir etc && touch etc/conf && git add . && \
               git -c user.name=t -c user.email=t@example.org commit -q -m one";
    let mut sh = rt::process::command("sh");
    sh.args(["-c", git, "sh"]).arg(&home);
    rt::process::run(sh, std::time::Duration::from_secs(30)).await.unwrap();
    let clone = format!("git: {{repository: '{}', path: ~/app}}", home.join("repo").display());
    service(
        &fleet,
        &format!(
            "steps:\n  - {clone}\n  - file: {{path: ~/app/etc/local, content: x}}\n  - link: {{path: ~/gone, state: absent}}\n"
        ),
    );
    settle(&fleet, 2).await;
    assert_eq!(fs::read_to_string(home.join("app/etc/local")).unwrap(), "x");

    // Who is not there owns nothing, which a check says already.
    for (step, said) in [
        ("file: {path: ~/x, owner: nobody-here}", "the node has no user 'nobody-here'"),
        ("directory: {path: ~/shared, group: nobody-here}", "the node has no group 'nobody-here'"),
        ("user: {name: somebody, uid: 0}", "the uid 0 is another user's on the node"),
        ("user: {name: somebody, comment: 'a:b'}", "a comment has no ':' and no line feed in it"),
        ("user: {name: somebody, groups: [nobody-here]}", "the node has no group 'nobody-here'"),
    ] {
        service(&fleet, &format!("steps: [{{{step}}}]\n"));
        let wrong = fleet.run(&["check", "-r", "web"]).await.fails(1);
        assert!(wrong.contains(said), "{step}: {wrong}");
    }
}
