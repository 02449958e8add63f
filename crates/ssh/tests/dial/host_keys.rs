//! Host keys: known, new, changed, believed again.

use crate::{Home, host_lines, known_line, says, target};
use base::Code;
use ssh::{HostKeyPolicy, KeyPair, Target};
use std::net::Ipv4Addr;
use testkit::sshd::{Sshd, make_key_of};

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

#[tokio::test]
async fn of_several_host_keys_the_known_one_is_asked_for() {
    let server = Sshd::start_at(Ipv4Addr::LOCALHOST, async |dir| {
        make_key_of(&dir.join("rsa"), "rsa", "").await?;
        make_key_of(&dir.join("ecdsa"), "ecdsa", "").await?;
        let dir = dir.display();
        Ok(vec![format!("HostKey {dir}/rsa"), format!("HostKey {dir}/ecdsa")])
    });
    let server = server.await.unwrap();
    let name = known_line(&server).split(' ').next().unwrap().to_owned();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let home = Home::new();
        home.write("config", &host_lines("web1", &server));
        let file = if kind == "ed25519" { "host_key.pub" } else { &format!("{kind}.pub") };
        let line = std::fs::read_to_string(server.identity().with_file_name(file)).unwrap();
        home.write("known_hosts", &format!("{name} {line}"));
        let connection = home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
        assert!(line.starts_with(&connection.host_key_seen()), "{kind}: {}", connection.host_key_seen());
    }
}

#[tokio::test]
async fn a_key_of_another_type_than_the_known_one_is_a_change() {
    let (server, home) = server_and_home().await;
    let dir = tempfile::tempdir().unwrap();
    let other = make_key_of(&dir.path().join("rsa"), "rsa", "").await.unwrap();
    let name = known_line(&server).split(' ').next().unwrap().to_owned();
    home.write("known_hosts", &format!("{name} {other}\n"));
    let e = home.dialer(Some(HostKeyPolicy::FirstUse)).connect(&target("web1")).await.unwrap_err();
    assert!(e.message.contains("HAS CHANGED"), "{e}");
}

#[tokio::test]
async fn revoked_keys_are_refused_wherever_they_are_listed() {
    let (server, home) = server_and_home().await;
    let key = known_line(&server).split_once(' ').unwrap().1.to_owned();
    home.write("known_hosts", &format!("{}@revoked * {key}", known_line(&server)));
    let e = home.dialer(None).connect(&target("web1")).await.unwrap_err();
    assert_eq!((e.code, e.message.contains("REVOKED")), (Code::Forbidden, true), "{e}");

    home.write("known_hosts", &known_line(&server));
    home.write("bad", &key);
    let config = format!("{} RevokedHostKeys {}\n", home.read("config"), home.path("bad").display());
    home.write("config", &config);
    let e = home.dialer(None).connect(&target("web1")).await.unwrap_err();
    assert_eq!((e.code, e.message.contains("REVOKED")), (Code::Forbidden, true), "{e}");
    assert!(!server.log().contains("Accepted"), "nobody must have logged in");
}

#[tokio::test]
async fn addresses_are_checked_and_kept_where_that_is_asked_for() {
    let (server, home) = server_and_home().await;
    let port = server.address().port();
    let config = home
        .read("config")
        .replace("HostName 127.0.0.1", "HostName localhost\n CheckHostIP yes\n AddressFamily inet");
    home.write("config", &config);
    home.dialer(Some(HostKeyPolicy::FirstUse)).connect(&target("web1")).await.unwrap();
    let key = known_line(&server).split_once(' ').unwrap().1.to_owned();
    let kept = home.read("known_hosts");
    assert_eq!(kept, format!("[localhost]:{port} {key}[127.0.0.1]:{port} {key}"));
    // The name is right, the address is somebody else's.
    let other = KeyPair::generate().public_openssh().unwrap();
    home.write("known_hosts", &format!("[localhost]:{port} {key}[127.0.0.1]:{port} {other}\n"));
    let e = home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap_err();
    assert!(e.message.contains("HAS CHANGED"), "{e}");
}

#[tokio::test]
async fn a_name_without_its_port_is_good_enough_and_an_alias_stands_for_all() {
    let (server, home) = server_and_home().await;
    let key = known_line(&server).split_once(' ').unwrap().1.to_owned();
    home.write("known_hosts", &format!("127.0.0.1 {key}"));
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
    home.write("config", &format!("{} HostKeyAlias The.Alias\n", home.read("config")));
    home.write("known_hosts", &format!("*.alias {key}"));
    home.dialer(Some(HostKeyPolicy::Strict)).connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn many_first_uses_at_once_keep_each_key_once() {
    let (server, home) = server_and_home().await;
    let dialer = home.dialer(Some(HostKeyPolicy::FirstUse));
    let connecting = (0..20).map(|n| {
        let options = vec![("SetEnv".to_owned(), format!("N={n}"))];
        let (dialer, web1) = (dialer.clone(), Target { options, ..target("web1") });
        async move { dialer.connect(&web1).await.unwrap() }
    });
    futures::future::join_all(connecting).await;
    assert_eq!(home.read("known_hosts"), known_line(&server));
    assert_eq!(server.log().matches("Accepted publickey").count(), 20);
}

#[tokio::test]
async fn keys_that_files_know_are_told_without_a_call() {
    let home = Home::new();
    let made: Vec<String> = (0..4).map(|_| KeyPair::generate().public_openssh().unwrap()).collect();
    let line = |name: &str, of: usize| format!("{name} {}\n", made[of]);
    home.write("config", "Host web1\n HostName 192.0.2.1\n Port 2222\nHost web2\n HostName 192.0.2.2\n");
    let known = home.dialer(None);
    let keys = async |text: String| {
        home.write("known_hosts", &text);
        (known.known_keys(&target("web1")).await.unwrap(), known.known_keys(&target("web2")).await.unwrap())
    };
    let only = |of: usize| vec![made[of].split_whitespace().take(2).collect::<Vec<_>>().join(" ")];
    let one = line("[192.0.2.1]:2222", 1) + &line("192.0.2.2", 2);
    assert_eq!(keys(one.clone()).await, (only(1), only(2)));
    // What is known of the usual port counts where nothing else is known, as at the login.
    assert_eq!(keys(line("192.0.2.1", 3)).await, (only(3), vec![]));
    assert_eq!(keys(format!("{one}{}", line("192.0.2.1", 3))).await, (only(1), only(2)));
    // A revoked key is none, and an authority says itself which keys are good.
    assert_eq!(keys(format!("{one}@revoked {}", line("*", 1))).await.1, only(2));
    assert_eq!(keys(format!("{one}@revoked {}", line("[192.0.2.1]:2222", 1))).await.0, Vec::<String>::new());
    assert_eq!(keys(format!("{one}@cert-authority {}", line("*", 0))).await, (vec![], vec![]));
}
