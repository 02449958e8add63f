//! The programs of Hybrid Platforms Conductor, their options, and what each is here.

use Means::{Flag, Instead, NotYet, Words};

/// A program.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    /// Our command.
    pub words: &'static [&'static str],
    groups: &'static [&'static [Opt]],
}

/// One of its options.
#[derive(Debug)]
pub struct Opt {
    pub long: &'static str,
    pub short: Option<char>,
    /// Whether a value follows.
    pub value: bool,
    pub means: Means,
}

/// What an option is here.
#[derive(Debug)]
pub enum Means {
    /// This flag, with the same value.
    Flag(&'static str),
    /// These words, whatever the value.
    Words(&'static [&'static str]),
    /// Another command.
    Instead(&'static [&'static str]),
    /// An error, with what to do.
    NotYet(&'static str),
}

impl Tool {
    /// All its options, in the order in which that system registers them.
    pub fn options(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.groups.iter().copied().flatten()
    }
}

const fn with(long: &'static str, short: Option<char>, means: Means) -> Opt {
    Opt { long, short, value: true, means }
}

const fn bare(long: &'static str, short: Option<char>, means: Means) -> Opt {
    Opt { long, short, value: false, means }
}

const MAIN: &[Opt] =
    &[bare("debug", Some('d'), Words(&["--log-filter", "debug"])), bare("help", Some('h'), Flag("--help"))];

const NODES: &[Opt] = &[bare("show-nodes", Some('o'), Instead(&["node", "list"]))];

const SELECTION: &[Opt] = &[
    bare("all-nodes", Some('a'), Flag("--all")),
    with("nodes-platform", Some('b'), Flag("--platform")),
    with("nodes-list", Some('l'), Flag("--nodes-list")),
    with("node", Some('n'), Flag("--node")),
    with("nodes-service", Some('r'), Flag("--node-service")),
    with("nodes-git-impact", None, Flag("--git-impact")),
];

const REPORTS: &[Opt] = &[
    bare("show-commands", Some('s'), NotYet("a report runs no commands on nodes")),
    with("locale", Some('c'), NotYet("reports are in English")),
    with("format", Some('f'), NotYet("use hostler report -o json")),
];

/// All programs that are made.
pub const TOOLS: &[Tool] =
    &[Tool { name: "report", words: &["report"], groups: &[MAIN, NODES, SELECTION, REPORTS] }];
