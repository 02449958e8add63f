//! Which nodes are meant: plain data, evaluated against an inventory.

use crate::{Expression, Inventory, Node, Selector};
use base::{Error, Result};
use std::collections::BTreeSet;

/// The union of `include`, minus the union of `exclude`, and of that only what `limit` names too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// What is meant.
    pub include: Vec<Selector>,
    /// What is left out of it.
    pub exclude: Vec<Selector>,
    /// Where not empty, nothing else is taken.
    pub limit: Vec<Selector>,
    /// Whether nothing at all is an answer, instead of an error.
    pub allow_empty: bool,
}

impl Selection {
    /// Every node; none is no error.
    pub fn all() -> Self {
        Selection { include: vec![Selector::All], allow_empty: true, ..Selection::default() }
    }

    /// The nodes that are meant, in the order of their names as strings.
    pub async fn select<'a>(&self, inventory: &'a Inventory) -> Result<Vec<&'a Node>> {
        let excluded = union(&self.exclude, inventory).await?;
        let limit = union(&self.limit, inventory).await?;
        let mut names = union(&self.include, inventory).await?;
        names.retain(|n| !excluded.contains(n) && (self.limit.is_empty() || limit.contains(n)));
        if names.is_empty() && !self.allow_empty {
            return Err(self.nothing(inventory));
        }
        Ok(names.into_iter().filter_map(|name| inventory.nodes.get(name)).collect())
    }

    /// The pieces of metadata that its expressions look at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let all = [&self.include, &self.exclude, &self.limit].into_iter().flatten();
        let expressions = all.filter_map(|selector| match selector {
            Selector::Where(expression) => Some(expression),
            _ => None,
        });
        expressions.flat_map(Expression::keys).map(|key| key.split('.').next().unwrap_or(key))
    }

    fn nothing(&self, inventory: &Inventory) -> Error {
        if self.include.is_empty() {
            return Error::new(base::Code::Invalid, "no node is chosen")
                .hint("choose some by --node, --all or another selector");
        }
        if inventory.nodes.is_empty() {
            return Error::not_found("there are no nodes").hint("see the platforms in hostler.yaml");
        }
        let texts: Vec<String> = self.include.iter().map(ToString::to_string).collect();
        let found_out = self.keys().any(|key| inventory.has_source_of(key));
        let see =
            if found_out { "hostler node facts asks nodes what they are" } else { "see: hostler node list" };
        Error::not_found(format!("no node is meant by {}", texts.join(" ")))
            .hint(format!("{see}; --allow-empty makes this no error"))
    }
}

impl Inventory {
    /// The nodes that are meant, in the order of their names as strings. What expressions look at is fetched first, and
    /// git is asked, where the selection needs it.
    pub async fn choose(&mut self, selection: &Selection) -> Result<Vec<Node>> {
        self.sources.check()?;
        for key in selection.keys().collect::<BTreeSet<_>>() {
            if self.has_source_of(key) {
                let names: Vec<String> = self.nodes.keys().cloned().collect();
                self.fetch(key, names.iter().map(String::as_str)).await?;
            }
        }
        Ok(selection.select(self).await?.into_iter().cloned().collect())
    }
}

async fn union<'a>(selectors: &[Selector], inventory: &'a Inventory) -> Result<BTreeSet<&'a str>> {
    let mut names = BTreeSet::new();
    for selector in selectors {
        names.append(&mut selector.names(inventory).await?);
    }
    Ok(names)
}
