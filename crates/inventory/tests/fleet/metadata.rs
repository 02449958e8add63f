//! Metadata from sources besides the inventory.

use super::{LAB, load, loaded, names};
use base::{Code, Result};
use futures::{FutureExt, future::BoxFuture};
use inventory::{Answers, Inventory, Node, Source};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Knows a colour of every node, and counts.
#[derive(Default)]
struct Painter {
    name: &'static str,
    colour: &'static str,
    asked: Mutex<Vec<String>>,
}

impl Painter {
    fn new(name: &'static str, colour: &'static str) -> Arc<Self> {
        Arc::new(Painter { name, colour, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Source for Painter {
    fn name(&self) -> &'static str {
        self.name
    }
    fn properties(&self) -> &'static [&'static str] {
        &["colour"]
    }
    fn ask<'a>(&'a self, _: &'a str, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>> {
        let names: Vec<String> = nodes.iter().map(|n| n.name.clone()).collect();
        self.asked.lock().unwrap().extend(names.iter().cloned());
        async move { Ok(names.into_iter().map(|n| (n, vec![Value::from(self.colour)])).collect()) }.boxed()
    }
}

fn colour<'a>(inventory: &'a Inventory, node: &str) -> &'a str {
    inventory.nodes[node].text("colour").unwrap_or("none")
}

const THREE: (&str, &str) = ("inventory.yaml", "a:\nb:\nc: {metadata: {colour: red}}\n");

fn with_master(master: &str) -> String {
    format!("{}metadata_masters: {{colour: {master}}}\n", LAB.1)
}

#[tokio::test]
async fn a_property_is_fetched_when_it_is_needed_and_once() {
    let mut inventory = loaded(&[LAB, THREE]).await;
    let painter = Painter::new("painter", "red");
    inventory.add_source(painter.clone());
    assert_eq!(names(&mut inventory, &["all"]).await.unwrap().len(), 3);
    assert!(painter.asked().is_empty());
    inventory.fetch("colour", ["a"]).await.unwrap();
    inventory.fetch("colour", ["a", "b"]).await.unwrap();
    assert_eq!(painter.asked(), ["a", "b"]);
    assert_eq!((colour(&inventory, "a"), colour(&inventory, "b")), ("red", "red"));
    // Expressions need it of all nodes.
    assert_eq!(names(&mut inventory, &["colour=red"]).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(painter.asked(), ["c"]);
}

#[tokio::test]
async fn sources_that_disagree_are_refused_unless_there_is_a_master() {
    let all = ["a", "b", "c"];
    let mut inventory = loaded(&[LAB, THREE]).await;
    inventory.add_source(Painter::new("painter", "blue"));
    let e = inventory.fetch("colour", all).await.unwrap_err();
    assert_eq!((e.code, e.message.as_str()), (Code::Conflict, "two sources disagree about colour of c"));
    assert_eq!(e.cause.as_deref(), Some("inventory: \"red\", painter: \"blue\""));
    assert!(e.field.unwrap().ends_with("inventory.yaml:3:1"));

    for (master, wanted) in [("inventory", ["blue", "blue", "red"]), ("painter", ["blue", "blue", "blue"])] {
        let mut inventory = loaded(&[("hostler.yaml", &with_master(master)), THREE]).await;
        let painter = Painter::new("painter", "blue");
        inventory.add_source(painter.clone());
        inventory.fetch("colour", all).await.unwrap();
        assert_eq!(all.map(|n| colour(&inventory, n)), wanted, "{master}");
        assert_eq!(painter.asked().len(), if master == "inventory" { 2 } else { 3 });
    }

    let mut inventory = loaded(&[("hostler.yaml", LAB.1), THREE]).await;
    inventory.add_source(Painter::new("painter", "red"));
    inventory.add_source(Painter::new("other", "green"));
    assert!(inventory.fetch("colour", ["a"]).await.unwrap_err().cause.unwrap().contains("other: \"green\""));
}

#[tokio::test]
async fn a_master_that_knows_nothing_of_it_is_refused() {
    let mut inventory = loaded(&[("hostler.yaml", &with_master("paintre")), THREE]).await;
    inventory.add_source(Painter::new("painter", "blue"));
    let e = inventory.fetch("colour", ["a"]).await.unwrap_err();
    assert_eq!((e.code, e.hint.as_deref()), (Code::Invalid, Some("did you mean 'painter'?")));
    assert!(e.field.unwrap().ends_with("hostler.yaml:3:28"));
    // It is refused for any selection, before anybody needs the property.
    assert_eq!(names(&mut inventory, &["all"]).await.unwrap_err().code, Code::Invalid);
}

#[tokio::test]
async fn addresses_come_from_name_resolution() {
    let nodes = "here: {metadata: {hostname: localhost}}\nlocalhost:\nliteral: {metadata: {hostname: 127.3.2.1}}\n\
                 mine: {metadata: {local_node: true, hostname: localhost}}\n\
                 nowhere: {metadata: {hostname: nowhere.invalid}}\n\
                 given: {metadata: {host_ip: 127.0.0.9}}\n\
                 same: {metadata: {hostname: localhost, host_ip: 127.0.0.1}}\n";
    let dir = super::directory(&[LAB, ("inventory.yaml", nodes)]);
    let mut inventory = load(dir.path()).await.unwrap();
    let all: Vec<String> = inventory.nodes.keys().cloned().collect();
    inventory.fetch("host_ip", all.iter().map(String::as_str)).await.unwrap();
    let ip = |name: &str| inventory.nodes[name].text("host_ip").map(ToOwned::to_owned);
    for name in ["here", "same"] {
        assert_eq!(ip(name).as_deref(), Some("127.0.0.1"), "{name}");
    }
    assert_eq!(ip("literal").as_deref(), Some("127.3.2.1"));
    assert_eq!(ip("given").as_deref(), Some("127.0.0.9"));
    for name in ["mine", "nowhere", "localhost"] {
        assert_eq!(ip(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_that_of_the_name_is_refused() {
    let nodes = "web1: {metadata: {hostname: localhost, host_ip: 127.0.0.9}}\n";
    let mut inventory = loaded(&[LAB, ("inventory.yaml", nodes)]).await;
    let e = inventory.fetch("host_ip", ["web1"]).await.unwrap_err();
    assert_eq!(e.message, "two sources disagree about host_ip of web1");
    assert!(e.hint.unwrap().ends_with("metadata_masters: {host_ip: inventory}"));
    let masters = format!("{}metadata_masters: {{host_ip: inventory}}\n", LAB.1);
    let mut inventory = loaded(&[("hostler.yaml", &masters), ("inventory.yaml", nodes)]).await;
    inventory.fetch("host_ip", ["web1"]).await.unwrap();
    assert_eq!(inventory.nodes["web1"].metadata["host_ip"], json!("127.0.0.9"));
}
