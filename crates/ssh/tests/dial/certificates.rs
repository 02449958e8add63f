//! Certificates, of hosts and of users.

use crate::{Home, host_lines, known_line, target};
use base::Code;
use std::net::Ipv4Addr;
use testkit::{
    ssh_agent::SshAgent,
    ssh_ca::SshCa,
    sshd::{Sshd, make_key_of},
};

/// A server whose host key an authority signed.
async fn certified(ca: &SshCa, names: &str, more: &[&str]) -> (Sshd, Home) {
    let server = Sshd::start_at(Ipv4Addr::LOCALHOST, async |dir| {
        let args: Vec<&str> = ["-h"].iter().chain(more).copied().collect();
        let certificate = ca.sign(&dir.join("host_key"), names, &args).await?;
        Ok(vec![format!("HostCertificate {}", certificate.display())])
    });
    let (server, home) = (server.await.unwrap(), Home::new());
    home.write("config", &host_lines("web1", &server));
    home.write("known_hosts", &format!("@cert-authority [127.0.0.*]:* {}\n", ca.line()));
    (server, home)
}

#[tokio::test]
async fn an_authority_that_is_known_vouches_for_hosts() {
    let ca = SshCa::new().await.unwrap();
    for names in ["127.0.0.1", "other,127.0.0.?", ""] {
        let (_server, home) = certified(&ca, names, &[]).await;
        home.strict().connect(&target("web1")).await.unwrap();
    }
}

#[tokio::test]
async fn certificates_of_hosts_are_looked_at_closely() {
    let ca = SshCa::new().await.unwrap();
    for (names, more, why) in [
        ("other", &[][..], "it is for other, not for 127.0.0.1"),
        ("127.0.0.1", &["-V", "20200101:20210101"][..], "it is not valid now"),
        ("127.0.0.1", &["-V", "20990101:21000101"][..], "it is not valid now"),
        ("127.0.0.1", &["-O", "critical:unheard@of=1"][..], "the critical option unheard@of"),
    ] {
        let (server, home) = certified(&ca, names, more).await;
        let e = home.dialer(None).connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Forbidden, "{e}");
        assert!(e.cause.as_deref().unwrap_or_default().contains(why), "{e} lacks '{why}'");
        assert!(!server.log().contains("Accepted"), "nobody must have logged in");
    }
}

#[tokio::test]
async fn an_authority_that_is_not_known_does_not_count_but_the_key_does() {
    let (ca, other) = (SshCa::new().await.unwrap(), SshCa::new().await.unwrap());
    let (server, home) = certified(&ca, "127.0.0.1", &[]).await;
    let authority = format!("@cert-authority * {}\n", other.line());
    home.write("known_hosts", &authority);
    assert_eq!(home.strict().connect(&target("web1")).await.unwrap_err().code, Code::Forbidden);
    home.write("known_hosts", &(authority + &known_line(&server)));
    home.strict().connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn a_revoked_authority_vouches_for_nobody() {
    let ca = SshCa::new().await.unwrap();
    let (_server, home) = certified(&ca, "127.0.0.1", &[]).await;
    home.write("known_hosts", &format!("{}@revoked * {}\n", home.read("known_hosts"), ca.line()));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert!(e.message.contains("REVOKED"), "{e}");
}

/// A server that takes certificates of users only, and a home with a key that an authority signed.
async fn for_users(ca: &SshCa, kind: &str) -> (Sshd, Home) {
    let trust = format!("TrustedUserCAKeys {}", ca.public().display());
    let server = Sshd::start(&[&trust, "AuthorizedKeysFile none"]).await.unwrap();
    let home = Home::new();
    let config = host_lines("web1", &server);
    let identity = server.identity().display().to_string();
    home.write("config", &config.replace(&identity, &home.path("mine").display().to_string()));
    home.write("known_hosts", &known_line(&server));
    make_key_of(&home.path("mine"), kind, "").await.unwrap();
    (server, home)
}

#[tokio::test]
async fn a_certificate_beside_its_key_is_offered() {
    let ca = SshCa::new().await.unwrap();
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let (server, home) = for_users(&ca, kind).await;
        let e = home.strict().connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Unauthenticated);
        ca.sign(&home.path("mine"), server.user(), &[]).await.unwrap();
        home.strict().connect(&target("web1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_is_named_goes_with_a_key_of_the_agent() {
    let ca = SshCa::new().await.unwrap();
    let (server, home) = for_users(&ca, "ed25519").await;
    let certificate = ca.sign(&home.path("mine"), server.user(), &[]).await.unwrap();
    let elsewhere = home.path("named-certificate");
    std::fs::rename(certificate, &elsewhere).unwrap();
    let agent = SshAgent::start().await.unwrap();
    agent.add(&home.path("mine")).await.unwrap();
    std::fs::remove_file(home.path("mine")).unwrap();
    home.write("config", &format!("{} CertificateFile {}\n", home.read("config"), elsewhere.display()));
    home.with_agent(&agent).connect(&target("web1")).await.unwrap();
    std::fs::remove_file(&elsewhere).unwrap();
    let e = home.with_agent(&agent).connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Invalid, "{e}");
}

#[tokio::test]
async fn an_agent_may_hold_the_certificate_itself() {
    let ca = SshCa::new().await.unwrap();
    let (server, home) = for_users(&ca, "rsa").await;
    ca.sign(&home.path("mine"), server.user(), &[]).await.unwrap();
    let agent = SshAgent::start().await.unwrap();
    agent.add(&home.path("mine")).await.unwrap();
    let config = home.read("config").replace(&home.path("mine").display().to_string(), "none");
    home.write("config", &config);
    home.with_agent(&agent).connect(&target("web1")).await.unwrap();
}
