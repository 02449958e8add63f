//! The services of a node, deployed on a throw-away container: once, and once more.

use super::{
    Kind, Outcome, Subject, container::ThrowAway, files, outcome::Found, plan::Trial, rollout,
    visit::NodeTests, way::Way,
};
use crate::deploy::{Mode, Report};
use base::{Error, Result};
use inventory::Node;
use rt::clock;
use std::time::Duration;

/// What all tests that need a container have found; none where there are no such tests.
pub async fn outcomes(tests: &NodeTests<'_>, node: &Node, trial: Option<&Trial>) -> Vec<Outcome> {
    let Some(trial) = trial else { return Vec::new() };
    let begin = clock::now();
    let tried = match &trial.image {
        None => Tried::Unclear("no image is declared for the node".into()),
        Some(image) => match on_container(tests, node, image, trial.has(Kind::Idempotence)).await {
            Ok(second) => Tried::Deployed(second),
            Err(e) => Tried::Failed(e),
        },
    };
    let outcome = |kind: &Kind| {
        let told = trial.has(Kind::DeployFromScratch);
        Outcome::new(
            kind.as_str(),
            Subject::Node(node.name.clone()),
            tried.says(*kind, told),
            begin.elapsed(),
        )
    };
    trial.kinds.iter().map(outcome).collect()
}

/// How a trial went.
enum Tried {
    /// The first deployment went well; the second, if any, had this to say.
    Deployed(Found),
    /// There was no first deployment that went well.
    Failed(Error),
    /// There can be none.
    Unclear(String),
}

impl Tried {
    /// What that means for a test; `told` where another test tells of the first deployment.
    fn says(&self, kind: Kind, told: bool) -> Found {
        match (self, kind) {
            (Tried::Unclear(why), _) => Found::Unclear(why.clone()),
            (Tried::Deployed(second), Kind::Idempotence) => second.clone(),
            (Tried::Deployed(_), _) => Found::Well,
            (Tried::Failed(_), Kind::Idempotence) if told => {
                Found::Unclear("the first deployment did not go well".into())
            }
            (Tried::Failed(e), _) => e.clone().into(),
        }
    }
}

/// Starts a container, deploys there and removes it, whatever happens.
async fn on_container(tests: &NodeTests<'_>, node: &Node, image: &str, twice: bool) -> Result<Found> {
    let _permit =
        tests.room.acquire().await.map_err(|e| Error::internal("no container may be started").because(e))?;
    let settings = &tests.runner.declared.containers;
    let limit = Duration::from_secs(settings.timeout);
    let starting = ThrowAway::start(image, settings, node);
    let container = clock::timeout(limit, "the start of a container", starting).await??;
    let tried = deployments(tests, node, &container, twice).await;
    let removed = container.end().await;
    let second = tried?;
    removed.map(|()| second)
}

/// Deploys once, and where that is wanted once more.
async fn deployments(
    tests: &NodeTests<'_>,
    node: &Node,
    container: &ThrowAway,
    twice: bool,
) -> Result<Found> {
    let stand_in = container.stands_for(node);
    let way = container.way(&stand_in).await?;
    let first = deploy(tests, &stand_in, &way).await?;
    if !twice {
        return Ok(Found::Well);
    }
    // Its own trouble is none of the first.
    Ok(again(tests, &stand_in, &way, first.code > 0).await.unwrap_or_else(Found::from))
}

/// What a second deployment changes. What the scripts of the first did not foretell shows in the files.
async fn again(tests: &NodeTests<'_>, stand_in: &Node, way: &Way, scripts: bool) -> Result<Found> {
    let declared = &tests.runner.declared.containers.ignore_changes;
    let ignored: Vec<String> = declared.iter().cloned().chain(tests.rollout.places(&stand_in.name)).collect();
    let before = if scripts { Some(files::all(way, &ignored).await?) } else { None };
    let second = match deploy(tests, stand_in, way).await {
        Ok(report) => report,
        Err(e) => return Ok(Found::wrong(format!("the second deployment did not go well: {e}"))),
    };
    let mut changes = rollout::changes(&second, "changed again");
    if let Some(before) = before.filter(|_| changes.is_empty()) {
        changes.extend(before.changes(&files::all(way, &ignored).await?));
    }
    Ok(Found::of(changes))
}

async fn deploy(tests: &NodeTests<'_>, stand_in: &Node, way: &Way) -> Result<Report> {
    let limit = Duration::from_secs(tests.runner.declared.containers.timeout);
    let deploying = tests.rollout.run(Mode::Deploy(None), stand_in, way);
    clock::timeout(limit, "the deployment", deploying).await?.map_err(|failure| failure.error)
}
