//! `--show-commands`: what would be run, and where.

use crate::{Result, app::App, fleet::identity::BecomeArgs};
use fleet::{connector::metadata, run::Step};
use inventory::Node;
use serde::Serialize;

/// One node.
#[derive(Serialize)]
struct Planned<'a> {
    node: &'a str,
    /// Where it is reached.
    at: String,
    /// The other user.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#become: Option<String>,
    commands: Vec<&'a str>,
}

/// Shows it. Values of variables are not told.
pub fn show(app: &App, nodes: &[Node], steps: &[Step], other: &BecomeArgs) -> Result<()> {
    let planned = nodes.iter().map(|node| plan(node, steps, other)).collect::<Result<Vec<_>>>()?;
    if app.printer.format.is_data() {
        return app.printer.value(&planned);
    }
    for node in planned {
        let other = node.r#become.map(|user| format!(", as {user}")).unwrap_or_default();
        app.printer.line(&format!("{} ({}{other})", node.node, node.at));
        for line in node.commands.iter().flat_map(|command| command.lines()) {
            app.printer.line(&format!("    {line}"));
        }
    }
    Ok(())
}

fn plan<'a>(node: &'a Node, steps: &'a [Step], other: &BecomeArgs) -> Result<Planned<'a>> {
    let user = match &other.other {
        Some(user) => Some(user.clone()),
        None => metadata::other_user(node)?.map(|other| other.user),
    };
    let commands = steps.iter().map(|step| step.command.script.as_str()).collect();
    Ok(Planned { node: &node.name, at: place(node), r#become: user, commands })
}

/// What the metadata says of the way.
fn place(node: &Node) -> String {
    if node.flag("local_node") {
        return "this host".into();
    }
    let known = |names: [&str; 3]| names.into_iter().find_map(|name| node.text(name)).map(str::to_owned);
    if let Some(name) = node.text("vm") {
        return format!("VM {name}");
    }
    if let Some(name) = node.text("docker") {
        return format!("container {name}");
    }
    let address = known(["ssh_alias", "host_ip", "hostname"]).unwrap_or_else(|| node.name.clone());
    let user = node.text("ssh_user").map(|user| format!("{user}@")).unwrap_or_default();
    format!("ssh {user}{address}")
}
