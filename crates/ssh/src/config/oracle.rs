//! What `ssh -G` says: for what only OpenSSH can tell, and as the measure of what we read ourselves.

use super::{
    Files, Query,
    keyword::{self, Shape},
    resolve::Values,
    script::{At, Setting},
};
use base::{Code, Error, Result};
use std::{sync::Arc, time::Duration};

/// It may look up names, or run commands of the user.
const PATIENCE: Duration = Duration::from_secs(30);
/// Values that it prints with their tokens replaced: a percent sign that is left stands for itself.
const EXPANDED: [&str; 2] = ["userknownhostsfile", "identityagent"];

/// The values for a host, without those that OpenSSH has from itself.
///
/// # Errors
/// [`Code::Invalid`] in OpenSSH's words where it refuses the files; [`Code::NotFound`] where there is no `ssh`.
pub(crate) async fn values(files: &Files, query: &Query) -> Result<Values> {
    let own = ask(&Files::Nothing, &Query::new(&query.host)).await?;
    let said = ask(files, query).await?;
    Ok(read(&said, &own))
}

async fn ask(files: &Files, query: &Query) -> Result<String> {
    let mut command = rt::process::command("ssh");
    command.arg("-G");
    match files {
        Files::Usual => {}
        Files::Only(path) => _ = command.arg("-F").arg(path),
        Files::Nothing => _ = command.args(["-F", "none"]),
    }
    for option in query.options() {
        command.arg("-o").arg(option);
    }
    command.arg("--").arg(&query.host);
    match rt::process::run(command, PATIENCE).await {
        Ok(output) => Ok(output.stdout),
        Err(e) if e.code == Code::Internal => {
            let words = e.cause.unwrap_or_default();
            let words = words.lines().filter(|line| !line.contains("Pseudo-terminal")).collect::<Vec<_>>();
            Err(Error::new(Code::Invalid, "ssh refuses its configuration").because(words.join("; ")))
        }
        Err(e) => Err(e),
    }
}

/// A value as `ssh -o` takes it.
pub(super) fn option(setting: &Setting) -> String {
    let quoted = |word: &String| format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""));
    let words = match setting.shape {
        Shape::Rest => setting.words.join(" "),
        _ => setting.words.iter().map(quoted).collect::<Vec<_>>().join(" "),
    };
    format!("{} {words}", setting.keyword)
}

/// The values that differ from `own`, those of a host without any configuration.
fn read(said: &str, own: &str) -> Values {
    let (said, own) = (all(said), all(own));
    let mut values = said;
    values.0.retain(|keyword, found| {
        let named = ["hostname", "user", "port"].contains(keyword);
        named || own.0.get(keyword).map(|o| words(o)) != Some(words(found))
    });
    values
}

fn words(values: &[super::resolve::Value]) -> Vec<&Vec<String>> {
    values.iter().map(|value| &value.words).collect()
}

fn all(text: &str) -> Values {
    let file: Arc<str> = Arc::from("ssh -G");
    let mut values = Values::default();
    for (number, line) in text.lines().enumerate() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some((keyword, shape)) = keyword::find(&name.to_ascii_lowercase()) else { continue };
        let rest = if EXPANDED.contains(&keyword) { rest.replace('%', "%%") } else { rest.to_owned() };
        // Each variable has a line of its own, and its value may hold blanks.
        let (shape, words) = match (keyword, shape) {
            ("setenv", _) => (Shape::EachWord, vec![rest]),
            (_, Shape::Words | Shape::EachWord) => {
                (shape, rest.split(' ').map(str::to_owned).collect::<Vec<_>>())
            }
            _ => (shape, vec![rest]),
        };
        let at = At { file: Arc::clone(&file), line: number + 1 };
        values.take(&Setting { at, keyword, shape, words });
    }
    values
}
