//! `hostler fleet import`: `hostler.yaml` from the `hpc_config.rb` of Hybrid Platforms Conductor.

mod carry;
mod place;
mod wanted;

use super::directory;
use crate::{Result, app::App, failure::OK};
use base::{Error, Result as Outcome};
use carry::{Document, Left};
use clap::Args;
use fleet::{
    ruby::{Answers, Bridge, Options, Question},
    session::Chunk,
};
use futures::future::{BoxFuture, FutureExt, ready};
use serde::Serialize;
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Make hostler.yaml from hpc_config.rb, and list what cannot be carried over. The file is code, and is run as you.
#[derive(Args, Debug)]
pub struct Import {
    /// The directory with hpc_config.rb
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace a hostler.yaml that is there
    #[arg(long)]
    force: bool,
}

/// What was done, as data.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    written: bool,
    document: &'a Document,
    left: &'a [Left],
}

impl Import {
    pub async fn run(self, app: &App) -> Result {
        let dir = self.dir.canonicalize();
        let dir = dir.map_err(|e| Error::io(format_args!("open {}", self.dir.display()), &e))?;
        let (from, to) = (dir.join("hpc_config.rb"), dir.join("hostler.yaml"));
        if !from.is_file() {
            return Err(Error::not_found(format!("there is no hpc_config.rb in {}", dir.display())).into());
        }
        if to.exists() && !self.force && !self.dry_run {
            return Err(Error::conflict(format!("{} is there already", to.display()))
                .hint("see what would be in it with --dry-run, or replace it with --force")
                .into());
        }
        let bridge = Bridge::new(Options::new(&dir), Arc::new(NothingKnown));
        let said = bridge.configuration(&from, &mut |chunk| pass_on(app, &chunk)).await?;
        let (document, left) = carry::carry(&said, &dir, directory::home().as_deref());
        let text = text(&document, &left)?;
        if !self.dry_run {
            fs::write(&to, &text).map_err(|e| Error::io(format_args!("write {}", to.display()), &e))?;
        }
        if app.printer.format.is_data() {
            app.printer.value(&Report {
                file: &to,
                written: !self.dry_run,
                document: &document,
                left: &left,
            })?;
            return Ok(OK);
        }
        if self.dry_run {
            app.printer.data(text.as_bytes());
        } else {
            app.printer.note(&format!("wrote {}", to.display()));
        }
        for left in &left {
            app.printer.warn(&left.to_string());
        }
        Ok(OK)
    }
}

/// What the configuration itself prints.
fn pass_on(app: &App, chunk: &Chunk) {
    let (Chunk::Stdout(bytes) | Chunk::Stderr(bytes)) = chunk;
    app.printer.raw_stderr(bytes);
}

/// The file, with what is not in it as remarks, so that nobody forgets.
fn text(document: &Document, left: &[Left]) -> Outcome<String> {
    let yaml = serde_saphyr::to_string(document)
        .map_err(|e| Error::internal("cannot write hostler.yaml").because(e))?;
    let mut text = format!("# Made from hpc_config.rb by `hostler fleet import`.\n{yaml}");
    if !left.is_empty() {
        text.push_str("\n# Not carried over:\n");
    }
    for left in left {
        let _ = writeln!(text, "# - {left}");
    }
    Ok(text)
}

/// A configuration is read before there are nodes.
struct NothingKnown;

impl Answers for NothingKnown {
    fn answer(&self, question: Question) -> BoxFuture<'_, Outcome<Value>> {
        let nothing = match question {
            Question::Property { .. } => Value::Null,
            Question::Nodes { .. } => Value::Array(Vec::new()),
        };
        ready(Ok(nothing)).boxed()
    }
}

#[cfg(test)]
mod tests;
