//! One shell that takes commands one after the other, as a person types them: variables, functions and the working
//! directory stay from one to the next.

use crate::Ran;
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// How long one entry may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running shell. Dropping it ends it.
#[derive(Debug)]
pub struct Shell {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Where its files are for us, and for it.
    files: (PathBuf, PathBuf),
}

impl Shell {
    /// Takes over a command that starts `bash`. It leaves files in a directory, which has one name here and may have
    /// another one over there.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(mut bash: Command, here: PathBuf, there: PathBuf) -> Self {
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = bash.spawn().expect("the shell starts");
        let stdin = child.stdin.take().expect("its input");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        Shell { _child: child, stdin, stdout, files: (here, there) }
    }

    /// Enters some lines and waits for their end. Programs in them find nothing to read.
    ///
    /// # Panics
    /// When they do not end within two minutes, or end the shell.
    pub async fn enter(&mut self, lines: &str) -> Ran {
        let (here, there) = &self.files;
        std::fs::write(here.join("entry"), lines).expect("the entry is written");
        let dir = there.display();
        let entry =
            format!("source {dir}/entry </dev/null >{dir}/stdout 2>{dir}/stderr; printf '%s\\n' \"$?\"\n");
        self.stdin.write_all(entry.as_bytes()).await.expect("the shell listens");
        let mut code = String::new();
        let answered = tokio::time::timeout(PATIENCE, self.stdout.read_line(&mut code)).await;
        let printed = |file: &str| {
            String::from_utf8_lossy(&std::fs::read(here.join(file)).unwrap_or_default()).into_owned()
        };
        let (stdout, stderr) = (printed("stdout"), printed("stderr"));
        assert!(matches!(answered, Ok(Ok(1..))), "no end of:\n{lines}\nstdout: {stdout}\nstderr: {stderr}");
        Ran { code: code.trim().parse().expect("an exit code"), stdout, stderr }
    }
}
