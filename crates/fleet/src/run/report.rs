//! A run as a report for CI systems.

use crate::{
    engine::{Outcome, Status},
    junit::{Case, CaseResult, Suite, document},
    watch::Kept,
};

/// The outcomes as JUnit XML: each node is a test. `kept` is what each said, in the same order.
pub fn junit(outcomes: &[&Outcome], kept: &[Kept]) -> String {
    let outputs = kept.iter().map(output).chain(std::iter::repeat(String::new()));
    let cases = outcomes.iter().zip(outputs).map(|(outcome, output)| Case {
        name: outcome.node.clone(),
        class: "run".into(),
        duration: outcome.duration,
        result: result(outcome),
        output,
    });
    document("hostler run", &[Suite { name: "run".into(), cases: cases.collect() }])
}

fn output(kept: &Kept) -> String {
    let more = if kept.truncated { "\n(there was more)\n" } else { "" };
    format!("{}{}{more}", kept.stdout, kept.stderr)
}

fn result(outcome: &Outcome) -> CaseResult {
    let why = outcome.error.as_ref().map(ToString::to_string).unwrap_or_default();
    match outcome.status {
        Status::Ok => CaseResult::Passed,
        Status::Cancelled | Status::Skipped => CaseResult::Skipped(why),
        failed => {
            let hint = outcome.error.as_ref().and_then(|e| e.hint.as_ref());
            let text = hint.map(|hint| format!("{why}\n{hint}")).unwrap_or_default();
            CaseResult::Failed(format!("{}: {why}", failed.as_str()), text)
        }
    }
}
