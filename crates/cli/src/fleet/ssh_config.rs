//! `hostler ssh-config`: how the nodes are reached, for ssh, scp, rsync and editors.

mod block;
mod book;

use super::{directory::FleetDir, selection::SelectionArgs, ssh::SshArgs};
use crate::{Result, app::App, failure::OK};
use base::Error;
pub use block::Block;
pub use book::Book;
use clap::Args;
use std::path::PathBuf;

/// How the nodes are reached, as a configuration of SSH; all nodes, unless some are chosen.
#[derive(Args, Debug)]
#[command(
    after_help = "Put what it prints into ~/.ssh/fleet, and `Include fleet` at the top of ~/.ssh/config."
)]
pub struct SshConfig {
    /// Write the host keys of the inventory and of known hosts to this file, and let the configuration use it
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// Which nodes
    #[command(flatten)]
    selection: SelectionArgs,
    /// How they are reached
    #[command(flatten)]
    ssh: SshArgs,
}

impl SshConfig {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.ssh).await?;
        let mut nodes = self.selection.choose_or_all(app, &mut inventory).await?;
        if self.known_hosts.is_some() {
            inventory.complete(&mut nodes, &["host_keys"]).await?;
        }
        let here = std::env::current_dir().map_err(|e| Error::io("find the working directory", &e))?;
        let known_hosts = self.known_hosts.map(|path| here.join(path));
        let mut book = Book::new(app, &self.ssh, known_hosts.as_deref());
        for node in &nodes {
            book.add(node)
                .await
                .map_err(|e| if e.field.is_some() { e } else { e.at(node.origin.as_str()) })?;
        }
        if let Some(path) = &known_hosts {
            rt::files::write_atomic(path, book.known_hosts().as_bytes())?;
        }
        let blocks = book.into_blocks();
        if app.printer.format.is_data() {
            app.printer.value(&blocks)?;
        } else {
            let texts: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            app.printer.data(texts.join("\n").as_bytes());
        }
        Ok(OK)
    }
}
