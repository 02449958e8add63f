//! Files at random.

use super::{Case, block_on};
use proptest::{collection::vec, prelude::*, sample::select};

const HOSTS: [&str; 6] = ["a", "b", "web1", "web2.example.com", "A", "10.0.0.1"];

fn pattern() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "*", "web?", "web*", "*.example.com", "!a", "!web1", "10.0.0.*", "A", "real"])
}

fn line() -> impl Strategy<Value = String> {
    let numbered = |keyword: &'static str| (1_u16..5).prop_map(move |n| format!("{keyword} {n}"));
    let path = select(vec!["~/k1", "~/.ssh/%h-%r", "/tmp/%n:%p", "\"/tmp/a b\"", "none"]);
    prop_oneof![
        numbered("Port"),
        numbered("ConnectTimeout="),
        numbered("connectionattempts"),
        numbered("ServerAliveInterval ="),
        select(vec!["u1", "u2", "\"u 3\""]).prop_map(|u| format!("User {u}")),
        select(vec!["real", "%h.example.com", "a", "WEB1"]).prop_map(|h| format!("HostName {h}")),
        path.clone().prop_map(|p| format!("IdentityFile {p}")),
        path.prop_map(|p| format!("CertificateFile {p}")),
        select(vec!["g1", "me@g2:22,g1", "none"]).prop_map(|j| format!("ProxyJump {j}")),
        select(vec!["nc %h %p", "none", "sh -c \"x\" # y"]).prop_map(|c| format!("ProxyCommand {c}")),
        select(vec!["yes", "no", "ask", "accept-new"]).prop_map(|v| format!("StrictHostKeyChecking {v}")),
        select(vec!["yes", "no", "True", "false"]).prop_map(|v| format!("IdentitiesOnly {v}")),
        select(vec!["LC_* FOO", "-FOO", "BAR"]).prop_map(|v| format!("SendEnv {v}")),
        select(vec!["A=1 B=2", "C='x y'"]).prop_map(|v| format!("SetEnv {v}")),
        select(vec!["/tmp/k1 /tmp/k2", "/tmp/%n%%"]).prop_map(|v| format!("UserKnownHostsFile {v}")),
        Just("HostKeyAlias Alias".to_owned()),
        Just("ForwardAgent yes".to_owned()),
        Just("# a comment".to_owned()),
        Just("Include $DIR/other".to_owned()),
    ]
}

fn block() -> impl Strategy<Value = String> {
    let list = || vec(pattern(), 1..4).prop_map(|p| p.join(","));
    let head = prop_oneof![
        4 => vec(pattern(), 1..4).prop_map(|p| format!("Host {}", p.join(" "))),
        1 => list().prop_map(|p| format!("Match host {p}")),
        1 => list().prop_map(|p| format!("Match originalhost={p} !user u1")),
        1 => (list(), select(vec!["u1", "u2,root", "!u1,*"])).prop_map(|(p, u)| format!("Match user {u} !host {p}")),
        1 => list().prop_map(|p| format!("Match final host {p}")),
        1 => select(vec!["Match all", "Match final all", "Match !final", "Match canonical user u*"])
            .prop_map(str::to_owned),
    ];
    (head, vec(line(), 0..5)).prop_map(|(head, lines)| format!("{head}\n {}\n", lines.join("\n ")))
}

/// Without `Include`, which would not end.
fn flat(text: &str) -> String {
    text.lines().filter(|l| !l.contains("Include")).flat_map(|l| [l, "\n"]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn openssh_and_we_say_the_same(
        first in vec(line(), 0..3),
        blocks in vec(block(), 0..6),
        other in vec(block(), 0..3),
        host in select(HOSTS.to_vec()),
        user in select(vec![None, Some("u1"), Some("given")]),
    ) {
        let config = format!("{}\n{}", first.join("\n"), blocks.concat());
        let given: Vec<(&str, &str)> = user.into_iter().map(|u| ("User", u)).collect();
        block_on(async {
            let case = Case::new(&[("config", &config), ("other", &flat(&other.concat()))]).await;
            case.agrees(host, &given).await;
        });
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "(?s).{0,200}", host in "[a-z.%]{1,8}") {
        let mut none = |_: &super::super::script::At, _: &[String]| Ok(Vec::new());
        if let Ok(script) = super::super::script::parse("x", &text, &mut none) {
            let me = super::super::Surroundings::default();
            let query = super::super::Query::new(host.as_str());
            if let Ok(values) = super::super::resolve::values(&query, &me, &[script]) {
                let _ = super::super::HostConfig::new(&host, &values, &me);
            }
        }
    }
}
