//! How a run over nodes is shown, and what is kept of it: the same flags for every verb that runs something.

use super::{bar::Bar, screen::Stdio, teller::Teller};
use crate::{Result, app::App, parse};
use base::Error;
use clap::{Args, ValueEnum};
use fleet::{
    engine::{Event, Observer},
    watch::{Keeper, Kept, Logs, Ordered, Prefixed},
};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};

/// How the output of nodes is shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct WatchArgs {
    /// Write each node's output to a file of its own and show one progress bar
    #[arg(long, short = 'p')]
    pub parallel: bool,
    /// The project
    // As all commands have it, without the short name, which is wanted here.
    #[arg(long, id = "project", help_heading = "Global options", value_name = "NAME", value_parser = parse::name, env = "HOSTLER_PROJECT", hide_env = true)]
    project: Option<base::Name>,
    /// Where --parallel writes NODE.stdout
    #[arg(long, value_name = "DIR", default_value = "run_logs")]
    pub output_dir: PathBuf,
    /// How output is shown: as it is, node after node; with a line above each node; or live, with the node before each line
    #[arg(long, value_name = "raw|group|prefix", default_value = "raw", hide_possible_values = true)]
    pub output_style: Style,
    /// Where a controller hears what happens on the nodes
    #[arg(long, value_name = "SOCKET", hide = true)]
    pub events: Option<PathBuf>,
}

/// How output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// As it is, node after node
    Raw,
    /// The same, with a line above each node
    Group,
    /// As it comes, with the node before each line
    Prefix,
}

/// Watches one run.
pub struct Watch {
    screen: Arc<Stdio>,
    live: Option<Box<dyn Observer + Send>>,
    logs: Option<Logs>,
    keeper: Option<Keeper>,
    bar: Option<Bar>,
    teller: Option<Teller>,
}

/// What is left when a run has ended.
#[derive(Default)]
pub struct Seen {
    /// What was kept of the outputs of each node, in their order.
    pub kept: Vec<Kept>,
    /// Why files of output are not whole.
    pub broken_logs: Vec<Error>,
    teller: Option<Teller>,
}

impl Seen {
    /// Gives the answer as data, to whom it is wanted by.
    pub async fn answer(&self, app: &App, answer: &impl Serialize) -> Result<()> {
        if let Some(teller) = &self.teller {
            teller.answer(answer).await;
        }
        if app.printer.format.is_data() {
            app.printer.value(answer)?;
        }
        Ok(())
    }
}

impl WatchArgs {
    /// Begins to watch a run over these nodes. With `-o json` nothing is shown while it runs. `keep` is how much of each
    /// output is kept for a report, in bytes.
    pub async fn begin(&self, app: &App, title: &'static str, nodes: &[Node], keep: usize) -> Result<Watch> {
        let screen = Arc::new(Stdio::start(&app.printer)?);
        let total = nodes.len();
        let logs = if self.parallel { Some(Logs::new(&self.output_dir, total)?) } else { None };
        let live: Option<Box<dyn Observer + Send>> = match self.output_style {
            _ if self.parallel || app.printer.format.is_data() => None,
            Style::Prefix => Some(Box::new(Prefixed::new(nodes, screen.clone()))),
            style => Some(Box::new(Ordered::new(total, screen.clone(), style == Style::Group))),
        };
        let keeper = (keep > 0).then(|| Keeper::new(total, keep));
        let bar = self.parallel.then(|| Bar::new(app, title, total));
        let teller = match &self.events {
            Some(socket) => Some(Teller::connect(socket).await?),
            None => None,
        };
        Ok(Watch { screen, live, logs, keeper, bar, teller })
    }
}

impl Watch {
    /// Waits until all is shown.
    pub async fn finish(self) -> Seen {
        self.screen.finish().await;
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        Seen {
            kept: self.keeper.map(Keeper::into_kept).unwrap_or_default(),
            broken_logs: self.logs.map(Logs::broken).unwrap_or_default(),
            teller: self.teller,
        }
    }

    fn observers(&self) -> impl Iterator<Item = &dyn Observer> {
        let live = self.live.as_deref().map(|o| o as &dyn Observer);
        let logs = self.logs.as_ref().map(|o| o as &dyn Observer);
        let keeper = self.keeper.as_ref().map(|o| o as &dyn Observer);
        let bar = self.bar.as_ref().map(|bar| &bar.tally as &dyn Observer);
        let teller = self.teller.as_ref().map(|o| o as &dyn Observer);
        [logs, keeper, live, bar, teller].into_iter().flatten()
    }
}

impl Observer for Watch {
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            for observer in self.observers() {
                observer.event(index, node, event.clone()).await;
            }
        }
        .boxed()
    }
}
