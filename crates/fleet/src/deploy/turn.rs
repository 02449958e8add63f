//! The turns of the shell on a node: looking, doing, writing the log.

use crate::{
    plan::{Foretold, Planned, owed_name},
    resource::{APPLY, Look, word},
    service::{Action, Script},
    shell::given,
};
use ssh::quote;
use std::fmt::Write as _;

/// Definitions that all turns share, and where the node keeps its things; empty is the usual place.
pub fn definitions(look: &Look, state_dir: Option<&str>, log_dir: Option<&str>) -> String {
    let places = [state_dir, log_dir].map(|dir| dir.map_or_else(|| "''".into(), word));
    format!("{}{APPLY}\nplaces {}\n", look.script(), places.join(" "))
}

/// Looks, after taking the lock if it has to be waited for, at most so many seconds.
pub fn look(lock: Option<u64>) -> String {
    let user = "frame user \"${SUDO_USER:-${USER:-$(id -un)}}\"";
    match lock {
        None => "frame seen\nobserve".into(),
        Some(seconds) => format!("{user}\nlock \"$state/lock\" {seconds} || return\nframe seen\nobserve"),
    }
}

/// Does some steps, until one fails. With `verify`, looks again when all are done.
pub fn steps(some: &[&Planned<'_>], handlers: &[&Planned<'_>], verify: bool) -> String {
    let mut text = String::new();
    for planned in some.iter().chain(handlers) {
        let _ = write!(text, "step_{}() {{\n{}}}\n", planned.key, body(planned));
    }
    for planned in some {
        let _ = writeln!(text, "step {} || return", planned.key);
    }
    for handler in handlers {
        let _ = writeln!(text, "step {} || return", handler.key);
        let _ = writeln!(text, "settle {}", owed_name(&handler.step.name));
    }
    if verify {
        text.push_str("frame seen\nobserve\n");
    }
    text
}

/// The lines of one step.
fn body(planned: &Planned<'_>) -> String {
    let mut text = String::new();
    let owed: Vec<String> = planned.step.notify.iter().map(|n| owed_name(n)).collect();
    if !owed.is_empty() {
        let _ = writeln!(text, "owe {} || return", owed.join(" "));
    }
    match (&planned.foretold, &planned.step.action) {
        (Foretold::Change(change), _) => text.push_str(&change.script),
        (_, Action::Script(script)) => text.push_str(&run(script, &script.script)),
        _ => text.push_str(":\n"),
    }
    text
}

/// The script itself is no argument of anything: what is in it shows in no list of processes.
fn run(script: &Script, code: &str) -> String {
    let exports = script.env.iter().map(|(name, value)| format!("export {name}={}\n", quote(value)));
    let exports: String = exports.collect();
    let limit = script.timeout.unwrap_or(0);
    let Some(program) = &script.interpreter else {
        return here(&format!("script {limit} \"$shell\""), 0, &format!("{exports}{code}"));
    };
    let program = program.split_whitespace().map(quote).collect::<Vec<_>>().join(" ");
    if exports.is_empty() {
        return here(&format!("script {limit} {program}"), 0, code);
    }
    let inner = here(&format!("exec {program} /dev/fd/8"), 8, code);
    here(&format!("script {limit} sh"), 0, &format!("{exports}{inner}"))
}

/// A command that reads this text from a file descriptor.
fn here(command: &str, descriptor: u8, text: &str) -> String {
    let mut end = "END".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    format!("{command} {descriptor}<<'{end}'\n{}\n{end}\n", text.trim_end_matches('\n'))
}

/// Writes the log and ends.
pub fn save(name: &str, log: &str) -> String {
    format!("{}\nunlock", given(&format!("save \"$logs\" {}", quote(name)), log.as_bytes(), ""))
}
