//! Against `ssh-keygen -F`, which says where a host is found.

use super::{Books, File, Kind, add, host_name, replace};
use proptest::{collection::vec, prelude::*, sample::select};
use std::{path::Path, time::Duration};

const KEYS: [&str; 3] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];

fn run(args: &[&str]) -> String {
    let mut command = rt::process::command("ssh-keygen");
    command.args(args);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // It fails where it finds nothing.
    let ended = runtime.block_on(rt::process::run(command, Duration::from_secs(20)));
    ended.map(|output| output.stdout).unwrap_or_default()
}

/// The lines where `ssh-keygen` finds a host.
fn found_by_openssh(path: &Path, name: &str) -> Vec<usize> {
    let said = run(&["-F", name, "-f", path.to_str().unwrap()]);
    let line =
        |text: &str| text.strip_prefix("# Host ")?.split("line ").nth(1)?.split(' ').next()?.parse().ok();
    said.lines().filter_map(line).collect()
}

fn read(path: &Path) -> File {
    File::parse(path, &std::fs::read_to_string(path).unwrap())
}

fn found_here(path: &Path, name: &str) -> Vec<usize> {
    let file = read(path);
    let mut lines: Vec<usize> = file.of(name).map(|known| known.line).collect();
    lines.sort_unstable();
    lines
}

fn line() -> impl Strategy<Value = String> {
    let name = select(vec![
        "web1",
        "WEB1",
        "web2",
        "[web1]:2222",
        "*",
        "web?",
        "w*1",
        "!web1",
        "10.0.0.1",
        "[10.0.0.*]:*",
        "web1.example.com",
    ]);
    let names = vec(name, 1..4).prop_map(|n| n.join(","));
    let marker = select(vec!["", "", "", "@cert-authority ", "@revoked ", "@unheard-of "]);
    prop_oneof![
        6 => (marker, names, select(KEYS.to_vec())).prop_map(|(m, n, k)| format!("{m}{n} {k} a comment")),
        2 => (select(vec!["web1", "[web1]:2222", "web2"]), select(KEYS.to_vec()))
            .prop_map(|(n, k)| format!("{} {k}", super::entry::Names::hashed(n))),
        1 => select(vec!["# web1 ssh-ed25519 x", "", "   ", "web1", "|1|a|b ssh-ed25519 AA"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn hosts_are_found_where_openssh_finds_them(
        lines in vec(line(), 0..8),
        name in select(vec!["web1", "web2", "web11", "[web1]:2222", "10.0.0.1", "[10.0.0.7]:22", "web1.example.com"]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        std::fs::write(&path, lines.join("\n")).unwrap();
        prop_assert_eq!(found_here(&path, name), found_by_openssh(&path, name), "{} in\n{}", name, lines.join("\n"));
    }

    #[test]
    fn what_is_replaced_is_all_that_is_known(
        lines in vec(line(), 0..8),
        name in select(vec!["web1", "[web1]:2222"]),
        hash: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let others = |path: &Path| {
            read(path).of("web2").map(|k| k.blob.to_vec()).collect::<Vec<_>>()
        };
        let before = others(&path);
        let key = KEYS[0].to_owned();
        replace(&path, name, std::slice::from_ref(&key), hash).unwrap();
        let file = read(&path);
        // Patterns may still name it, and markers stay.
        let plain = file.entries.iter().filter(|e| e.kind == Kind::Key && e.names.are(name));
        let named: Vec<_> = plain.filter(|e| !format!("{:?}", e.names).contains(['*', '?'])).collect();
        prop_assert_eq!(named.len(), 1);
        prop_assert_eq!(&named[0].blob, &super::entry::Entry::parse(&format!("x {key}"), 1).unwrap().blob);
        prop_assert_eq!(others(&path), before, "other hosts keep theirs");
        // Once more changes nothing but that line.
        let text = std::fs::read_to_string(&path).unwrap();
        replace(&path, name, &[key], false).unwrap();
        prop_assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), text.lines().count());
    }
}

#[test]
fn names_carry_unusual_ports() {
    assert_eq!(host_name("Web1", 22), "web1");
    assert_eq!(host_name("Web1", 2222), "[web1]:2222");
    assert_eq!(host_name("fe80::1", 2222), "[fe80::1]:2222");
}

#[test]
fn what_openssh_reads_of_ours_is_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/known_hosts");
    add(&path, "web1", KEYS[0], true).unwrap();
    add(&path, "[web1]:2222", &format!("{} comment", KEYS[1]), false).unwrap();
    add(&path, "web1", KEYS[0], false).unwrap();
    assert_eq!(found_by_openssh(&path, "web1"), [1]);
    assert_eq!(found_by_openssh(&path, "[web1]:2222"), [2]);
    let shown = run(&["-lf", path.to_str().unwrap()]);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let file = read(&path);
    let ours = super::fingerprint(file.of("web1").next().unwrap().blob);
    assert!(shown.contains(&ours), "{shown} lacks {ours}");
}

#[test]
fn files_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("a"), dir.path().join("b")];
    let books = Books::default();
    let count = |name: &str| books.read(paths.iter()).unwrap().of(name).count();
    assert_eq!(count("web1"), 0);
    add(&paths[0], "web1", KEYS[0], false).unwrap();
    assert_eq!(count("web1"), 1);
    add(&paths[1], "web1", KEYS[1], false).unwrap();
    assert_eq!(count("web1"), 2);
    replace(&paths[0], "web1", &[], false).unwrap();
    assert_eq!(count("web1"), 1);
}
