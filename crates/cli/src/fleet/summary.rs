//! What is said at the end of a run over nodes, and with which exit code it ends.

use super::watching::{Seen, Style, WatchArgs};
use crate::{
    app::App,
    failure::{INTERRUPTED, OK, SOME_FAILED},
    table::{Layout, col},
};
use fleet::engine::{Interrupt, Outcome, Status, Verdict};

/// Says which nodes are not well and why, on standard error. Nothing where all are and nobody wants to know.
pub fn tell(app: &App, watch: &WatchArgs, outcomes: &[&Outcome], seen: &Seen) {
    for error in &seen.broken_logs {
        app.printer.warn(&error.to_string());
    }
    let bad: Vec<&&Outcome> = outcomes.iter().filter(|o| o.status != Status::Ok).collect();
    if bad.is_empty() {
        if !watch.parallel && watch.output_style != Style::Raw {
            app.printer.note(&total(outcomes));
        }
        return;
    }
    let columns = [col("NODE"), col("STATUS"), col("CODE"), col("SECONDS"), col("WHY")];
    let mut layout = Layout::new(&columns, false, None);
    let rows: Vec<Vec<String>> = bad.iter().map(|outcome| cells(outcome)).collect();
    for row in &rows {
        layout.fit(row);
    }
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        text.push_str(&layout.line(row));
        text.push('\n');
    }
    // These are errors, which --quiet does not keep back.
    app.printer.raw_stderr(text.as_bytes());
    for hint in hints(&bad) {
        app.printer.note(&format!("{} {hint}", app.printer.paint("1", "hint:")));
    }
    app.printer.note(&total(outcomes));
}

fn cells(outcome: &Outcome) -> Vec<String> {
    let why = outcome.error.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![
        outcome.node.clone(),
        outcome.status.as_str().to_owned(),
        outcome.code.map_or_else(|| "-".into(), |code| code.to_string()),
        format!("{:.1}", outcome.duration.as_secs_f64()),
        why.split_whitespace().collect::<Vec<_>>().join(" "),
    ]
}

/// Each hint once, though many nodes may have it, each perhaps with its own name in it.
fn hints(bad: &[&&Outcome]) -> Vec<String> {
    let mut hints: Vec<(String, String, usize)> = Vec::new();
    for outcome in bad {
        let Some(hint) = outcome.error.as_ref().and_then(|e| e.hint.clone()) else { continue };
        let of_any = hint.replace(&outcome.node, "NODE");
        match hints.iter_mut().find(|(known, ..)| *known == of_any) {
            Some((.., more)) => *more += 1,
            None => hints.push((of_any, hint, 0)),
        }
    }
    let with_more = |(of_any, hint, more)| match more {
        0 => hint,
        _ if of_any == hint => hint,
        _ => format!("{hint} (and likewise for {more} more)"),
    };
    hints.into_iter().map(with_more).collect()
}

/// `11 nodes: 9 ok, 1 failed, 1 unreachable`.
fn total(outcomes: &[&Outcome]) -> String {
    let all = [
        Status::Ok,
        Status::Failed,
        Status::Unreachable,
        Status::Timeout,
        Status::Cancelled,
        Status::Skipped,
    ];
    let count = |status| outcomes.iter().filter(|o| o.status == status).count();
    let parts: Vec<String> = all
        .into_iter()
        .map(|status| (count(status), status))
        .filter(|(n, _)| *n > 0)
        .map(|(n, status)| format!("{n} {}", status.as_str()))
        .collect();
    let nodes = if outcomes.len() == 1 { "node" } else { "nodes" };
    format!("{} {nodes}: {}", outcomes.len(), parts.join(", "))
}

/// 0 only where all went well and all of it was kept.
pub fn exit_code(outcomes: &[&Outcome], seen: &Seen, interrupt: &Interrupt) -> u8 {
    if interrupt.is_stopping() {
        return INTERRUPTED;
    }
    match Verdict::of(outcomes.iter().copied()) {
        Verdict::AllOk if seen.broken_logs.is_empty() => OK,
        Verdict::AllOk | Verdict::AllFailed => 1,
        Verdict::SomeFailed => SOME_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Code, Error};
    use std::time::Duration;

    #[test]
    fn a_hint_that_differs_by_the_node_is_said_once() {
        let outcome = |node: &str, hint: &str| Outcome {
            node: node.into(),
            status: Status::Unreachable,
            code: None,
            attempts: 1,
            duration: Duration::ZERO,
            error: Some(Error::new(Code::Unavailable, "no").hint(hint)),
        };
        let all = [
            outcome("n1", "hostler node trust n1"),
            outcome("n2", "hostler node trust n2"),
            outcome("n3", "start it"),
            outcome("n4", "start it"),
        ];
        let bad: Vec<&Outcome> = all.iter().collect();
        let wanted = ["hostler node trust n1 (and likewise for 1 more)", "start it"];
        assert_eq!(hints(&bad.iter().collect::<Vec<_>>()), wanted);
    }
}
