//! All outcomes together.

use super::outcome::{Outcome, Status};
use crate::junit::{Case, CaseResult, Suite};
use serde::Serialize;

/// All outcomes, by subject.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How each test went.
    pub items: Vec<Outcome>,
    /// How many went how.
    pub counts: Counts,
}

/// How many tests went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Well.
    pub passed: usize,
    /// Not well, and nobody expected it.
    pub failed: usize,
    /// Not well, as is known.
    pub failed_as_expected: usize,
    /// Well or absent, though they are said to fail.
    pub not_failed_as_expected: usize,
    /// Not done.
    pub skipped: usize,
}

impl Report {
    /// Of these.
    pub fn new(tests: Vec<Outcome>) -> Self {
        let mut counts = Counts::default();
        for test in &tests {
            *match test.status {
                Status::Passed => &mut counts.passed,
                Status::Failed => &mut counts.failed,
                Status::FailedAsExpected => &mut counts.failed_as_expected,
                Status::NotFailedAsExpected => &mut counts.not_failed_as_expected,
                Status::Skipped => &mut counts.skipped,
            } += 1;
        }
        Report { items: tests, counts }
    }

    /// As JUnit XML: a suite for each subject. What is known to fail counts as skipped there, with its reason.
    pub fn junit(&self) -> String {
        let mut suites: Vec<Suite> = Vec::new();
        for test in &self.items {
            let name = test.subject.to_string();
            let case = case(test, &name);
            match suites.last_mut().filter(|suite| suite.name == name) {
                Some(suite) => suite.cases.push(case),
                None => suites.push(Suite { name, cases: vec![case] }),
            }
        }
        crate::junit::document("hostler test", &suites)
    }
}

impl Counts {
    /// How many need somebody.
    pub fn failures(&self) -> usize {
        self.failed + self.not_failed_as_expected
    }

    /// For people: `9 passed, 1 failed`.
    pub fn words(&self) -> String {
        let parts = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.failed_as_expected, "failed as expected"),
            (self.not_failed_as_expected, "not failed as expected"),
            (self.skipped, "skipped"),
        ];
        let said = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "no tests".into() } else { said.join(", ") }
    }
}

fn case(test: &Outcome, class: &str) -> Case {
    let result = match test.status {
        Status::Passed => CaseResult::Passed,
        Status::Failed | Status::NotFailedAsExpected => {
            let first = test.errors.first().and_then(|e| e.lines().next()).unwrap_or_default();
            CaseResult::Failed(first.to_owned(), test.errors.join("\n"))
        }
        Status::FailedAsExpected => CaseResult::Skipped(format!("failed as expected: {}", test.words())),
        Status::Skipped => CaseResult::Skipped(test.words()),
    };
    Case {
        name: test.test.clone(),
        class: class.to_owned(),
        duration: test.duration,
        result,
        output: String::new(),
    }
}
