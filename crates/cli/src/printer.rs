//! The one home of output: data on stdout, all else on stderr.

use crate::{Failure, args::Format};
use api::Problem;
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where output goes, and how.
#[derive(Clone, Debug)]
pub struct Printer {
    /// How data is written.
    pub format: Format,
    /// Only data and failures.
    pub quiet: bool,
    color: bool,
    /// Takes all output in tests, instead of this process's stdout and stderr.
    memory: Option<Memory>,
}

/// Output kept for a test: data, and all else.
type Memory = Arc<Mutex<(Vec<u8>, Vec<u8>)>>;

impl Printer {
    /// A printer for this process.
    pub fn new(format: Format, quiet: bool, color: Color, no_color: bool) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !no_color && io::stderr().is_terminal(),
        };
        Printer { format, quiet, color, memory: None }
    }

    /// A printer whose output can be read again.
    #[cfg(test)]
    pub fn in_memory(format: Format, quiet: bool) -> Self {
        Printer { format, quiet, color: false, memory: Some(Arc::default()) }
    }

    /// What a printer in memory has got: data, and all else.
    #[cfg(test)]
    pub fn taken(&self) -> (String, String) {
        let memory = self.memory.clone().unwrap_or_default();
        let (out, err) = &*memory.lock().unwrap();
        (String::from_utf8(out.clone()).unwrap(), String::from_utf8(err.clone()).unwrap())
    }

    /// Whether text may be coloured.
    pub fn colors(&self) -> bool {
        self.color
    }

    /// Whether somebody looks at stdout.
    pub fn on_terminal(&self) -> bool {
        self.memory.is_none() && io::stdout().is_terminal()
    }

    /// Whether progress may be drawn.
    pub fn may_draw(&self) -> bool {
        !self.quiet && self.memory.is_none() && io::stderr().is_terminal()
    }

    /// A line of data.
    pub fn line(&self, text: &str) {
        self.data(format!("{text}\n").as_bytes());
    }

    /// Data as it is. A reader that has gone away (`| head`) ends the process quietly.
    pub fn data(&self, bytes: &[u8]) {
        if let Some(memory) = &self.memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner).0.extend_from_slice(bytes);
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
            std::process::exit(i32::from(e.kind() != io::ErrorKind::BrokenPipe));
        }
    }

    /// Bytes of a command's standard error.
    pub fn raw_stderr(&self, bytes: &[u8]) {
        if let Some(memory) = &self.memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner).1.extend_from_slice(bytes);
            return;
        }
        let _ = io::stderr().lock().write_all(bytes);
    }

    /// What happened, for people.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// What people should know in any case.
    pub fn warn(&self, text: &str) {
        self.err(&format!("{} {text}", self.paint("33", "warning:")));
    }

    /// Why a command failed: `error:`, `cause:`, `hint:`, `request id:`; with `-o json` the problem as the last line.
    pub fn failure(&self, failure: &Failure) {
        let (error, id) = (&failure.error.error, &failure.error.request_id);
        if self.format == Format::Json {
            let problem = Reported {
                problem: Problem::new(error.clone(), id.as_ref()),
                exit_code: failure.exit_code(),
            };
            self.err(&serde_json::to_string(&problem).unwrap_or_default());
            return;
        }
        let place = error.field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default();
        self.err(&format!("{} {place}{}", self.paint("1;31", "error:"), clean(&error.message)));
        let more = |label: &str, text: Option<&str>| {
            if let Some(text) = text.filter(|t| !t.is_empty()) {
                self.err(&format!("{} {}", self.paint("1", label), clean(text)));
            }
        };
        more("cause:", error.cause.as_deref());
        more("hint:", error.hint.as_deref());
        more("request id:", Some(id.as_ref()));
    }

    /// A value as JSON or YAML, where that is asked for.
    pub fn value(&self, value: &impl Serialize) -> crate::Result<()> {
        let wrong = |e: &dyn std::fmt::Display| base::Error::internal("cannot write the answer").because(e);
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(value).map_err(|e| wrong(&e))?,
            _ => serde_json::to_string_pretty(value).map_err(|e| wrong(&e))?,
        };
        self.line(text.trim_end());
        Ok(())
    }

    /// A value as one line of JSON.
    pub fn json_line(&self, value: &impl Serialize) {
        self.line(&serde_json::to_string(value).unwrap_or_default());
    }

    /// A question before something is destroyed. `false` is no.
    pub fn ask(&self, question: &str) -> bool {
        self.raw_stderr(format!("{question} [y/N] ").as_bytes());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Text in colour, where colours are on.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn err(&self, text: &str) {
        self.raw_stderr(format!("{text}\n").as_bytes());
    }
}

/// A problem with the exit code that it leads to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    #[serde(flatten)]
    problem: Problem,
    exit_code: u8,
}

/// Text of others without what would move the cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}
