//! `hostler.yaml` and what is in YAML platforms.

use super::{LAB, directory, loaded, names, refused};
use base::Code;
use serde_json::json;

#[tokio::test]
async fn files_of_hybrid_platforms_conductor_are_read_as_they_are() {
    let inventory = loaded(&[
        ("hostler.yaml", "platforms:\n  - type: yaml\n    path: my-service-conf-repo\n"),
        (
            "my-service-conf-repo/inventory.yaml",
            "---\nlocal:\n  metadata:\n    local_node: true\n    service_port: 1107\n  services:\n    - my-service\n\
             web1:\n  metadata:\n    hostname: web1.example.org\n    ports: [80, 443]\n\
             web10:\n  services: [web-hello, my-service]\nweb2:\n",
        ),
    ])
    .await;
    assert_eq!(inventory.nodes.keys().collect::<Vec<_>>(), ["local", "web1", "web10", "web2"]);
    let local = &inventory.nodes["local"];
    assert_eq!((local.platform.as_str(), local.flag("local_node")), ("my-service-conf-repo", true));
    assert_eq!(local.metadata["service_port"], json!(1107));
    assert_eq!(inventory.nodes["web1"].metadata["ports"], json!([80, 443]));
    assert_eq!(inventory.nodes["web10"].services, ["web-hello", "my-service"]);
    assert!(inventory.nodes["web2"].origin.ends_with("my-service-conf-repo/inventory.yaml:14:1"));
    assert!(inventory.platforms["my-service-conf-repo"].path.as_ref().unwrap().is_absolute());
}

#[tokio::test]
async fn nodes_inherit_from_groups_in_groups_and_from_defaults() {
    let mut inventory = loaded(&[
        LAB,
        ("inventory.yaml", "web1: {metadata: {d: node}, services: [app]}\nweb2: {groups: [spare]}\ndb: {}\n"),
        ("defaults.yaml", "metadata: {a: default, b: default, c: default, d: default}\nservices: [base]\n"),
        (
            "groups.yaml",
            "all-webs:\n  groups: [front]\n  nodes: [/web/]\n  metadata: {b: parent, c: parent, d: parent}\n  services: [nginx]\n\
             front:\n  nodes: [web1]\n  metadata: {c: child, d: child}\n  services: [tls, base]\nempty:\n",
        ),
    ])
    .await;
    let web1 = &inventory.nodes["web1"];
    assert_eq!(json!(web1.metadata), json!({"a": "default", "b": "parent", "c": "child", "d": "node"}));
    assert_eq!(web1.services, ["base", "nginx", "tls", "app"]);
    assert_eq!(web1.groups.iter().collect::<Vec<_>>(), ["all-webs", "front"]);
    assert_eq!(inventory.nodes["web2"].metadata["c"], json!("parent"));
    assert_eq!(inventory.nodes["db"].metadata["c"], json!("default"));
    assert_eq!(names(&mut inventory, &["list:all-webs"]).await.unwrap(), ["web1", "web2"]);
    assert_eq!(names(&mut inventory, &["group:spare"]).await.unwrap(), ["web2"]);
    assert!(inventory.groups["empty"].is_empty());
}

#[tokio::test]
async fn groups_that_disagree_about_a_node_are_refused_unless_the_node_decides() {
    let groups = "a: {nodes: [web1], metadata: {x: 1}}\nb: {nodes: [web1], metadata: {x: 2}}\n";
    let e = refused(&[LAB, ("inventory.yaml", "web1:\n"), ("groups.yaml", groups)]).await;
    assert_eq!((e.code, e.field.as_deref()), (Code::Conflict, Some("groups.yaml")));
    assert_eq!(e.message, "the groups 'a' and 'b' disagree about 'x' of web1");
    let inventory =
        loaded(&[LAB, ("inventory.yaml", "web1: {metadata: {x: 3}}\n"), ("groups.yaml", groups)]).await;
    assert_eq!(inventory.nodes["web1"].metadata["x"], json!(3));
    // A group within both decides as well, and two that say the same do not disagree.
    let more = "c: {nodes: [web1], metadata: {x: 4}}\n";
    let nested = format!("{more}{}", groups.replace("nodes: [web1]", "groups: [c]"));
    let inventory = loaded(&[LAB, ("inventory.yaml", "web1:\n"), ("groups.yaml", &nested)]).await;
    assert_eq!(inventory.nodes["web1"].metadata["x"], json!(4));
    let same = groups.replace("x: 2", "x: 1");
    let inventory = loaded(&[LAB, ("inventory.yaml", "web1:\n"), ("groups.yaml", &same)]).await;
    assert_eq!(inventory.nodes["web1"].metadata["x"], json!(1));
}

#[tokio::test]
async fn mistakes_are_refused_at_their_place() {
    let nodes = ("inventory.yaml", "web1:\n");
    for (files, place, message, hint) in [
        (
            vec![("hostler.yaml", "\nplatfroms: []\n")],
            "hostler.yaml:2:1",
            "unknown section 'platfroms'",
            "did you mean 'platforms'?",
        ),
        (
            vec![("hostler.yaml", "platforms:\n- type: yaml\n  pth: x\n")],
            "hostler.yaml:3:3",
            "unknown field 'pth'",
            "did you mean 'path'?",
        ),
        (
            vec![("hostler.yaml", "platforms:\n- type: yml\n  path: x\n")],
            "hostler.yaml:2:9",
            "unknown value 'yml'",
            "did you mean 'yaml'?",
        ),
        (
            vec![("hostler.yaml", "platforms:\n- path: x\n")],
            "hostler.yaml:2:3",
            "the field 'type' is missing",
            "",
        ),
        (
            vec![("hostler.yaml", "platforms:\n- type: yaml\n")],
            "hostler.yaml:2:9",
            "a platform of type yaml needs a path",
            "say where its nodes are: path: NAME",
        ),
        (
            vec![LAB, ("inventory.yaml", "web1:\n  metdata: {}\n")],
            "inventory.yaml:2:3",
            "unknown field 'metdata'",
            "did you mean 'metadata'?",
        ),
        (
            vec![LAB, nodes, ("groups.yaml", "g:\n  nodes:\n  - wbe1\n")],
            "groups.yaml:3:5",
            "there is no node 'wbe1'",
            "did you mean 'web1'?",
        ),
        (
            vec![LAB, nodes, ("groups.yaml", "g: {groups: [h]}\n")],
            "groups.yaml:1:14",
            "there is no group 'h'",
            "did you mean 'g'?",
        ),
        (
            vec![LAB, nodes, ("groups.yaml", "g: {groups: [h]}\nh: {groups: [g]}\n")],
            "groups.yaml",
            "the group 'g' is within itself",
            "take it out of the groups that are in it: h",
        ),
    ] {
        let e = refused(&files).await;
        assert_eq!(e.message, message);
        assert_eq!(
            (e.field.as_deref(), e.hint.as_deref().unwrap_or_default()),
            (Some(place), hint),
            "{message}"
        );
        assert_eq!(e.code, Code::Invalid, "{message}");
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let e = refused(&[("hostler.yaml", "platforms:\n- type: yaml\n  path: nowhere\n")]).await;
    assert_eq!((e.code, e.field.as_deref()), (Code::NotFound, Some("hostler.yaml:3:9")));
    assert_eq!(e.message, "there is no directory nowhere");
}

#[tokio::test]
async fn the_same_node_twice_names_both_files() {
    let two = "platforms:\n- {type: yaml, path: a}\n- {type: yaml, path: b}\n";
    let e = refused(&[
        ("hostler.yaml", two),
        ("a/inventory.yaml", "web1:\n"),
        ("b/inventory.yaml", "db:\nweb1:\n"),
    ])
    .await;
    assert_eq!((e.code, e.field.as_deref()), (Code::Conflict, Some("b/inventory.yaml:2:1")));
    assert_eq!(e.cause.as_deref(), Some("it is in a/inventory.yaml:1:1 already"));
    let e = refused(&[
        ("hostler.yaml", "platforms:\n- {type: yaml, path: a}\n- {type: yaml, path: x/a}\n"),
        ("a/inventory.yaml", ""),
        ("x/a/inventory.yaml", ""),
    ])
    .await;
    assert_eq!(e.message, "there is another platform 'a'");
}

#[tokio::test]
async fn an_empty_fleet_has_no_nodes() {
    for text in ["", "# nothing yet\n", "platforms:\n", "platforms: []\n"] {
        assert!(loaded(&[("hostler.yaml", text)]).await.nodes.is_empty(), "{text:?}");
    }
    assert!(loaded(&[LAB]).await.nodes.is_empty());
    let dir = directory(&[]);
    assert_eq!(super::load(dir.path()).await.unwrap_err().code, Code::NotFound);
}
