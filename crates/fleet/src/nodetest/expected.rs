//! Failures that are expected: they count only where they do not happen.

use super::{
    Kind,
    declared::ExpectedFailure,
    outcome::{Outcome, Status, Subject},
};
use base::Result;
use inventory::Inventory;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is expected to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    tests: Vec<String>,
    subjects: BTreeSet<Subject>,
    reason: String,
}

/// What is expected to fail, with names instead of selectors.
///
/// # Errors
/// Nodes are named that do not exist.
pub async fn expectations(declared: &[ExpectedFailure], inventory: &Inventory) -> Result<Vec<Expectation>> {
    let mut platforms: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for node in inventory.nodes.values() {
        platforms.entry(&node.platform).or_default().insert(&node.name);
    }
    let mut all = Vec::new();
    for failure in declared {
        let names = failure.r#for.names(inventory).await?;
        let whole = platforms.iter().filter(|(_, nodes)| nodes.iter().all(|n| names.contains(*n)));
        let whole = whole.map(|(name, _)| Subject::Platform((*name).clone()));
        let tests =
            failure.tests.iter().map(|t| t.parse::<Kind>().map_or_else(|_| t.clone(), |k| k.to_string()));
        all.push(Expectation {
            tests: tests.collect(),
            subjects: whole.chain(names.iter().cloned().map(Subject::Node)).collect(),
            reason: failure.reason.clone(),
        });
    }
    Ok(all)
}

/// Judges outcomes by what was expected. Where all tests of all nodes were run, what was expected and is not there at
/// all is said too.
pub fn judge(outcomes: &mut Vec<Outcome>, expectations: &[Expectation], all: bool) {
    let mut stale = Vec::new();
    for expectation in expectations {
        for test in &expectation.tests {
            let mut there = false;
            let meant = |o: &&mut Outcome| o.test == *test && expectation.subjects.contains(&o.subject);
            for outcome in outcomes.iter_mut().filter(meant) {
                there = true;
                apply(outcome, &expectation.reason);
            }
            if all && !there {
                stale.push(missing(test, &expectation.reason));
            }
        }
    }
    outcomes.extend(stale);
}

fn apply(outcome: &mut Outcome, reason: &str) {
    match outcome.status {
        Status::Failed => outcome.status = Status::FailedAsExpected,
        Status::Passed => {
            outcome.status = Status::NotFailedAsExpected;
            outcome.errors =
                vec!["it passes, though it is expected to fail: take it out of expected_failures".into()];
        }
        _ => return, // not run, or judged already by an expectation before
    }
    outcome.reason = Some(reason.to_owned());
}

fn missing(test: &str, reason: &str) -> Outcome {
    Outcome {
        test: test.to_owned(),
        subject: Subject::Fleet("expected_failures".into()),
        status: Status::NotFailedAsExpected,
        errors: vec!["no such test was run: take it out of expected_failures".into()],
        reason: Some(reason.to_owned()),
        duration: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodetest::outcome::Found;
    use inventory::Node;

    fn inventory() -> Inventory {
        let node = |name: &str| {
            (name.to_owned(), Node { name: name.into(), platform: "lab".into(), ..Node::default() })
        };
        let mut inventory = Inventory::default();
        inventory.nodes = [node("web1"), node("web2")].into();
        inventory
    }

    fn outcome(test: &str, subject: Subject, found: Found) -> Outcome {
        Outcome::new(test, subject, found, Duration::ZERO)
    }

    async fn judged(yaml: &str, mut outcomes: Vec<Outcome>, all: bool) -> Vec<(String, Status)> {
        let declared: Vec<ExpectedFailure> = serde_saphyr::from_str(yaml).unwrap();
        let expectations = expectations(&declared, &inventory()).await.unwrap();
        judge(&mut outcomes, &expectations, all);
        outcomes.into_iter().map(|o| (format!("{} {}", o.test, o.subject), o.status)).collect()
    }

    #[tokio::test]
    async fn expected_failures_do_not_count_unless_they_do_not_happen() {
        let node = |name: &str| Subject::Node(name.into());
        let outcomes = vec![
            outcome("connection", node("web1"), Found::wrong("down")),
            outcome("connection", node("web2"), Found::wrong("down")),
            outcome("files", node("web1"), Found::Well),
            outcome("hostname", node("web1"), Found::Unclear("no".into())),
        ];
        let yaml = "[{tests: [connection, file-system, hostname], for: [web1], reason: broken}]";
        let names = |s: &[(&str, Status)]| s.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect::<Vec<_>>();
        let expected = [
            ("connection web1", Status::FailedAsExpected),
            ("connection web2", Status::Failed),
            ("files web1", Status::NotFailedAsExpected),
            ("hostname web1", Status::Skipped),
        ];
        assert_eq!(judged(yaml, outcomes, true).await, names(&expected));
    }

    #[tokio::test]
    async fn an_expectation_without_a_test_is_an_error_where_all_tests_ran() {
        let yaml = "[{tests: [mounts], for: [web1], reason: old}]";
        assert_eq!(judged(yaml, vec![], false).await, []);
        let stale = judged(yaml, vec![], true).await;
        assert_eq!(stale, [("mounts expected_failures".to_owned(), Status::NotFailedAsExpected)]);
    }

    #[tokio::test]
    async fn a_platform_is_meant_where_all_its_nodes_are() {
        let outcomes =
            || vec![outcome("linear_history", Subject::Platform("lab".into()), Found::wrong("crooked"))];
        let all = judged("[{tests: [linear_history], reason: old}]", outcomes(), true).await;
        assert_eq!(all[0].1, Status::FailedAsExpected);
        let one = judged("[{tests: [linear_history], for: [web1], reason: old}]", outcomes(), false).await;
        assert_eq!(one[0].1, Status::Failed);
    }
}
