//! What services in Ruby cost: the start of the bridge, once per run, and each evaluation.
//!
//! `cargo run --release -p fleet --example ruby_bridge`

#![allow(clippy::disallowed_macros)] // prints what it measured

use base::{Error, Result};
use fleet::ruby::{Bridge, Known, Method, Options, Service};
use inventory::{Inventory, Node};
use std::sync::Arc;

const SERVICE: &str = r#"
def check(node)
  text = Erubis::Eruby.new("port: <%= @nodes_handler.get_port_of(node) %>\n").result(binding)
  [{ remote_bash: "cat >/tmp/wanted <<'END'\n#{text}END\ndiff /etc/conf /tmp/wanted || true\n" }]
end
"#;
const NODES: u32 = 1000;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
    std::fs::write(dir.path().join("service_s.rb"), SERVICE).map_err(|e| Error::io("write a service", &e))?;
    let bridge = Bridge::new(Options::new(dir.path()), Arc::new(Known::new(Inventory::default())));
    let service = Service { platform: "lab", directory: dir.path(), name: "s" };
    let begin = rt::clock::now();
    for number in 0..=NODES {
        if number == 1 {
            println!("start and first evaluation: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
        }
        let mut node = Node { name: format!("n{number}"), ..Node::default() };
        node.metadata.insert("port".into(), 80.into());
        bridge.actions(service, Method::Check, &node, &mut |_| ()).await?;
    }
    println!(
        "each evaluation, the start included: {:.3} ms",
        begin.elapsed().as_secs_f64() * 1e3 / f64::from(NODES)
    );
    Ok(())
}
