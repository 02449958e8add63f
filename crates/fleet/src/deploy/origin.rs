//! Where services came from, as git knows it: for the log, and for what the fleet's policies demand.

use crate::{log::Repository, service::Origin};
use base::{Code, Error, Result};
use serde::Deserialize;
use std::{path::Path, time::Duration};

/// How long git may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The section `policies` of `hostler.yaml`: what must hold before anything is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// Only what is on this branch, here or at `origin`, may be deployed.
    pub deploy_only: Option<String>,
    /// Nothing may be deployed that is not committed.
    pub clean_tree: bool,
}

/// What git says of a directory. One that is in no repository has only its name.
pub async fn repository(origin: &Origin) -> Result<Repository> {
    let mut repository = Repository { name: origin.name.clone(), ..Repository::default() };
    let Ok(head) = git(&origin.dir, &["log", "-1", "--format=%H%n%s"]).await else { return Ok(repository) };
    let mut lines = head.lines();
    repository.commit = lines.next().map(str::to_owned);
    repository.message = lines.next().map(str::to_owned);
    let status = git(&origin.dir, &["status", "--porcelain", "-z", "--no-renames", "--", "."]).await?;
    repository.differing = status.split('\0').filter_map(|e| Some(e.get(3..)?.to_owned())).collect();
    Ok(repository)
}

impl Policies {
    /// Whether what these directories have may be deployed.
    ///
    /// # Errors
    /// [`Code::Forbidden`] where it may not.
    pub async fn allow(&self, origin: &Origin, repository: &Repository) -> Result<()> {
        // A directory without a repository has no branch and no commit to differ from.
        let Some(commit) = &repository.commit else { return Ok(()) };
        if self.clean_tree && !repository.differing.is_empty() {
            let count = repository.differing.len();
            let error = Error::new(
                Code::Forbidden,
                format!("{} has {count} files that are not committed", origin.name),
            );
            return Err(error
                .because("the policy clean_tree of hostler.yaml")
                .hint(format!("commit or undo these changes: git -C {} status", origin.dir.display())));
        }
        let Some(branch) = &self.deploy_only else { return Ok(()) };
        for name in [format!("refs/heads/{branch}"), format!("refs/remotes/origin/{branch}")] {
            let known = git(&origin.dir, &["rev-parse", "--verify", "-q", &name]).await;
            if known.is_ok_and(|c| c.trim() == commit) {
                return Ok(());
            }
        }
        let error = Error::new(Code::Forbidden, format!("{} is not at the branch '{branch}'", origin.name));
        Err(error
            .because("the policy deploy_only of hostler.yaml")
            .hint(format!("git -C {} switch {branch}", origin.dir.display())))
    }
}

async fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let mut git = rt::process::command("git");
    // In a hook of git these name another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git.arg("-C").arg(dir).args(args);
    Ok(rt::process::run(git, PATIENCE).await?.stdout)
}
