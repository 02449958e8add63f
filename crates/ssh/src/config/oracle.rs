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
    let own = all(&ask(&Files::Nothing, &Query::new(&query.host)).await?);
    let mut values = all(&ask(files, query).await?);
    if let Some(address) = &query.address {
        let by_address = Query { host: address.clone(), address: None, given: query.given.clone() };
        add(&mut values, all(&ask(files, &by_address).await?), &own);
    }
    values.0.retain(|keyword, found| {
        let named = ["hostname", "user", "port"].contains(keyword);
        named || !is_own(&own, keyword, found)
    });
    Ok(values)
}

/// What a second reading says of what the first did not.
fn add(values: &mut Values, second: Values, own: &Values) {
    for (keyword, more) in second.0 {
        let Some((_, shape)) = keyword::find(keyword) else { continue };
        match values.0.get_mut(keyword) {
            Some(found) if !is_own(own, keyword, found) => {
                if matches!(shape, Shape::Each | Shape::EachWord) && !is_own(own, keyword, &more) {
                    let new = more.into_iter().filter(|m| !found.iter().any(|f| f.words == m.words));
                    found.extend(new.collect::<Vec<_>>());
                }
            }
            _ => _ = values.0.insert(keyword, more),
        }
    }
}

/// Whether OpenSSH says this without any configuration.
fn is_own(own: &Values, keyword: &str, found: &[super::resolve::Value]) -> bool {
    own.0.get(keyword).map(|o| words(o)) == Some(words(found))
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
