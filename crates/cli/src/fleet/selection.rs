//! Which nodes: the same flags for every verb.

use crate::{Result, app::App};
use clap::Args;
use fleet::facts::NAMES;
use inventory::{Expression, GitChange, Inventory, Node, Selection, Selector};

/// Which nodes. The spellings of Hybrid Platforms Conductor work too.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which nodes")]
pub struct SelectionArgs {
    /// Every node
    #[arg(long, short = 'a', alias = "all-nodes")]
    pub all: bool,
    /// A node, or with slashes around it all whose names the regular expression matches anywhere
    #[arg(long = "node", short = 'n', value_name = "NAME|/REGEXP/", value_parser = node)]
    pub nodes: Vec<Selector>,
    /// The nodes that have this service
    #[arg(long = "node-service", short = 'r', value_name = "SERVICE", alias = "nodes-service")]
    pub services: Vec<String>,
    /// The nodes of this list or group
    #[arg(long = "nodes-list", short = 'l', value_name = "LIST", aliases = ["node-list", "group"])]
    pub lists: Vec<String>,
    /// The nodes of this platform
    #[arg(long = "platform", short = 'b', value_name = "PLATFORM", aliases = ["nodes-platform", "node-platform"])]
    pub platforms: Vec<String>,
    /// The nodes of which this is true: planet=Mars, 'os in (debian,ubuntu)', !retired
    #[arg(long = "where", value_name = "EXPR", visible_alias = "label", value_parser = expression)]
    pub expressions: Vec<Expression>,
    /// The nodes that a change in git concerns; FROM is the default branch, TO the files as they are now
    #[arg(long = "git-impact", value_name = "PLATFORM[:FROM[:TO[:min]]]", alias = "nodes-git-impact", value_parser = git_change)]
    pub git_impacts: Vec<GitChange>,
    /// The hosts that a pattern of Ansible selects, where a platform is Ansible's: 'web:&prod:!web3'
    #[arg(long = "pattern", value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// Leave these out: a node, /regexp/, service:S, list:L, platform:P, or an expression
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    pub exclude: Vec<Selector>,
    /// Take none but these, of those that are chosen
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    pub limit: Vec<Selector>,
    /// It is well if no node is chosen
    #[arg(long)]
    pub allow_empty: bool,
}

impl SelectionArgs {
    /// The nodes, by name. No selector at all is an error.
    pub async fn choose(&self, app: &App, inventory: &mut Inventory) -> Result<Vec<Node>> {
        choose(&self.selection(), app, inventory).await
    }

    /// The nodes, to be reached: where their addresses are not those of their names, that is an error now.
    pub async fn choose_to_reach(&self, app: &App, inventory: &mut Inventory) -> Result<Vec<Node>> {
        let nodes = self.choose(app, inventory).await?;
        inventory.compare(&nodes, "host_ip").await?;
        Ok(nodes)
    }

    /// The nodes, by name. No selector at all means every node, be there none.
    pub async fn choose_or_all(&self, app: &App, inventory: &mut Inventory) -> Result<Vec<Node>> {
        let mut selection = self.selection();
        if selection.include.is_empty() {
            selection.include.push(Selector::All);
            selection.allow_empty |= inventory.nodes.is_empty();
        }
        choose(&selection, app, inventory).await
    }

    /// As data.
    pub fn selection(&self) -> Selection {
        let mut include: Vec<Selector> = self.all.then_some(Selector::All).into_iter().collect();
        include.extend(self.nodes.iter().cloned());
        include.extend(self.services.iter().cloned().map(Selector::Service));
        include.extend(self.lists.iter().cloned().map(Selector::List));
        include.extend(self.platforms.iter().cloned().map(Selector::Platform));
        include.extend(self.expressions.iter().cloned().map(Selector::Where));
        include.extend(self.git_impacts.iter().cloned().map(Selector::Impacted));
        include.extend(self.patterns.iter().cloned().map(Selector::Pattern));
        let (exclude, limit) = (self.exclude.clone(), self.limit.clone());
        Selection { include, exclude, limit, allow_empty: self.allow_empty }
    }
}

/// Chooses, and says which nodes an expression could not judge.
async fn choose(selection: &Selection, app: &App, inventory: &mut Inventory) -> Result<Vec<Node>> {
    let nodes = inventory.choose(selection).await?;
    let facts: Vec<&str> = selection.keys().filter(|key| NAMES.contains(key)).collect();
    let lacks = |node: &&Node| facts.iter().any(|fact| !node.metadata.contains_key(*fact));
    let names: Vec<&str> = inventory.nodes.values().filter(lacks).map(|node| node.name.as_str()).collect();
    if let [first, rest @ ..] = names.as_slice() {
        let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let facts = facts.join(", ");
        app.printer.note(&format!(
            "not known of {first}{others}: {facts}; hostler node facts asks nodes what they are"
        ));
    }
    Ok(nodes)
}

fn node(text: &str) -> Result<Selector, String> {
    Selector::node(text).map_err(|e| sentence(&e))
}

fn expression(text: &str) -> Result<Expression, String> {
    text.parse().map_err(|e| sentence(&e))
}

fn git_change(text: &str) -> Result<GitChange, String> {
    text.parse().map_err(|e| sentence(&e))
}

fn selector(text: &str) -> Result<Selector, String> {
    text.parse().map_err(|e| sentence(&e))
}

fn sentence(error: &base::Error) -> String {
    let more = error.cause.iter().chain(&error.hint).map(|m| format!("; {m}"));
    [error.message.clone()].into_iter().chain(more).collect()
}
