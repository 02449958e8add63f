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

const SSH: &[Opt] = &[
    with(
        "ssh-gateway-user",
        Some('g'),
        NotYet("name the user in an SSH configuration: see --ssh-config of hostler run"),
    ),
    // A node has one connection in a run, whatever is asked of it.
    bare("ssh-no-control-master", Some('j'), Words(&[])),
    bare("ssh-no-host-key-checking", Some('q'), Words(&["--host-keys", "first-use"])),
    with("ssh-user", Some('u'), Flag("--ssh-user")),
    bare("password", Some('w'), Words(&["--ask-password"])),
    with(
        "ssh-gateways-conf",
        Some('y'),
        NotYet("write gateways into an SSH configuration: see --ssh-config of hostler run"),
    ),
];

const THREADS: &[Opt] = &[with("max-threads", Some('m'), Flag("--forks"))];

const RUN: &[Opt] = &[
    with("command", Some('c'), Flag("--command")),
    with("commands-file", Some('f'), Flag("--commands-file")),
    bare("interactive", Some('i'), Flag("--interactive")),
    bare("parallel", Some('p'), Flag("--parallel")),
    with("timeout", Some('t'), Flag("--timeout")),
    bare("show-commands", Some('s'), Flag("--show-commands")),
];

const DEPLOYER: &[Opt] = &[
    bare("parallel", Some('p'), Flag("--parallel")),
    bare("why-run", Some('W'), Flag("--why-run")),
    with("timeout", Some('t'), NotYet("limits of time are said in service.yaml")),
    with("retries-on-error", None, NotYet("say it in service.yaml: retry")),
];

const SECRETS: &[Opt] = &[with("secrets", Some('e'), Flag("--secrets"))];

const SHOW: &[Opt] = &[bare("show-commands", Some('s'), NotYet("see what a check says"))];

const ONE_NODE: &[Opt] = &[with("node", Some('n'), Flag("--node"))];

const ORDER: &[Opt] = &[with("sort-by", None, Flag("--sort-by"))];

const REPORTS: &[Opt] = &[
    bare("show-commands", Some('s'), NotYet("a report runs no commands on nodes")),
    with("locale", Some('c'), NotYet("reports are in English")),
    with("format", Some('f'), NotYet("use hostler report -o json")),
];

/// All programs that are made.
pub const TOOLS: &[Tool] = &[
    Tool { name: "run", words: &["run"], groups: &[MAIN, RUN, NODES, SELECTION, THREADS, SSH] },
    Tool {
        name: "deploy",
        words: &["deploy"],
        groups: &[MAIN, NODES, SELECTION, SHOW, THREADS, SSH, DEPLOYER, SECRETS],
    },
    Tool { name: "check-node", words: &["check"], groups: &[MAIN, ONE_NODE, SHOW, SSH, SECRETS] },
    Tool {
        name: "last_deploys",
        words: &["last-deploys"],
        groups: &[MAIN, ORDER, NODES, SELECTION, SHOW, THREADS, SSH],
    },
    Tool { name: "report", words: &["report"], groups: &[MAIN, NODES, SELECTION, REPORTS] },
];
