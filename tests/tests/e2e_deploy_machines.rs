//! Checks and deployments on whole machines: packages, users and files of the system, seen from outside.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Machines;
use std::fs;
use testkit::hosts;

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
touch /srv/tool
chmod 4755 /srv/tool
"#;

const SERVICE: &str = r#"
steps:
  - package: greeter-for-tests
  - user: {name: greeter, uid: 4711, shell: /usr/sbin/nologin, system: true}
  - directory: {path: /etc/greeter, owner: greeter, mode: "0750"}
  - file: {path: /etc/greeter/conf, content: "port 80\n", owner: greeter, mode: "0600"}
  - line_in_file: {path: /etc/hosts, line: "10.9.8.7 greeter"}
  - file: {path: /srv/tool, owner: greeter}
  - user: walker
  - file: {path: /home/walker/.path, content: here, owner: walker, group: walker}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_check_of_a_whole_machine_changes_no_byte_and_is_what_a_deployment_does() {
    if let Some(reason) = hosts::missing().await {
        let name = "e2e_a_check_of_a_whole_machine_changes_no_byte_and_is_what_a_deployment_does";
        return e2e::skip(name, &reason);
    }
    let machines = Machines::start(&["web1"], &[]).await;
    let host = machines.host("web1");
    host.run(REPOSITORY).await.unwrap();
    machines.inventory(&[("web1", &["greeter"])]).await;
    machines.write("services/greeter/service.yaml", SERVICE);

    let told = machines.settle("web1", 8).await;
    assert_eq!(told[0], "Install package greeter-for-tests");
    assert_eq!(told[1], "> package greeter-for-tests 1.2-3");
    let seen = host
        .run("dpkg-query -W -f '${Version} ' greeter-for-tests; id -u greeter; stat -c '%U %a' /etc/greeter/conf; tail -n 1 /etc/hosts; cat /opt/greeter/hello; stat -c '%U %a' /srv/tool /home/walker/.path")
        .await
        .unwrap();
    assert_eq!(seen.stdout, "1.2-3 4711\ngreeter 600\n10.9.8.7 greeter\nhello\ngreeter 4755\nwalker 644\n");
    // Of two deployments, one had something to do.
    let logs: Vec<_> = fs::read_dir(host.root().join("var/log/deployments")).unwrap().flatten().collect();
    let log = fs::read_to_string(logs[0].path()).unwrap();
    assert!(log.contains("user: root\n") && log.contains("exit_status: 0\n"), "{log}");
    assert!(host.root().join("var/lib/hostler/lock").symlink_metadata().is_err());
}
