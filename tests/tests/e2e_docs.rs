//! The documentation, executed: every `sh` block of every page under `docs/`, in order, in one shell per page, on a
//! cluster of its own.
//!
//! A line `$ COMMAND` must end with 0 and, where lines follow, print just those: `...` stands for any text, and alone on
//! its line for any lines; runs of blanks count as one. A line `> ` continues a command. A block without `$ ` is a script,
//! each part of which must end with 0. Other blocks (`text`, `yaml`, ...) are not run. A page that says
//! `<!-- needs: qemu -->` gets a worker that runs real guests instead of two that play; `<!-- needs: sandbox -->` is skipped
//! where code of others cannot be kept apart.

mod docs_support;

use docs_support::{Step, execute, pages, steps};
use e2e::{Cluster, Layout, Setup};

async fn a_page_holds(page: &str) {
    let cluster = Cluster::start(Setup::synthetic(Layout::Dev, 2)).await;
    execute(page, &cluster).await;
}

async fn a_page_with_sandboxes_holds(page: &str, test: &str) {
    match runner::Sandbox::available().await {
        Ok(()) => a_page_holds(page).await,
        Err(e) => e2e::skip(test, &e.to_string()),
    }
}

async fn a_page_with_guests_holds(page: &str, test: &str) {
    let Some(guest) = e2e::guest_image() else {
        e2e::skip(test, "the guest image is not built (make guest)");
        return;
    };
    let cluster = Cluster::start(Setup::qemu(Layout::Dev, 1, guest)).await;
    execute(page, &cluster).await;
}

macro_rules! pages {
    (synthetic: $($synthetic:ident $page:literal)*; sandbox: $($sandbox:ident $apart:literal)*;
     qemu: $($qemu:ident $guests:literal)*) => {
        const TESTED: &[(&str, &str)] =
            &[$(($page, ""),)* $(($apart, "sandbox"),)* $(($guests, "qemu"),)*];
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $synthetic() {
            a_page_holds($page).await;
        })*
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $sandbox() {
            a_page_with_sandboxes_holds($apart, stringify!($sandbox)).await;
        })*
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $qemu() {
            a_page_with_guests_holds($guests, stringify!($qemu)).await;
        })*
    };
}

pages! {
    synthetic:
        e2e_docs_first_cluster "first-cluster.md"
        e2e_docs_vms "vms.md"
        e2e_docs_workers "workers.md"
        e2e_docs_placement "placement.md"
        e2e_docs_identity "identity.md"
        e2e_docs_api "api.md"
        e2e_docs_operations "operations.md"
        e2e_docs_cli "cli.md"
        e2e_docs_fleet "fleet.md"
        e2e_docs_fleet_inventory "fleet-inventory.md"
        e2e_docs_from_ansible "from-ansible.md"
        e2e_docs_fleet_deploy "fleet-deploy.md"
        e2e_docs_fleet_secrets "fleet-secrets.md"
        e2e_docs_fleet_tests "fleet-tests.md";
    sandbox:
        e2e_docs_fleet_controller "fleet-controller.md";
    qemu:
        qemu_docs_access "access.md"
        qemu_docs_images "images.md"
}

#[test]
fn every_page_is_tested_on_the_cluster_that_it_asks_for() {
    let mut tested: Vec<(String, &str)> = TESTED.iter().map(|(p, needs)| ((*p).to_owned(), *needs)).collect();
    tested.sort();
    let needs = |text: &str| {
        let known = ["sandbox", "qemu"];
        known.into_iter().find(|n| text.contains(&format!("<!-- needs: {n} -->"))).unwrap_or_default()
    };
    let with_steps: Vec<(String, &str)> = pages()
        .into_iter()
        .filter(|(_, text)| !steps(text).is_empty())
        .map(|(page, text)| (page, needs(&text)))
        .collect();
    assert_eq!(tested, with_steps);
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let all = pages();
    for (page, text) in &all {
        for (target, _) in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let file = target.split('#').next().unwrap_or_default();
            let known =
                file.is_empty() || file.starts_with("http") || docs_support::docs().join(file).exists();
            assert!(known, "{page}: the link to {target} leads nowhere");
        }
    }
    let index = &all.iter().find(|(page, _)| page == "README.md").expect("an index").1;
    for (page, _) in all.iter().filter(|(page, _)| page != "README.md") {
        assert!(index.contains(&format!("({page})")), "the index does not name {page}");
    }
}

#[test]
fn blocks_become_steps() {
    let text =
        "# A\n```sh\n$ a \\\n    b\nout\n$ c <<E\n> d\n> E\n```\n```text\n$ no\n```\n```sh\nx\ny\n```\n";
    let step = |line, command: &str, expected: &str, script| Step {
        line,
        command: command.into(),
        expected: expected.lines().map(Into::into).collect(),
        script,
    };
    let wanted =
        [step(3, "a \\\n    b", "out", false), step(6, "c <<E\nd\nE", "", false), step(14, "x\ny", "", true)];
    assert_eq!(steps(text), wanted);
}

#[test]
fn commands_in_tables_become_steps_where_the_page_says_so() {
    let rows = "| a | b |\n|---|---|\n| `x \"y\"` | `hostler a -o b` |\n| `z` | not yet |\n| z | `hostler a`, `b` |\n";
    assert!(steps(rows).is_empty());
    let text = format!("<!-- tables are run -->\n{rows}");
    let commands: Vec<(usize, String)> = steps(&text).into_iter().map(|s| (s.line, s.command)).collect();
    assert_eq!(commands, [(4, "hostler a -o b".to_owned())]);
}

/// What a page that maps another system says is either run or said not to be there.
#[test]
fn every_command_of_ours_that_is_mapped_is_run() {
    for (page, text) in pages().iter().filter(|(_, text)| text.contains("<!-- tables are run -->")) {
        let run: Vec<String> = steps(text).into_iter().map(|step| step.command).collect();
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            for code in last.split('`').skip(1).step_by(2).filter(|code| code.starts_with("hostler ")) {
                assert!(run.iter().any(|command| command == code), "{page}: nothing runs {code}");
            }
        }
    }
}

#[test]
fn wildcards_match_text_and_lines() {
    let matches = |expected: &str, got: &str| {
        let expected: Vec<String> = expected.lines().map(Into::into).collect();
        docs_support::matches(&expected, got)
    };
    assert!(matches("a  b\n...\nz", "a b\n1\n2\nz\n"));
    assert!(matches("a...c ...\n...", "abbc d\n"));
    assert!(!matches("a", "a\nb\n"));
    assert!(!matches("...\nz", "a\nzz\n"));
    assert!(matches("id ... of ...", "id 7 of 9"));
    assert!(!matches("id ... of 9", "id 7 of 99"));
}

/// What the examples of the help texts take for granted.
const HELP_NEEDS: &str = r#"
set -e
for file in vmlinuz initrd.img; do ln -s "$GUEST/$file" $file; done
qemu-img create -q -f qcow2 debian-13-generic-amd64.qcow2 16M
echo data > x
tar czf app.tar.gz x
ssh-keygen -q -t ed25519 -N '' -f "$HOME/key"
cp "$XDG_STATE_HOME/hostler/dev/admin.token" token
echo 'platforms: [{name: lab, type: yaml, path: .}]' > hostler.yaml
echo 'web1: {metadata: {local_node: true}, services: [web]}' > inventory.yaml
printf '#!/usr/bin/python3\nprint("fine")\n' > check.py
"#;

/// What must be otherwise for an example to run here: words in it, and those to put in their place.
const HELP_OTHERWISE: &[(&str, &str)] = &[
    // The guest's user, with a key of ours.
    ("create web --image tiny", "create web --image tiny --ssh-key ~/key.pub"),
    ("user@web", "-i ~/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null hostler@web true"),
    // The tiny guest has little more than this directory.
    ("/srv", "/tmp"),
    ("/var/log", "/tmp"),
    // Our cluster stays the current one.
    ("--ca-pin PIN --token-file token --use", "--ca-pin $(printf '0%.0s' {1..64}) --token-file token"),
    // A small machine runs the tests.
    ("update web --cpus 4", "update web --cpus 1"),
    // These go on until somebody ends them.
    ("hostler vm port-forward web 8080:80", "timeout 1 hostler vm port-forward web 80 || test $? = 124"),
    ("hostler vm port-forward web 5432", "timeout 1 hostler vm port-forward web 5432 || test $? = 124"),
    ("hostler vm exec web -it -- top", "timeout 2 hostler vm exec web -it -- top || test $? = 124"),
];

#[tokio::test(flavor = "multi_thread")]
async fn qemu_docs_examples_of_the_help() {
    let Some(guest) = e2e::guest_image() else {
        e2e::skip("qemu_docs_examples_of_the_help", "the guest image is not built (make guest)");
        return;
    };
    let setup = Setup { guest: None, ..Setup::qemu(Layout::Dev, 1, guest.clone()) };
    let cluster = Cluster::start(setup).await;
    let mut examples = docs_support::help_examples(cluster.cli()).await;
    assert!(examples.len() > 20, "{examples:?}");
    // Images are there before VMs.
    examples.sort_by_key(|e| !e.contains("image import"));
    let mut shell = docs_support::shell(&cluster, HELP_NEEDS);
    shell.env("GUEST", guest);
    e2e::Cli::finish(shell, b"").await.ok();
    for example in examples {
        let said = HELP_OTHERWISE.iter().fold(example.clone(), |e, (from, to)| e.replace(from, to));
        let shell = docs_support::shell(&cluster, &format!("set -o pipefail\n{said}\n"));
        let ran = e2e::Cli::finish(shell, b"").await;
        assert_eq!(ran.code, 0, "{example}\n{}{}", ran.stdout, ran.stderr);
    }
}
