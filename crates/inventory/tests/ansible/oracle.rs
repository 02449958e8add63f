//! Ansible itself, as the judge of what an inventory means.

use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

/// Longer than any question takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A running Ansible that answers questions.
pub struct Oracle {
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _home: tempfile::TempDir,
    _child: Child,
}

impl Oracle {
    /// Starts it; `None` where this machine has no Ansible, which it says for the test of that name.
    #[allow(clippy::disallowed_macros)] // where skipped tests are read from
    pub async fn start(test: &str) -> Option<Self> {
        let Some(python) = python().await else {
            println!("SKIPPED {test}: there is no ansible-core on this machine");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("ansible.cfg");
        std::fs::write(&config, "").unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible/oracle.py");
        let mut command = rt::process::command(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("ANSIBLE_CONFIG", config).env("ANSIBLE_HOME", home.path()).env("HOME", home.path());
        command.env("ANSIBLE_LOCAL_TEMP", home.path().join("tmp")).env("LC_ALL", "C.UTF-8");
        // As we do: what cannot be read is an error.
        command.env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1");
        command.env("ANSIBLE_HOST_PATTERN_MISMATCH", "ignore").env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command.spawn().unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Oracle { questions, answers, _home: home, _child: child })
    }

    /// Asks, with `directory` as the current one.
    pub async fn ask(&mut self, directory: &Path, mut question: Value) -> Result<Value, String> {
        question["directory"] = json!(directory);
        let line = format!("{question}\n");
        self.questions.write_all(line.as_bytes()).await.unwrap();
        let answer = rt::clock::timeout(LIMIT, "an answer of Ansible", self.answers.next_line()).await;
        let answer = answer.unwrap().unwrap().expect("Ansible is still there");
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        match answer.get_mut("answer") {
            Some(value) => Ok(value.take()),
            None => Err(answer["failed"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

/// The Python that has Ansible: the one that its programs name in their first line.
async fn python() -> Option<String> {
    let mut which = rt::process::command("sh");
    which.args(["-c", "head -n 1 \"$(command -v ansible-inventory)\""]).stdout(Stdio::piped());
    let output = which.output().await.ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    line.trim().strip_prefix("#!").map(|python| python.trim().to_owned())
}
