//! Which nodes selectors mean.

use super::{LAB, loaded, names};
use base::Code;
use inventory::{Inventory, Node, Selection, Selector};
use proptest::prelude::*;
use std::collections::BTreeSet;

async fn ten() -> Inventory {
    let web = |i| format!("web{i}: {{metadata: {{planet: P{}}}, services: [web-hello]}}", i % 2);
    let webs: Vec<String> = (1..=10).map(web).collect();
    let nodes = format!("{}\nlocal: {{services: [my-service]}}\n", webs.join("\n"));
    loaded(&[LAB, ("inventory.yaml", &nodes), ("groups.yaml", "front: {nodes: [web1, web2]}\n")]).await
}

#[tokio::test]
async fn every_selector_means_its_nodes_in_the_order_of_strings() {
    let mut inventory = ten().await;
    for (selectors, wanted) in [
        (&["web4"][..], "web4"),
        (&["web4", "web10", "web4"], "web10 web4"),
        (&["/web[13].*/"], "web1 web10 web3"),
        (&["/[2-3]$/", "local"], "local web2 web3"),
        (&["/^web1$/"], "web1"),
        (&["service:my-service"], "local"),
        (&["list:front", "group:front"], "web1 web2"),
        (&["platform:lab"], "local web1 web10 web2 web3 web4 web5 web6 web7 web8 web9"),
        (&["all"], "local web1 web10 web2 web3 web4 web5 web6 web7 web8 web9"),
        (&["planet=P0"], "web10 web2 web4 web6 web8"),
        (&["where:!planet"], "local"),
        (&["node:local"], "local"),
    ] {
        assert_eq!(names(&mut inventory, selectors).await.unwrap().join(" "), wanted, "{selectors:?}");
    }
}

#[tokio::test]
async fn exclusions_and_limits_take_away() {
    let mut inventory = ten().await;
    let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<Selector>>();
    let selection = Selection {
        include: parse(&["all"]),
        exclude: parse(&["local", "planet=P1"]),
        limit: parse(&["list:front", "/web1/", "local"]),
        allow_empty: false,
    };
    let chosen: Vec<String> =
        inventory.choose(&selection).await.unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(chosen, ["web10", "web2"]);
}

#[tokio::test]
async fn what_is_not_known_is_refused_with_the_nearest_that_is() {
    let mut inventory = ten().await;
    for (selector, message, hint) in [
        ("wbe1", "there is no node 'wbe1'", "did you mean 'web1'?"),
        ("front", "there is no node 'front'", "there is a list of this name: --nodes-list front"),
        (
            "servce:web",
            "there is no node 'servce:web'",
            "beside names there are /REGEXP/, service:S, list:L, platform:P, git:P and pattern:P",
        ),
        ("service:web-helo", "no node has the service 'web-helo'", "did you mean 'web-hello'?"),
        ("list:fornt", "there is no list or group 'fornt'", "did you mean 'front'?"),
        ("platform:x", "there is no platform 'x'", "known are lab"),
        ("git:lba", "there is no platform 'lba'", "did you mean 'lab'?"),
    ] {
        let e = names(&mut inventory, &[selector]).await.unwrap_err();
        assert_eq!((e.code, e.message.as_str(), e.hint.as_deref()), (Code::NotFound, message, Some(hint)));
    }
    // A slip in what is left out would run on too many nodes.
    let exclude = vec![Selector::Node("wbe1".into())];
    let selection = Selection { exclude, ..Selection::all() };
    assert_eq!(inventory.choose(&selection).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn nothing_is_an_error_unless_it_is_allowed() {
    let mut inventory = ten().await;
    for selector in ["/nowhere/", "planet=P7"] {
        let e = names(&mut inventory, &[selector]).await.unwrap_err();
        assert_eq!(e.code, Code::NotFound, "{selector}");
        assert!(e.message.starts_with("no node is meant by "), "{e}");
    }
    let e = names(&mut inventory, &[]).await.unwrap_err();
    assert_eq!((e.code, e.message.as_str()), (Code::Invalid, "no node is chosen"));
    let include = vec!["/nowhere/".parse().unwrap()];
    let selection = Selection { include, allow_empty: true, ..Selection::default() };
    assert!(inventory.choose(&selection).await.unwrap().is_empty());
}

#[test]
fn texts_of_selectors_are_read_back() {
    for text in [
        "all",
        "node:web1",
        "/web[2-8]/",
        "service:s",
        "list:l",
        "platform:p",
        "where:a=b,c in (d,e)",
        "git:p:main::min",
    ] {
        assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
    }
    for text in ["", "node:", "service:", "/(?=x)/", "git::a", "git:p:a:b:c", "git:p:a:b:min:x", "a="] {
        let read = text.parse::<Selector>();
        assert!(read.is_err() || text == "a=", "{text}");
    }
}

/// Inventories of up to twelve nodes in up to three groups.
fn inventories() -> impl Strategy<Value = Inventory> {
    let node =
        (0_u8..12, prop::collection::btree_set("[abc]", 0..3), prop::collection::btree_set("[xyz]", 0..3));
    prop::collection::vec(node, 0..12).prop_map(|nodes| {
        let mut inventory = Inventory::default();
        for (i, services, groups) in nodes {
            let name = format!("n{i}");
            for group in &groups {
                inventory.groups.entry(group.clone()).or_default().insert(name.clone());
            }
            let services = services.into_iter().collect();
            inventory.nodes.insert(name.clone(), Node { name, services, groups, ..Node::default() });
        }
        // Groups know their nodes of the same name as those were at last.
        let nodes = &inventory.nodes;
        for (group, names) in &mut inventory.groups {
            names.retain(|name| nodes[name].groups.contains(group));
        }
        inventory
    })
}

/// Selectors that always mean something that exists, or nothing.
fn selectors() -> impl Strategy<Value = Vec<Selector>> {
    let text = prop_oneof![
        Just("all".to_owned()),
        (0_u8..12).prop_map(|i| format!("/^n{i}$/")),
        (0_u8..10).prop_map(|i| format!("/{i}/")),
        "[abc]".prop_map(|s| format!("services={s}")),
        "[xyz]".prop_map(|g| format!("groups={g}")),
        "[xyz]".prop_map(|g| format!("!groups,name!={g}")),
    ];
    prop::collection::vec(text.prop_map(|t| t.parse().unwrap()), 0..3)
}

/// The names that a selection means; nothing is well.
fn chosen(inventory: &Inventory, selection: Selection) -> Vec<String> {
    let selection = Selection { allow_empty: true, ..selection };
    let mut inventory = inventory.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let nodes = runtime.block_on(inventory.choose(&selection)).unwrap();
    nodes.into_iter().map(|n| n.name).collect()
}

/// The same for a single selector.
fn meant(inventory: &Inventory, selector: &Selector) -> Vec<String> {
    chosen(inventory, Selection { include: vec![selector.clone()], ..Selection::default() })
}

proptest! {
    #[test]
    fn a_selection_is_the_union_less_the_excluded_within_the_limit(
        inventory in inventories(),
        include in selectors(),
        exclude in selectors(),
        limit in selectors(),
    ) {
        let union = |selectors: &[Selector]| -> BTreeSet<String> {
            selectors.iter().flat_map(|s| meant(&inventory, s)).collect()
        };
        let (outside, within) = (union(&exclude), union(&limit));
        let mut wanted = union(&include);
        wanted.retain(|n| !outside.contains(n) && (limit.is_empty() || within.contains(n)));
        let selection = Selection { include, exclude, limit, allow_empty: true };
        prop_assert_eq!(chosen(&inventory, selection), wanted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn lists_and_services_mean_the_nodes_that_have_them(inventory in inventories()) {
        for (group, members) in &inventory.groups {
            let got: BTreeSet<String> = meant(&inventory, &Selector::List(group.clone())).into_iter().collect();
            prop_assert_eq!(&got, members);
        }
        for service in ["a", "b", "c"] {
            let wanted: Vec<&str> = inventory
                .nodes
                .values()
                .filter(|n| n.services.iter().any(|s| s == service))
                .map(|n| n.name.as_str())
                .collect();
            if !wanted.is_empty() {
                prop_assert_eq!(meant(&inventory, &Selector::Service(service.into())), wanted);
            }
        }
    }
}
