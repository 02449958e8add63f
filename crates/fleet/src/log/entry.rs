//! One deployment as it is written into `/var/log/deployments`: the format of Hybrid Platforms Conductor, field by field.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::fmt::Write as _;

const STDOUT: &str = "===== STDOUT =====";
const STDERR: &str = "===== STDERR =====";
const DATE: &str = "%Y-%m-%d %H:%M:%S";

/// A git repository that services came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its name: that of the platform.
    pub name: String,
    /// The commit that was checked out.
    pub commit: Option<String>,
    /// The first line of its message.
    pub message: Option<String>,
    /// The files that differed from that commit.
    pub differing: Vec<String>,
}

/// A deployment of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its services came from.
    pub repositories: Vec<Repository>,
    /// When it began.
    pub date: Timestamp,
    /// The user on the node.
    pub user: String,
    /// Whether much was logged.
    pub debug: bool,
    /// What was deployed, in this order.
    pub services: Vec<String>,
    /// `0`, or a word for what went wrong.
    pub exit_status: String,
    /// What was said.
    pub stdout: String,
    /// What was said on standard error.
    pub stderr: String,
}

impl Entry {
    /// The name of its file, unless there is one already: `NODE_DATE_TIME_USER`, in UTC.
    pub fn file_name(&self, node: &str) -> String {
        let plain = |text: &str| text.replace(['/', '\0', '\n'], "-");
        format!("{}_{}_{}", plain(node), self.date.strftime("%Y-%m-%d_%H%M%S"), plain(&self.user))
    }

    /// Its date, to the second, in UTC.
    pub fn date_text(&self) -> String {
        self.date.strftime(DATE).to_string()
    }

    /// Whether all went well.
    pub fn succeeded(&self) -> bool {
        self.exit_status == "0"
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            let _ = writeln!(text, "{name}: {}", value.replace('\n', " "));
        };
        for (i, repository) in self.repositories.iter().enumerate() {
            field(&format!("repo_name_{i}"), &repository.name);
            if let Some(commit) = &repository.commit {
                field(&format!("commit_id_{i}"), commit);
                field(&format!("commit_message_{i}"), repository.message.as_deref().unwrap_or_default());
                field(&format!("diff_files_{i}"), &repository.differing.join(", "));
            }
        }
        field("date", &self.date_text());
        field("user", &self.user);
        field("debug", if self.debug { "Yes" } else { "No" });
        field("services", &self.services.join(", "));
        field("exit_status", &self.exit_status);
        let _ = write!(text, "{STDOUT}\n{}\n{STDERR}\n{}\n", self.stdout, self.stderr);
        text
    }

    /// Reads what [`Self::text`] or that system has written, whole or up to the outputs. `None` where a field is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_once(STDOUT).unwrap_or((text, ""));
        let (stdout, stderr) = rest.split_once(STDERR).unwrap_or((rest, ""));
        let fields: Vec<(&str, &str)> = head.lines().filter_map(|l| l.split_once(':')).collect();
        let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.trim());
        let list = |value: &str| -> Vec<String> {
            value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned).collect()
        };
        let repositories = (0..).map_while(|i| {
            let of = |field: &str| get(&format!("{field}_{i}"));
            Some(Repository {
                name: of("repo_name")?.to_owned(),
                commit: of("commit_id").map(str::to_owned),
                message: of("commit_message").map(str::to_owned),
                differing: of("diff_files").map(list).unwrap_or_default(),
            })
        });
        let output = |text: &str| text.trim_matches('\n').to_owned();
        Some(Entry {
            repositories: repositories.collect(),
            date: date(get("date")?)?,
            user: get("user").unwrap_or_default().to_owned(),
            debug: get("debug") == Some("Yes"),
            services: get("services").map(list).unwrap_or_default(),
            exit_status: get("exit_status")?.to_owned(),
            stdout: output(stdout),
            stderr: output(stderr),
        })
    }
}

/// A date without a zone is in UTC.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let civil = DateTime::strptime(DATE, text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            repositories: vec![
                Repository {
                    name: "conf".into(),
                    commit: Some("c0ffee".into()),
                    message: Some("first: a colon".into()),
                    differing: vec!["a".into(), "b/c".into()],
                },
                Repository { name: "plain".into(), ..Repository::default() },
            ],
            date: "2026-11-20T10:21:54Z".parse().unwrap(),
            user: "root".into(),
            debug: false,
            services: vec!["web".into(), "db".into()],
            exit_status: "0".into(),
            stdout: "one\ntwo".into(),
            stderr: String::new(),
        }
    }

    #[test]
    fn fields_are_those_of_that_system() {
        insta::assert_snapshot!(entry().text());
        assert_eq!(entry().file_name("web1"), "web1_2026-11-20_102154_root");
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Entry::parse(&entry().text()), Some(entry()));
        let head = entry().text().split(STDOUT).next().unwrap().to_owned();
        assert_eq!(Entry::parse(&head).unwrap().services, ["web", "db"]);
        assert_eq!(Entry::parse("ls: cannot access"), None);
    }
}
