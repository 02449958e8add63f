//! Checks and deployments on whole machines: packages, users and files of the system, seen from outside.

#![allow(clippy::disallowed_macros)] // the test command reads what skips itself

use e2e::binary;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::hosts::{self, Host, Network};

const SOON: Duration = Duration::from_mins(2);
const NAME: &str = "e2e_a_check_of_a_whole_machine_changes_no_byte_and_is_what_a_deployment_does";

/// Where the files of a machine are looked at.
const PLACES: [&str; 8] = ["etc", "tmp", "var/log", "var/lib", "var/cache", "root", "srv", "home"];
/// What the login itself writes, whatever is done then.
const LOGINS: [&str; 4] = ["var/log/wtmp", "var/log/btmp", "var/log/lastlog", "var/log/sshd.log"];

type Snapshot = BTreeMap<PathBuf, (u32, u32, u32, i64, i64, Vec<u8>)>;

fn snapshot(host: &Host) -> Snapshot {
    let (root, mut all) = (host.root(), BTreeMap::new());
    let mut open: Vec<PathBuf> = PLACES.iter().map(|p| root.join(p)).collect();
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let Ok(name) = path.strip_prefix(&root).map(Path::to_owned) else { continue };
        if LOGINS.iter().any(|login| name == Path::new(login)) {
            continue;
        }
        let content = if metadata.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        let of = (
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            content,
        );
        all.insert(name, of);
    }
    all
}

/// A package of our own in a repository of its own, which is all that apt of the machine knows.
const REPOSITORY: &str = r#"
set -e
# What other tests do on this machine must not show here.
rm -rf /var/lib/hostler /var/log/deployments
mkdir -p /srv/repo /tmp/p/DEBIAN /tmp/p/opt/greeter
echo hello >/tmp/p/opt/greeter/hello
printf 'Package: greeter-for-tests\nVersion: 1.2-3\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n' >/tmp/p/DEBIAN/control
dpkg-deb -b --root-owner-group /tmp/p /srv/repo/greeter.deb >/dev/null
rm -rf /tmp/p
cd /srv/repo
{ dpkg-deb -f greeter.deb; echo "Filename: ./greeter.deb"; echo "Size: $(stat -c %s greeter.deb)"
  echo "SHA256: $(sha256sum greeter.deb | cut -d ' ' -f 1)"; echo; } >Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/repo.list
apt-get -q update >/dev/null
"#;

const SERVICE: &str = r#"
steps:
  - package: greeter-for-tests
  - user: {name: greeter, uid: 4711, shell: /usr/sbin/nologin, system: true}
  - directory: {path: /etc/greeter, owner: greeter, mode: "0750"}
  - file: {path: /etc/greeter/conf, content: "port 80\n", owner: greeter, mode: "0600"}
  - line_in_file: {path: /etc/hosts, line: "10.9.8.7 greeter"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_check_of_a_whole_machine_changes_no_byte_and_is_what_a_deployment_does() {
    if let Some(reason) = hosts::missing().await {
        println!("SKIPPED {NAME}: {reason}");
        return;
    }
    let program = binary().canonicalize().unwrap();
    let network = Network::start(&["web1.example.org"], &[program.parent().unwrap()]).await.unwrap();
    let (operator, host) = (network.operator(), &network.hosts()[0]);
    host.run(REPOSITORY).await.unwrap();
    let key = fs::read_to_string(host.root().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    let fleet = operator.root().join("root/fleet");
    fs::create_dir_all(fleet.join("services/greeter")).unwrap();
    fs::write(fleet.join("hostler.yaml"), "platforms: [{name: lab, type: yaml, path: .}]\n").unwrap();
    fs::write(fleet.join("services/greeter/service.yaml"), SERVICE).unwrap();
    let inventory = format!(
        "web1:\n  metadata: {{hostname: web1.example.org, ssh_user: root, host_keys: ['{}']}}\n  services: [greeter]\n",
        key.trim()
    );
    fs::write(fleet.join("inventory.yaml"), inventory).unwrap();
    let hostler = async |args: &str| {
        let mut sh = operator.command("sh");
        sh.args(["-c", &format!("cd /root/fleet && {} {args}", program.display())]);
        rt::process::run(sh, SOON).await.unwrap().stdout
    };
    let data =
        async |args: &str| -> serde_json::Value { serde_json::from_str(&hostler(args).await).unwrap() };

    // One login first: what it makes once is not the check's.
    hostler("run --all --command true").await;
    let before = snapshot(host);
    let found = data("check --all -o json").await;
    let after = snapshot(host);
    let differs: Vec<_> =
        before.keys().chain(after.keys()).filter(|p| before.get(*p) != after.get(*p)).collect();
    assert!(differs.is_empty(), "{differs:?}");
    assert!(before.len() > 1000, "only {} files were looked at", before.len());
    let plan = &found["nodes"]["web1"];
    assert_eq!((plan["changes"].as_u64(), plan["unknown"].as_u64()), (Some(5), Some(0)), "{found}");
    let package = plan["steps"][0]["parts"][0].clone();
    assert_eq!(package["title"], "Install package greeter-for-tests");
    assert_eq!(package["diff"][0], "> package greeter-for-tests 1.2-3");

    let done = data("deploy --all -o json").await;
    assert_eq!((done["items"][0]["changed"].as_u64(), &done["items"][0]["plan"]), (Some(5), plan));
    let seen = host
        .run("dpkg-query -W -f '${Version} ' greeter-for-tests; id -u greeter; stat -c '%U %a' /etc/greeter/conf; tail -n 1 /etc/hosts; cat /opt/greeter/hello")
        .await
        .unwrap();
    assert_eq!(seen.stdout, "1.2-3 4711\ngreeter 600\n10.9.8.7 greeter\nhello\n");
    let logs: Vec<_> = fs::read_dir(host.root().join("var/log/deployments")).unwrap().flatten().collect();
    let log = fs::read_to_string(logs[0].path()).unwrap();
    assert!(logs.len() == 1 && log.contains("user: root\n") && log.contains("exit_status: 0\n"), "{log}");
    assert!(host.root().join("var/lib/hostler/lock").symlink_metadata().is_err());

    let settled = snapshot(host);
    let again = data("check --all -o json").await;
    assert_eq!(again["nodes"]["web1"]["changes"].as_u64(), Some(0), "{again}");
    assert!(snapshot(host) == settled);
}
