//! Whether a command printed what the chapter says, as far as that can be the same.

use super::chapter::Entry;
use e2e::Ran;

/// What an entry did, compared with what the chapter says.
pub fn holds(entry: &Entry, ran: &Ran) -> Result<(), String> {
    let has = |word: &str| entry.lines.contains(word);
    let expected = said(&entry.printed);
    // Only grep may fail: it finds nothing where there is nothing left to do.
    let code = if has("xargs grep") && expected.is_empty() { 123 } else { 0 };
    if ran.code != code {
        return Err(format!("it ends with {}, not with {code}", ran.code));
    }
    if has("ssh-add") {
        return same(&expected, &said(ran.stderr.lines()));
    }
    if has("docker") || has("ssh-keygen") {
        return Ok(());
    }
    let mut printed = said(ran.stdout.lines());
    if has("ls -la") {
        return same(&sizes(&expected), &sizes(&printed));
    }
    if has("last_deploys") || has("last-deploys") {
        return same(&rows(&expected), &rows(&printed));
    }
    if expected.is_empty() {
        printed.retain(|line| !is_frame(line)); // where the chapter leaves out what is printed
    }
    same(&expected, &printed)
}

fn same<T: PartialEq>(expected: &T, printed: &T) -> Result<(), String> {
    if expected == printed { Ok(()) } else { Err("it prints something else".into()) }
}

/// All lines but empty ones, bars, and the frames around what is no work of its own here: nothing is packaged, and logs
/// are saved within the deployment. That system writes most frames twice, to the output and to the error output.
fn said(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let elsewhere =
        ["===== Packaging deployment ====", "===== Saving deployment logs for ", "Executing actions"];
    let lines = lines.into_iter().map(|l| l.as_ref().trim_end().to_owned());
    let mut said: Vec<String> = lines
        .filter(|l| !l.is_empty() && !elsewhere.iter().any(|start| l.trim_start().starts_with(start)))
        .collect();
    said.dedup_by(|a, b| a == b && is_frame(a));
    said
}

fn is_frame(line: &str) -> bool {
    line.starts_with("=====")
}

/// Names and sizes of `ls -la`.
fn sizes(lines: &[String]) -> Vec<(String, String)> {
    let files = lines.iter().filter(|l| l.starts_with("-rw"));
    let words = files.map(|l| l.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
    words.filter_map(|w| Some((w.get(4)?.clone(), w.get(8)?.clone()))).collect()
}

/// The rows of the table of deployments: node, whether there is a date, who, what, whether something is wrong. A node that
/// was never deployed has a line that says so; that system prints several, with the words of `cat`.
fn rows(lines: &[String]) -> Vec<(String, bool, String, String, bool)> {
    let tables = lines.iter().filter(|l| l.starts_with('|'));
    let cells = tables.map(|l| l.split('|').skip(1).map(|c| c.trim().to_owned()).collect::<Vec<_>>());
    cells
        .filter(|c| c.len() >= 5 && !c[0].is_empty())
        .map(|c| (c[0].clone(), is_date(&c[1]), c[2].clone(), c[3].clone(), !c[4].is_empty()))
        .collect()
}

/// `2021-04-28 17:34:17`
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00"
}
