//! Asks git about the repository of a directory.

use base::{Code, Error, Result};
use std::{path::Path, time::Duration};

const LIMIT: Duration = Duration::from_mins(1);

/// A directory within a git repository.
#[derive(Clone, Copy, Debug)]
pub struct Git<'a>(pub &'a Path);

impl Git<'_> {
    async fn ask(&self, args: &[&str]) -> Result<String> {
        let mut git = rt::process::command("git");
        // In a hook of git these name another repository.
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(variable);
        }
        git.arg("-C").arg(self.0).args(args);
        Ok(rt::process::run(git, LIMIT).await?.stdout)
    }

    /// The directory's path in its repository: empty at the top, else with `/` at its end.
    pub async fn prefix(&self) -> Result<String> {
        let prefix = self.ask(&["rev-parse", "--show-prefix"]).await.map_err(|e| match e.code {
            Code::Internal => {
                Error::new(Code::Invalid, format!("{} is not in a git repository", self.0.display()))
                    .because(e.cause.unwrap_or(e.message))
                    .hint("choose nodes by another selector, or put the platform into one: git init")
            }
            _ => e, // git could not be asked
        })?;
        Ok(prefix.trim_end_matches('\n').to_owned())
    }

    /// Makes sure that a commit exists.
    pub async fn check_commit(&self, commit: &str) -> Result<()> {
        if self.has(commit).await {
            return Ok(());
        }
        let message = format!("there is no commit or branch '{commit}' in {}", self.0.display());
        Err(Error::not_found(message).hint("see: git branch --all; git log --oneline"))
    }

    async fn has(&self, commit: &str) -> bool {
        let commit = format!("{commit}^{{commit}}");
        self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).await.is_ok()
    }

    /// The branch that others start from: that of `origin`, else the one that new repositories get here, else `main` or
    /// `master`.
    pub async fn default_branch(&self) -> Result<String> {
        if let Ok(remote) = self.ask(&["symbolic-ref", "--short", "refs/remotes/origin/HEAD"]).await {
            let remote = remote.trim();
            let local = remote.strip_prefix("origin/").unwrap_or(remote);
            return Ok(if self.has(local).await { local } else { remote }.to_owned());
        }
        let configured = self.ask(&["config", "init.defaultBranch"]).await.unwrap_or_default();
        for branch in [configured.trim(), "main", "master"] {
            if !branch.is_empty() && self.has(branch).await {
                return Ok(branch.to_owned());
            }
        }
        Err(Error::not_found(format!("the default branch of {} is not known", self.0.display()))
            .hint("name the commit or branch to compare with"))
    }

    /// The files below the directory that differ between a commit and another one, or else what is there now: changed,
    /// added, removed, and where it is now also those that git does not know yet but does not ignore either.
    pub async fn changed(&self, from: &str, to: Option<&str>) -> Result<Vec<String>> {
        let mut args = vec!["diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z", from];
        args.extend(to);
        args.push("--");
        let mut files = self.ask(&args).await?;
        if to.is_none() {
            files += &self.ask(&["ls-files", "--others", "--exclude-standard", "-z"]).await?;
        }
        Ok(files.split('\0').filter(|f| !f.is_empty()).map(ToOwned::to_owned).collect())
    }

    /// A file of the directory, as it was in a commit.
    pub async fn text(&self, commit: &str, name: &str) -> Result<Option<String>> {
        let object = format!("{commit}:./{name}");
        if self.ask(&["cat-file", "-e", &object]).await.is_err() {
            return Ok(None);
        }
        self.ask(&["cat-file", "blob", &object]).await.map(Some)
    }
}
