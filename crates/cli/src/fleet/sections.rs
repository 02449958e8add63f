//! The frames around checks and deployments, and the sums below them.

use super::deployment::Went;
use crate::app::App;
use fleet::{deploy::Report, engine::Status};

/// Begins a section: `Checking on 3 nodes`.
pub fn begin(app: &App, title: &str) {
    if !app.printer.format.is_data() {
        app.printer.line(&format!("===== {title} ==== Begin..."));
    }
}

/// Ends it.
pub fn end(app: &App, title: &str) {
    if !app.printer.format.is_data() {
        app.printer.line(&format!("===== {title} ==== ...End\n"));
    }
}

/// What a check found, in one line.
pub fn foretold(app: &App, went: &Went) {
    let (mut changes, mut unknown, mut handlers) = (0, 0, 0);
    for report in reports(went) {
        changes += report.plan.changes;
        unknown += report.plan.unknown;
        handlers += report.plan.handlers.len();
    }
    let mut words = vec![count(changes, "change")];
    if handlers > 0 {
        words.push(count(handlers, "handler"));
    }
    if unknown > 0 {
        words.push(format!("{unknown} unknown (scripts, which may write)"));
    }
    app.printer.note(&format!("{}: {}", nodes(went), words.join(", ")));
}

/// What a deployment did, in one line.
pub fn done(app: &App, went: &Went) {
    let (mut changed, mut code, mut handlers) = (0, 0, 0);
    for report in reports(went) {
        changed += report.changed;
        code += report.code;
        handlers += report.handlers;
        for warning in &report.warnings {
            app.printer.warn(warning);
        }
    }
    let mut words = vec![count(changed, "change")];
    if handlers > 0 {
        words.push(count(handlers, "handler"));
    }
    if code > 0 {
        words.push(format!("{} ran", count(code, "script")));
    }
    if went.done.iter().any(|d| matches!(d.outcome.status, Status::Failed | Status::Timeout)) {
        words.push("those that failed may have changed in part".into());
    }
    app.printer.note(&format!("{}: {}", nodes(went), words.join(", ")));
}

fn reports(went: &Went) -> impl Iterator<Item = &Report> {
    went.done.iter().filter(|d| d.outcome.status == Status::Ok).filter_map(|d| d.value.as_ref())
}

fn nodes(went: &Went) -> String {
    let well = reports(went).count();
    let of = if well == went.done.len() { String::new() } else { format!(" of {}", went.done.len()) };
    format!("{well}{of} node{}", if went.done.len() == 1 { "" } else { "s" })
}

/// `0 changes`, `1 change`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
