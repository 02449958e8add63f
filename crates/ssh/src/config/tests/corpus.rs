//! Files by hand, one for each rule.

use super::Case;
use crate::config::{Hop, Proxy, Query};
use base::Code;
use std::time::Duration;

async fn one(text: &str, hosts: &[&str]) {
    let case = Case::new(&[("config", text)]).await;
    for host in hosts {
        case.agrees(host, &[]).await;
    }
}

#[tokio::test]
async fn the_first_value_counts() {
    one(
        "Port 2201\nHost a*\n Port 2202\n User first\nHost *\n User last\n User never\n ConnectTimeout 1m30s\n",
        &["a", "abc", "b", "A"],
    )
    .await;
}

#[tokio::test]
async fn host_patterns_and_their_negations() {
    one(
        "Host *.example.com !secret.example.com\n User one\nHost !b b c\n User two\nHost web? 10.0.0.*\n User three\n",
        &["x.example.com", "secret.example.com", "b", "c", "web1", "web12", "10.0.0.7", "X.EXAMPLE.com"],
    )
    .await;
}

#[tokio::test]
async fn lines_are_read_with_all_their_freedom() {
    one(
        "# comment\n\n\tHOST = \"a b\" c # comment\n  user=\"with blank\"\n Port = 2222  \r\n\
         IdentityFile=\"~/my keys/id\"\n IdentityFile ~/.ssh/it\\'s\n CompressionLevel 3\n\
         HostName 'quoted.example.com'\n",
        &["c", "d"],
    )
    .await;
}

#[tokio::test]
async fn host_names_are_replaced_and_small() {
    one(
        "Host short\n HostName %h.Example.COM\nHost addr\n HostName 10.1.2.3\nHost six\n HostName FE80::AB\n\
         Host pct\n HostName a%%b\n",
        &["short", "SHORT", "addr", "six", "pct", "Plain.Name", "::1", "FE80::1"],
    )
    .await;
}

#[tokio::test]
async fn matches_by_their_criteria() {
    let case = Case::new(&[(
        "config",
        "Host alias\n HostName real.example.com\n User carol\n\
         Match host real.example.com\n Port 2201\n\
         Match originalhost alias,other user carol\n ProxyJump gate\n\
         Match !host *.example.com\n Port 2202\n\
         Match user dave localuser *\n Port 2203\n\
         Match localuser nobody-here\n Port 2204\n\
         Match host=\"quoted*\"\n Port 2205\n\
         Match all\n ConnectionAttempts 4\n",
    )])
    .await;
    for host in ["alias", "other", "quoted", "x.example.com", "ALIAS"] {
        case.agrees(host, &[]).await;
        case.agrees(host, &[("User", "dave")]).await;
        case.agrees(host, &[("Port", "99"), ("User", "carol")]).await;
    }
}

#[tokio::test]
async fn the_final_pass_sees_the_final_name() {
    one(
        "Match final host *.example.com\n User late\n Port 2201\n\
         Host a\n HostName a.example.com\n\
         Match final all\n ConnectionAttempts 7\n\
         Host *.example.com\n ServerAliveInterval 9\n\
         Match canonical\n ServerAliveCountMax 8\n",
        &["a", "b", "b.example.com"],
    )
    .await;
}

#[tokio::test]
async fn without_a_final_criterion_there_is_one_pass() {
    one("Host a\n HostName b\nHost b\n User never\nMatch canonical\n Port 2201\n", &["a", "b"]).await;
}

#[tokio::test]
async fn a_negated_final_is_the_first_pass() {
    one(
        "Match !final host a\n User one\nMatch final\n Port 2201\nMatch !canonical\n ConnectTimeout 3\n",
        &["a", "b"],
    )
    .await;
}

#[tokio::test]
async fn files_include_others_where_they_stand() {
    let case = Case::new(&[
        (
            "config",
            "Host a\n Include $DIR/conf.d/*.conf $DIR/missing\nHost *\n User last\n ConnectTimeout 9\n",
        ),
        (
            "conf.d/1.conf",
            "User included\nHost b\n User never\nHost a\n Port 2201\nInclude $DIR/conf.d/deep\n",
        ),
        ("conf.d/2.conf", "ConnectTimeout 7\n"),
        ("conf.d/deep", "Host *\n ConnectionAttempts 5\nMatch all\n ServerAliveInterval 3\n"),
    ])
    .await;
    for host in ["a", "b", "c"] {
        case.agrees(host, &[]).await;
    }
}

#[tokio::test]
async fn what_is_included_starts_as_active_as_its_place() {
    let case = Case::new(&[
        ("config", "Host a\n Include $DIR/other\n Port 2201\nHost *\n Include $DIR/other\n"),
        ("other", "User plain\nHost b\n ConnectTimeout 4\n"),
    ])
    .await;
    for host in ["a", "b"] {
        case.agrees(host, &[]).await;
    }
}

#[tokio::test]
async fn of_jump_and_command_the_first_counts() {
    one(
        "Host a\n ProxyJump none\n ProxyCommand nc %h %p\nHost b\n ProxyCommand exec nc -X 5 \"%h\" %p # no comment\n\
         ProxyJump gate\nHost c\n ProxyJump me@gate:2201,[::1]:99,ssh://u@third\nHost d\n ProxyCommand none\n\
         Host *\n ProxyJump last\n",
        &["a", "b", "c", "d", "e"],
    )
    .await;
}

#[tokio::test]
async fn keys_and_certificates_add_up() {
    one(
        "Host a\n IdentityFile ~/.ssh/%r-%h-%n-%p\n IdentityFile /etc/%u/%i/%l/%L\n IdentityFile ~/.ssh/%r-%h-%n-%p\n\
         CertificateFile ~/c1\n CertificateFile ~/c2\n IdentitiesOnly yes\n IdentityAgent ~/agents/%h\n\
         Host b\n IdentityFile none\n IdentityAgent none\nHost c\n IdentityAgent SSH_AUTH_SOCK\n IdentityFile \"~/a b\"\n\
         Host *\n IdentityFile ~/.ssh/last\n",
        &["a", "b", "c"],
    )
    .await;
}

#[tokio::test]
async fn known_hosts_and_their_policies() {
    one(
        "Host a\n UserKnownHostsFile ~/kh-%h-%% /tmp/two\n GlobalKnownHostsFile /tmp/g\n HostKeyAlias Big.Alias\n\
         StrictHostKeyChecking accept-new\n CheckHostIP yes\n HashKnownHosts yes\n RevokedHostKeys ~/revoked-%k\n\
         Host b\n UserKnownHostsFile none\n StrictHostKeyChecking off\nHost c\n StrictHostKeyChecking yes\n\
         Host d\n StrictHostKeyChecking ask\n",
        &["a", "b", "c", "d", "e"],
    )
    .await;
}

#[tokio::test]
async fn environment_is_sent_and_set() {
    let mut case = Case::new(&[(
        "config",
        "SendEnv LC_* FOO\nHost a\n SendEnv -FOO BAR\n SetEnv A=1 \"B=two words\" C=\nHost *\n SetEnv D=never\n",
    )])
    .await;
    for (name, value) in [("LC_ALL", "C"), ("FOO", "foo"), ("BAR", "bar"), ("BAZ", "baz")] {
        case.me.environment.insert(name.into(), value.into());
    }
    case.agrees("a", &[]).await;
    case.agrees("b", &[]).await;
    let config = case.load().unwrap().resolve(&Query::new("a")).await.unwrap();
    let shown: Vec<String> = config.environment.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(shown.join("; "), "BAR=bar; LC_ALL=C; A=1; B=two words; C=");
}

#[tokio::test]
async fn algorithms_and_the_rest() {
    one(
        "Host a\n Ciphers aes128-ctr,aes256-gcm@openssh.com\n KexAlgorithms curve25519-sha256\n MACs hmac-sha2-256\n\
         HostKeyAlgorithms ssh-ed25519\n PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512\n\
         CASignatureAlgorithms ssh-ed25519\n\
         AddressFamily inet6\n BindAddress ::1\n TCPKeepAlive no\n ServerAliveInterval 30\n ServerAliveCountMax 9\n\
         Compression yes\n PreferredAuthentications publickey,password\n PubkeyAuthentication unbound\n\
         PasswordAuthentication no\n ChallengeResponseAuthentication no\n NumberOfPasswordPrompts 1\n BatchMode yes\n\
         RequiredRSASize 3072\n ConnectionAttempts 3\nHost b\n AddressFamily any\n KeepAlive no\n\
         KbdInteractiveAuthentication no\n PubkeyAuthentication no\n ConnectTimeout none\n",
        &["a", "b", "c"],
    )
    .await;
}

#[tokio::test]
async fn unknown_keywords_are_ignored_where_that_is_said() {
    one("IgnoreUnknown Foo*,bar\nFooBar x y z\nBAR \"1\" 2\nHost a\n fooled 1\n User u\n", &["a", "b"]).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_place() {
    for (text, line) in [
        ("Host a\n Port abc\n", 2),
        ("Host a\n Port 0\n", 2),
        ("User \"open\n", 1),
        ("\n\nHost\n", 3),
        ("Host *\nUser a b\n", 2),
        ("Compression maybe\n", 1),
        ("Match\n User a\n", 1),
        ("Match user\n Port 1\n", 1),
        ("Match all user x\n Port 1\n", 1),
        ("AddressFamily inet7\n", 1),
        ("ConnectTimeout 5x\n", 1),
        ("StrictHostKeyChecking never\n", 1),
        ("NoSuchKeyword 1\n", 1),
        ("ProxyJump a:0\n", 1),
        ("IdentityFile\n", 1),
    ] {
        let case = Case::new(&[("config", text)]).await;
        let e = case.is_refused("a").await;
        assert_eq!(e.code, Code::Invalid, "{text}");
        let place = e.field.clone().unwrap_or_default();
        assert!(place.ends_with(&format!("/config:{line}")), "{text}: {place}: {e}");
    }
}

#[tokio::test]
async fn what_only_openssh_can_tell_is_asked_of_it() {
    let case = Case::new(&[(
        "config",
        "Match host a exec \"test %n = a\"\n Port 2201\nMatch exec \"false\"\n Port 2202\nHost *\n User u\n",
    )])
    .await;
    let config = case.load().unwrap();
    let a = config.resolve(&Query::new("a")).await.unwrap();
    let b = config.resolve(&Query::new("b")).await.unwrap();
    assert_eq!((a.port, b.port), (2201, 22));
    assert_eq!((a.user.as_str(), b.user.as_str()), ("u", "u"));
}

#[tokio::test]
async fn each_host_is_resolved_once_per_content_of_the_files() {
    let case = Case::new(&[
        ("config", "Include $DIR/more\nMatch exec \"echo run >>$DIR/runs\"\n User u\n"),
        ("more", "Port 2201\n"),
    ])
    .await;
    let config = case.load().unwrap();
    for _ in 0..3 {
        assert_eq!(config.resolve(&Query::new("a")).await.unwrap().port, 2201);
    }
    let runs = std::fs::read_to_string(case.dir.path().join("runs")).unwrap();
    assert_eq!(runs.lines().count(), 1, "the command ran once");
    assert!(config.reload().unwrap().is_none());
    std::fs::write(case.dir.path().join("more"), "Port 2202\n").unwrap();
    let changed = config.reload().unwrap().unwrap();
    assert_eq!(changed.resolve(&Query::new("a")).await.unwrap().port, 2202);
}

#[tokio::test]
async fn lines_for_the_address_of_a_named_host_count_after_those_for_its_name() {
    let text = "Host web*\n User web\n IdentityFile ~/web\nHost 10.0.*\n User ops\n Port 2201\n IdentityFile ~/ops\n";
    let case = Case::new(&[("config", text)]).await;
    let mut query = Query::new("web1");
    query.at("10.0.0.1").unwrap();
    let web = case.agrees_on(&query).await;
    assert_eq!((web.user.as_str(), web.port, web.identity_files.len()), ("web", 2201, 2));
    let mut query = Query::new("db1");
    query.at("10.0.0.2").unwrap();
    assert_eq!(case.agrees_on(&query).await.user, "ops");
}

#[tokio::test]
async fn what_is_given_counts_first() {
    let case = Case::new(&[("config", "Host a\n User file\n Port 2201\n IdentityFile ~/file\n")]).await;
    case.agrees("a", &[("User", "given"), ("IdentityFile", "~/given"), ("ProxyJump", "gate:2")]).await;
    case.agrees("a", &[("HostName", "elsewhere"), ("UserKnownHostsFile", "/tmp/a \"/tmp/b\"")]).await;
    let mut query = Query::new("a");
    query.set("ProxyJump", "me@gate:2").unwrap();
    let config = case.load().unwrap().resolve(&query).await.unwrap();
    let hop = Hop { host: "gate".into(), user: Some("me".into()), port: Some(2) };
    assert_eq!(config.proxy, Proxy::Jump(vec![hop]));
    assert_eq!(config.connect_timeout, None);
    query.set("ConnectTimeout", "5").unwrap();
    let config = case.load().unwrap().resolve(&query).await.unwrap();
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(5)));
    assert!(query.set("Nonsense", "1").is_err());
}
