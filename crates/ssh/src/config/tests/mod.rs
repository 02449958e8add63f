//! What we read, against what `ssh -G` says.

mod corpus;
mod generated;

use super::{Config, Files, HostConfig, Query, Surroundings, resolve::Stuck};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// Who we really are: OpenSSH looks it up by itself.
async fn surroundings() -> Surroundings {
    let say = async |program: &str, args: &[&str]| {
        let mut command = rt::process::command(program);
        command.args(args);
        rt::process::run(command, PATIENCE).await.unwrap().stdout.trim().to_owned()
    };
    let user = say("id", &["-un"]).await;
    let passwd = say("getent", &["passwd", &user]).await;
    Surroundings {
        home: PathBuf::from(passwd.split(':').nth(5).unwrap()),
        uid: say("id", &["-u"]).await.parse().unwrap(),
        host: say("uname", &["-n"]).await,
        user,
        agent: None,
        environment: BTreeMap::new(),
    }
}

/// A runtime for tests that are not asynchronous by themselves.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Files in a directory of their own; the first is the configuration.
struct Case {
    dir: TempDir,
    me: Surroundings,
}

impl Case {
    async fn new(files: &[(&str, &str)]) -> Self {
        let case = Case { dir: tempfile::tempdir().unwrap(), me: surroundings().await };
        for (name, text) in files {
            let path = case.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Relative paths of `Include` start in the home directory, which is not ours to write to.
            std::fs::write(path, text.replace("$DIR", case.dir.path().to_str().unwrap())).unwrap();
        }
        case
    }

    fn load(&self) -> base::Result<Config> {
        Config::load(&Files::Only(self.dir.path().join("config")), &self.me)
    }

    /// Both answers for a host must be the same.
    async fn agrees(&self, host: &str, given: &[(&str, &str)]) {
        let mut query = Query::new(host);
        for (keyword, value) in given {
            query.set(keyword, value).unwrap();
        }
        self.agrees_on(&query).await;
    }

    /// We say the same as OpenSSH, and say it.
    async fn agrees_on(&self, query: &Query) -> HostConfig {
        let config = self.load().unwrap();
        let here = match config.resolve_here(query) {
            Ok(here) => here,
            Err(Stuck::Wrong(e) | Stuck::Foreign(e)) => panic!("{query:?}: {e}"),
        };
        let there = config.ask_openssh(query).await.unwrap();
        let text = std::fs::read_to_string(self.dir.path().join("config")).unwrap();
        assert_eq!(comparable(here.clone()), comparable(there), "for {query:?} of\n{text}");
        here
    }

    /// Neither takes the files.
    async fn is_refused(&self, host: &str) -> base::Error {
        let query = Query::new(host);
        let refused = match self.load() {
            Err(e) => e,
            Ok(config) => match config.resolve_here(&query) {
                Err(Stuck::Wrong(e) | Stuck::Foreign(e)) => e,
                Ok(here) => panic!("taken as {here:?}"),
            },
        };
        let path = self.dir.path().join("config");
        let there = super::oracle::values(&Files::Only(path), &query).await;
        assert!(there.is_err(), "ssh -G takes it, we say {refused}");
        refused
    }
}

/// Debian's OpenSSH sends signs of life in batch mode, those of others do not.
fn comparable(mut config: HostConfig) -> HostConfig {
    if config.batch_mode && config.server_alive_interval == Some(Duration::from_mins(5)) {
        config.server_alive_interval = None;
    }
    config
}
