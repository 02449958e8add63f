//! Host keys: known, new, changed, believed again.

use crate::{Home, host_lines, known_line, says, target};
use base::Code;
use ssh::{HostKeyPolicy, KeyPair, Target};
use testkit::sshd::Sshd;

async fn server_and_home() -> (Sshd, Home) {
    let server = Sshd::start(&[]).await.unwrap();
    let home = Home::new();
    home.write("config", &host_lines("web1", &server));
    (server, home)
}

#[tokio::test]
async fn a_known_host_is_reached_and_its_connection_is_reused() {
    let (server, home) = server_and_home().await;
    home.write("known_hosts", &known_line(&server));
    let dialer = home.dialer(Some(HostKeyPolicy::Strict));
    let web1 = target("web1");
    let (a, b) = tokio::join!(dialer.connect(&web1), dialer.connect(&web1));
    assert_eq!(says(&a.unwrap(), "echo one").await, "one\n");
    assert_eq!(says(&b.unwrap(), "echo two").await, "two\n");
    assert_eq!(server.log().matches("Accepted publickey").count(), 1, "one connection for both");
}

#[tokio::test]
async fn a_hashed_name_is_found() {
    let (server, home) = server_and_home().await;
    home.write("known_hosts", &known_line(&server));
    let mut keygen = rt::process::command("ssh-keygen");
    keygen.arg("-q").arg("-H").arg("-f").arg(home.path("known_hosts"));
    rt::process::run(keygen, std::time::Duration::from_secs(20)).await.unwrap();
    assert!(home.read("known_hosts").starts_with("|1|"));
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_refused_when_strict() {
    let (server, home) = server_and_home().await;
    let e = home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Forbidden);
    assert!(e.message.contains("web1 is not known"), "{e}");
    assert!(e.hint.unwrap().contains("hostler node trust web1"));
    assert_eq!(home.read("known_hosts"), "");
    assert!(!server.log().contains("Accepted"), "nobody must have logged in");
}

#[tokio::test]
async fn a_new_key_is_kept_at_first_use() {
    let (server, home) = server_and_home().await;
    home.dialer(Some(HostKeyPolicy::FirstUse)).connect(&target("web1")).await.unwrap();
    assert_eq!(home.read("known_hosts"), known_line(&server));
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn names_are_hashed_when_the_configuration_says_so() {
    let (_server, home) = server_and_home().await;
    let config = home.read("config") + " HashKnownHosts yes\n";
    home.write("config", &config);
    home.dialer(Some(HostKeyPolicy::FirstUse)).connect(&target("web1")).await.unwrap();
    assert!(home.read("known_hosts").starts_with("|1|"), "{}", home.read("known_hosts"));
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn a_changed_key_is_refused_loudly_until_it_is_trusted() {
    let (server, home) = server_and_home().await;
    let old = KeyPair::generate();
    let name = known_line(&server).split(' ').next().unwrap().to_owned();
    home.write("known_hosts", &format!("other,{name} {}\n", old.public_openssh().unwrap()));
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::FirstUse] {
        let e = home.dialer(Some(policy)).connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Forbidden);
        assert!(e.message.contains("THE HOST KEY OF web1 HAS CHANGED"), "{e}");
        let cause = e.cause.unwrap();
        assert!(cause.contains(&old.fingerprint()) && cause.contains("known_hosts:1"), "{cause}");
        assert_eq!(cause.matches("SHA256:").count(), 2, "{cause}");
        assert!(e.hint.unwrap().contains("hostler node trust web1"));
    }
    assert!(!server.log().contains("Accepted"), "nobody must have logged in");

    let dialer = home.dialer(Some(HostKeyPolicy::Strict));
    let shown = dialer.host_key(&target("web1")).await.unwrap();
    assert!(server.host_key().starts_with(&shown), "{shown}");
    assert_eq!(dialer.trust(&target("web1"), &shown).await.unwrap(), 1);
    assert_eq!(
        home.read("known_hosts"),
        format!("other {}\n{}", old.public_openssh().unwrap(), known_line(&server))
    );
    dialer.connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn keys_that_are_given_need_no_file() {
    let (server, home) = server_and_home().await;
    let given = Target { host_keys: vec![server.host_key().to_owned()], ..target("web1") };
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&given).await.unwrap();
}
