//! Pages, their steps, and one shell that takes them.

#![allow(clippy::expect_used)] // part of a test

use e2e::{Cli, Cluster};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Separates what the steps print from what we print: no command prints it.
const MARK: char = '\u{1e}';

/// One command of a page with what it prints, or one script.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its line on the page, from 1.
    pub line: usize,
    /// What the shell reads.
    pub command: String,
    /// What it must print; nothing here: anything.
    pub expected: Vec<String>,
    /// Whether each of its parts must end with 0.
    pub script: bool,
}

/// Where the pages are.
pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// All pages with their texts, by name.
pub fn pages() -> Vec<(String, String)> {
    let entries = fs::read_dir(docs()).expect("there is documentation");
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut pages: Vec<_> = names
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "md"))
        .map(|name| (name.clone(), fs::read_to_string(docs().join(name)).expect("a page")))
        .collect();
    pages.sort();
    pages
}

/// The steps of a page. Where it says `<!-- tables are run -->`, the commands in the last column of its tables are steps too.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let tables = text.contains("<!-- tables are run -->");
    let mut lines = text.lines().enumerate();
    while let Some((i, line)) = lines.next() {
        if tables && let Some(command) = mapped(line) {
            let command = command.to_owned();
            steps.push(Step { line: i + 1, command, expected: Vec::new(), script: false });
            continue;
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| !l.starts_with("```")).collect();
        if language == "sh" {
            steps.extend(steps_of(i + 2, &block));
        }
    }
    steps
}

/// The command of ours that a row of a table has in its last column, alone.
pub fn mapped(row: &str) -> Option<&str> {
    let (_, last) = row.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | ")?;
    let command = last.strip_prefix('`')?.strip_suffix('`')?;
    (command.starts_with("hostler ") && !command.contains('`')).then_some(command)
}

/// The steps of one block, whose first line is `first`.
fn steps_of(first: usize, block: &[&str]) -> Vec<Step> {
    if !block.iter().any(|l| l.starts_with("$ ")) {
        return vec![Step { line: first, command: block.join("\n"), expected: Vec::new(), script: true }];
    }
    let mut steps: Vec<Step> = Vec::new();
    for (i, line) in block.iter().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step { line: first + i, command, expected: Vec::new(), script: false });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("line {}: output before a command", first + i));
        let continued = step.command.ends_with('\\').then_some(*line).or_else(|| line.strip_prefix("> "));
        match continued {
            Some(more) => step.command = format!("{}\n{more}", step.command),
            None => step.expected.push((*line).to_owned()),
        }
    }
    steps
}

/// Runs all steps of a page.
///
/// # Panics
/// At the first step that does not do what the page says.
pub async fn execute(page: &str, cluster: &Cluster) {
    let text = fs::read_to_string(docs().join(page)).expect("a page");
    let steps = steps(&text);
    let script = shell_script(&steps);
    let mut ran = Cli::finish(shell(cluster, &script), b"").await;
    // Where the pages' cluster would listen.
    let address = cluster.address();
    let ip = address.split(':').next().expect("an address");
    ran.stdout = ran.stdout.replace(ip, "127.0.0.1");
    for (i, step) in steps.iter().enumerate() {
        let place = format!("docs/{page}:{}: {}", step.line, step.command);
        let (code, printed) = outcome(&ran.stdout, i).unwrap_or_else(|| {
            panic!("{place}\nthe shell ended here: {}\n{}", ran.stderr, tail(&ran.stdout))
        });
        assert_eq!(code, "0", "{place}\nended with {code} and printed:\n{printed}");
        let holds = step.expected.is_empty() || matches(&step.expected, printed);
        assert!(holds, "{place}\nexpected:\n{}\nprinted:\n{printed}", step.expected.join("\n"));
    }
}

/// A shell as a user of the cluster has it, in a directory of its own, that reads a script.
pub fn shell(cluster: &Cluster, script: &str) -> tokio::process::Command {
    let (work, file) = (cluster.dir().join("work"), cluster.dir().join("script.sh"));
    fs::create_dir_all(&work).expect("a directory to work in");
    fs::write(&file, script).expect("the script is written");
    let mut shell = rt::process::command("bash");
    cluster.cli().dress(&mut shell);
    shell.arg(&file).current_dir(&work).env("PATH", path_with_hostler(cluster.dir()));
    shell
}

/// All steps, with marks around what each prints. What is left running in the background ends with the shell.
fn shell_script(steps: &[Step]) -> String {
    let mut script = String::from("exec </dev/null\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n");
    for (i, step) in steps.iter().enumerate() {
        let (before, after) = if step.script { ("set -e\n", "set +e\n") } else { ("", "") };
        let command = &step.command;
        let _ = write!(
            script,
            "printf '{MARK}begin {i}\\n'\n{before}{{\n{command}\n}} 2>&1\ncode=$?\n{after}printf '{MARK}end {i} %d\\n' $code\n"
        );
    }
    script
}

/// The exit code of a step and what it printed.
fn outcome(output: &str, step: usize) -> Option<(&str, &str)> {
    let (_, rest) = output.split_once(&format!("{MARK}begin {step}\n"))?;
    let (printed, rest) = rest.split_once(&format!("{MARK}end {step} "))?;
    Some((rest.lines().next()?, printed))
}

fn tail(output: &str) -> &str {
    output.rsplit_once(MARK).map_or(output, |(_, rest)| rest)
}

/// The search path, with a directory before it that has the program under the name that the pages use.
fn path_with_hostler(dir: &Path) -> String {
    let bin = dir.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).expect("a directory of programs");
        std::os::unix::fs::symlink(e2e::binary(), bin.join("hostler")).expect("a link to the program");
    }
    #[allow(clippy::disallowed_methods)] // the shell needs the programs of this host
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", bin.display())
}

/// Whether output is as expected: `...` is any text, alone on its line any lines; blanks at the ends do not count and
/// runs of them count as one.
pub fn matches(expected: &[String], printed: &str) -> bool {
    let expected: Vec<String> = expected.iter().map(|l| words(l)).filter(|l| !l.is_empty()).collect();
    let printed: Vec<String> = printed.lines().map(words).filter(|l| !l.is_empty()).collect();
    wild(&expected, &printed, &|pattern| pattern == "...", &|pattern, line| {
        let (pattern, line): (Vec<&str>, Vec<char>) = (pieces(pattern), line.chars().collect());
        wild_text(&pattern, &line)
    })
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `a...b` as `a`, `...`, `b`.
fn pieces(pattern: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> = pattern.split("...").flat_map(|text| [text, "..."]).collect();
    pieces.pop();
    pieces
}

fn wild_text(pattern: &[&str], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ["...", rest @ ..] => (0..=text.len()).any(|n| wild_text(rest, &text[n..])),
        [piece, rest @ ..] => {
            let piece: Vec<char> = piece.chars().collect();
            text.starts_with(&piece) && wild_text(rest, &text[piece.len()..])
        }
    }
}

/// Matches a sequence where some patterns stand for any number of items.
fn wild(
    pattern: &[String],
    items: &[String],
    any: &impl Fn(&str) -> bool,
    one: &impl Fn(&str, &str) -> bool,
) -> bool {
    match (pattern.split_first(), items.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if any(first) => {
            (0..=items.len()).any(|n| wild(rest, &items[n..], any, one))
        }
        (Some((first, rest)), Some((item, more))) => one(first, item) && wild(rest, more, any, one),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Every example of every help text, in the order of the commands.
pub async fn help_examples(cli: &Cli) -> Vec<String> {
    let mut examples = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = cli.run(&args).await.ok();
        let below = section(&help, "Commands:").filter_map(|l| l.split_whitespace().next());
        let mut below: Vec<_> = below.filter(|name| *name != "help").map(ToOwned::to_owned).collect();
        below.reverse();
        open.extend(below.into_iter().map(|name| path.iter().cloned().chain([name]).collect()));
        // What stands in brackets after some blanks is a remark.
        let lines = section(&help, "Example").filter_map(|l| l.split("   (").next());
        examples.extend(lines.map(|l| l.trim().to_owned()));
    }
    examples
}

/// The indented lines below a title; those indented further go on with the one before.
fn section<'a>(help: &'a str, title: &'a str) -> impl Iterator<Item = &'a str> {
    let after = help.lines().skip_while(move |l| !l.starts_with(title)).skip(1);
    after.take_while(|l| l.starts_with("  ")).filter(|l| !l.starts_with("   "))
}
