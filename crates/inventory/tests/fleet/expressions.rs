//! Expressions over what is known of a node.

use inventory::{Expression, Node};
use proptest::prelude::*;
use serde_json::json;

fn node() -> Node {
    let metadata = json!({
        "planet": "Mars", "os": "debian", "cpus": 4, "load": "2.5", "old": false, "tags": ["a", "b c"],
        "net": {"site": "x", "a.b": 1}, "a.b": "dotted", "nothing": null, "labels": {"tier": "front"}
    });
    Node {
        name: "web1".into(),
        platform: "lab".into(),
        metadata: serde_json::from_value(metadata).unwrap(),
        services: vec!["web-hello".into()],
        groups: ["front".to_owned()].into(),
        ..Node::default()
    }
}

fn holds(text: &str) -> bool {
    text.parse::<Expression>().unwrap_or_else(|e| panic!("{text}: {e}")).holds(&node())
}

#[test]
fn what_is_true_of_a_node() {
    for text in [
        "planet=Mars",
        "planet == Mars",
        " planet = 'Mars' ",
        "planet!=Venus",
        "missing!=x",
        "planet",
        "old",
        "old=false",
        "!missing",
        "!nothing",
        "os in (debian,ubuntu)",
        "os in ( ubuntu , \"debian\" )",
        "os notin (alpine)",
        "os not in (alpine)",
        "missing notin (a)",
        "tags=a",
        "tags='b c'",
        "tags=b c",
        "tags in (x, b c)",
        "planet=~^Ma",
        "planet!~us$",
        "cpus=4",
        "cpus>3",
        "cpus>=4,cpus<=4,cpus<5",
        "load<3",
        "net.site=x",
        "a.b=dotted",
        "tier=front",
        "labels.tier=front",
        "name=web1",
        "platform=lab",
        "services=web-hello",
        "groups=front",
        "planet=Mars,os=debian,!missing",
        "in-use!=yes",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_is_not_true_of_it() {
    for text in [
        "planet=mars",
        "planet!=Mars",
        "missing=",
        "missing",
        "nothing",
        "!planet",
        "os in (alpine)",
        "os notin (debian)",
        "tags=c",
        "net=x",
        "net.site.x=1",
        "planet>1",
        "missing<1",
        "missing>=1",
        "cpus<4",
        "planet=Mars,os=alpine",
        "planet=~venus",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_explained() {
    for (text, message) in [
        ("", "expected a key, found the end, in ''"),
        ("a,", "expected a key, found the end, in 'a,'"),
        ("=b", "expected a key, found '=b', in '=b'"),
        ("a b", "expected a comma or the end, found 'b', in 'a b'"),
        ("a in b", "expected ( and values, found 'b', in 'a in b'"),
        ("a in (b", "expected ), found the end, in 'a in (b'"),
        ("a<b", "expected a number, found 'b', in 'a<b'"),
        ("a='b", "expected a text that ends with the same quote, found ''b', in 'a='b'"),
        ("a=~[", "expected a regular expression, found '[', in 'a=~['"),
    ] {
        assert_eq!(text.parse::<Expression>().unwrap_err().message, message);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let again: Expression = expression.to_string().parse().unwrap();
            prop_assert_eq!(expression.holds(&node()), again.holds(&node()));
        }
    }

    #[test]
    fn a_term_and_its_opposite_differ(key in "[a-z]{1,4}", value in "[a-z]{1,4}", has in any::<bool>()) {
        let mut node = node();
        node.metadata.clear();
        if has {
            node.metadata.insert(key.clone(), value.clone().into());
        }
        for (yes, no) in [
            (format!("{key}={value}"), format!("{key}!={value}")),
            (key.clone(), format!("!{key}")),
            (format!("{key} in (x,{value})"), format!("{key} notin (x,{value})")),
            (format!("{key}=~{value}"), format!("{key}!~{value}")),
        ] {
            // `name` is known of every node.
            prop_assume!(key != "name");
            prop_assert_eq!(yes.parse::<Expression>().unwrap().holds(&node), has, "{}", yes);
            prop_assert_eq!(no.parse::<Expression>().unwrap().holds(&node), !has, "{}", no);
        }
    }
}
