//! Packages by real dnf and rpm, from a repository on the node itself. (What apt does is in `e2e_deploy_machines`.)

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Machines;
use testkit::hosts;

/// A machine without apt, with rpm's database and a repository of its own, which is all that dnf knows. `package` builds
/// one: NAME VERSION [NEEDS].
const REPOSITORY: &str = r"
set -e
rm /usr/bin/apt-get
rm -rf /var/lib/hostler /var/log/deployments /etc/yum.repos.d /var/cache/dnf
mkdir -p /etc/yum.repos.d /srv/repo /root/build
rpm --initdb
printf '[local]\nname=local\nbaseurl=file:///srv/repo\ngpgcheck=0\nmetadata_expire=1\n' >/etc/yum.repos.d/local.repo
cat >/usr/local/sbin/package <<'END'
#!/bin/sh -e
cd /root/build
cat >$1.spec <<SPEC
Name: $1
Version: $2
Release: 1
Summary: t
License: none
BuildArch: noarch
${3:+Requires: $3}
%description
t
%install
mkdir -p %{buildroot}/opt/$1
echo $2 >%{buildroot}/opt/$1/version
%files
/opt/$1
SPEC
rpmbuild --quiet -bb --define '_rpmdir /srv/repo' --define '_topdir /root/build' $1.spec
createrepo_c -q /srv/repo
END
chmod +x /usr/local/sbin/package
long=data-of-the-greeter-whose-name-is-longer-than-any-column-of-a-table
package greeter 1.2 $long
package $long 3.0
dnf -q makecache
";

fn service(machines: &Machines, package: &str) {
    machines.write("services/greeter/service.yaml", &format!("steps:\n  - package: {package}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_packages_are_installed_changed_and_removed_by_dnf_as_foretold() {
    if let Some(reason) = hosts::missing().await {
        return e2e::skip("e2e_packages_are_installed_changed_and_removed_by_dnf_as_foretold", &reason);
    }
    let machines = Machines::start(&["web1"], &[]).await;
    let host = machines.host("web1");
    host.run(REPOSITORY).await.unwrap();
    machines.inventory(&[("web1", &["greeter"])]).await;
    let installed =
        async || host.run("rpm -qa | sort; cat /opt/greeter/version || true").await.unwrap().stdout;
    let data = "data-of-the-greeter-whose-name-is-longer-than-any-column-of-a-table";

    service(&machines, "greeter");
    let told = machines.settle("web1", 1).await;
    let expected = ["Install package greeter", "> package greeter 1.2-1", &format!("> package {data} 3.0-1")];
    assert_eq!(told, expected);
    assert_eq!(installed().await, format!("{data}-3.0-1.noarch\ngreeter-1.2-1.noarch\n1.2\n"));

    // What the repository has since then is not known until somebody asks it.
    host.run("package greeter 1.3").await.unwrap();
    service(&machines, "{name: greeter, version: '1.3'}");
    let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
    assert!(said.contains("dnf cannot install greeter") && said.contains("`update: true`"), "{said}");
    service(&machines, "{name: greeter, version: '1.3', update: true}");
    machines.settle("web1", 1).await;
    assert!(installed().await.ends_with("greeter-1.3-1.noarch\n1.3\n"));
    service(&machines, "{name: greeter, version: 1.2-1}");
    assert_eq!(machines.settle("web1", 1).await[1..], ["> package greeter 1.2-1"]);
    assert!(installed().await.ends_with("greeter-1.2-1.noarch\n1.2\n"));

    service(&machines, &format!("{{name: {data}, state: absent}}"));
    let told = machines.settle("web1", 1).await;
    assert!(told.contains(&"< package greeter 1.2-1".to_owned()) && told.len() == 3, "{told:?}");
    assert_eq!(installed().await, "");

    service(&machines, "nosuch");
    let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
    assert!(said.contains("dnf cannot install nosuch") && said.contains("nosuch"), "{said}");
}
