//! The local history of deployments: what was done, and what was under way when one was cut off.
//!
//! Each deployment is a file of JSON lines, written as it goes.

use crate::{deploy::Report, engine::Failure};
use base::{Error, Result};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// So many deployments are kept.
const KEPT: usize = 200;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A deployment began.
    Begin {
        /// The version of the format.
        version: u32,
        /// When.
        date: Timestamp,
        /// By whom.
        author: String,
        /// Of which nodes.
        nodes: Vec<String>,
    },
    /// A step of a node began.
    Step {
        /// The node.
        node: String,
        /// The service.
        service: String,
        /// The step.
        step: String,
    },
    /// A node has ended.
    Node {
        /// The node.
        node: String,
        /// `ok`, or a word for what went wrong.
        status: String,
        /// How many steps changed something.
        changed: usize,
        /// Why it did not go well.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Error>,
    },
    /// The deployment has ended.
    End,
}

/// The file of one deployment.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

/// A deployment that has no end: this program was killed, or its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When it began.
    pub date: Timestamp,
    /// By whom.
    pub author: String,
    /// Nodes that have not ended, each with the last step that began there.
    pub open: Vec<(String, Option<String>)>,
}

impl Journal {
    /// Begins one in the history `dir`, and forgets the oldest.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin(dir: &Path, author: &str, nodes: Vec<String>) -> Result<Self> {
        rt::files::private_dir(dir)?;
        let path = dir.join(format!("{}.jsonl", rt::ids::uid()));
        let doing = |e: std::io::Error| Error::io(format_args!("write {}", path.display()), &e);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path).map_err(doing)?;
        let journal = Journal { file: Mutex::new(file), path };
        journal.add(&Event::Begin {
            version: 1,
            date: rt::clock::wall(),
            author: author.to_owned(),
            nodes,
        })?;
        let mut all = files(dir);
        all.truncate(all.len().saturating_sub(KEPT));
        for old in all {
            let _ = fs::remove_file(old);
        }
        Ok(journal)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn add(&self, event: &Event) -> Result<()> {
        let mut line =
            serde_json::to_vec(event).map_err(|e| Error::internal("cannot write history").because(e))?;
        line.push(b'\n');
        let written = self.file.lock().write_all(&line);
        written.map_err(|e| Error::io(format_args!("write {}", self.path.display()), &e))
    }

    /// A step begins. What cannot be written is not: the deployment goes on.
    pub fn step(&self, node: &str, service: &str, step: &str) {
        let [node, service, step] = [node, service, step].map(str::to_owned);
        let _ = self.add(&Event::Step { node, service, step });
    }

    /// A node has ended.
    pub fn node(&self, node: &str, result: &Result<Report, Failure>) {
        let (status, changed, error) = match result {
            Ok(report) => ("ok", report.changed, None),
            Err(failure) => (failure.status.as_str(), 0, Some(failure.error.clone())),
        };
        let _ = self.add(&Event::Node { node: node.to_owned(), status: status.into(), changed, error });
    }

    /// The deployment has ended.
    pub fn end(&self) {
        let _ = self.add(&Event::End);
    }
}

/// The newest deployment of a history, if it was cut off.
pub fn cut_off(dir: &Path) -> Option<Cut> {
    let text = fs::read_to_string(files(dir).pop()?).ok()?;
    let events: Vec<Event> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let Some(Event::Begin { date, author, nodes, .. }) = events.first() else { return None };
    if events.contains(&Event::End) {
        return None;
    }
    let ended = |name: &String| events.iter().any(|e| matches!(e, Event::Node { node, .. } if node == name));
    let last = |name: &String| {
        events.iter().rev().find_map(|e| match e {
            Event::Step { node, service, step } if node == name => Some(format!("{step} of {service}")),
            _ => None,
        })
    };
    let open = nodes.iter().filter(|n| !ended(n)).map(|n| (n.clone(), last(n))).collect();
    Some(Cut { date: *date, author: author.clone(), open })
}

/// Its files, the oldest first: their names are ordered by time.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_without_an_end_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cut_off(dir.path()), None);
        let journal = Journal::begin(dir.path(), "me", vec!["a".into(), "b".into(), "c".into()]).unwrap();
        journal.step("a", "web", "file /x");
        journal.node("a", &Ok(Report::default()));
        journal.step("b", "web", "file /y");
        let cut = cut_off(dir.path()).unwrap();
        assert_eq!(cut.open, [("b".into(), Some("file /y of web".into())), ("c".into(), None)]);
        journal.end();
        assert_eq!(cut_off(dir.path()), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 5 {
            fs::write(dir.path().join(format!("{number:05}.jsonl")), "").unwrap();
        }
        Journal::begin(dir.path(), "me", vec![]).unwrap();
        let left = files(dir.path());
        assert_eq!(left.len(), KEPT);
        assert!(left[0].ends_with("00006.jsonl"));
    }
}
