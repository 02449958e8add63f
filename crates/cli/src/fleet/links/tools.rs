//! The programs of Hybrid Platforms Conductor, their options, and what each is here.

use Means::{Flag, Instead, NotYet, Usual, Words};

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
    /// Nothing for this value, which is what it is here; an error for others, with what to do.
    Usual(&'static str, &'static str),
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
    with("timeout", Some('t'), Flag("--timeout")),
];

const AGAIN: &[Opt] = &[with("retries-on-error", None, Flag("--retries-on-error"))];

const SECRETS: &[Opt] = &[with("secrets", Some('e'), Flag("--secrets"))];

const SHOW: &[Opt] = &[bare("show-commands", Some('s'), NotYet("see what a check says"))];

const ONE_NODE: &[Opt] =
    &[with("node", Some('n'), Flag("--node")), with("timeout", Some('t'), Flag("--timeout"))];

const ORDER: &[Opt] = &[with("sort-by", None, Flag("--sort-by"))];

const REPORTS: &[Opt] = &[
    bare("show-commands", Some('s'), NotYet("a report runs no commands on nodes")),
    with("locale", Some('c'), Usual("en", "reports are in English")),
    with("format", Some('f'), Usual("stdout", "use hostler report -o json")),
];

const DUE: &[Opt] = &[
    with("deployment-time", None, Flag("--deployment-time")),
    bare("ignore-deployed-info", None, Flag("--ignore-deployed-info")),
    bare("ignore-schedule", None, Flag("--ignore-schedule")),
];

/// Nobody is reached for a configuration: only what it says counts.
const WRITTEN_SSH: &[Opt] = &[
    with("ssh-gateway-user", Some('g'), NotYet("name the user in the SSH configuration that is used")),
    bare("ssh-no-control-master", Some('j'), Words(&[])),
    bare("ssh-no-host-key-checking", Some('q'), NotYet("write what should hold above what it prints")),
    with("ssh-user", Some('u'), Flag("--ssh-user")),
    bare("password", Some('w'), Words(&[])),
    // It calls no program: a jump is made by the one that reads it.
    with("ssh-exec", Some('x'), Words(&[])),
    with("ssh-gateways-conf", Some('y'), NotYet("write gateways into the SSH configuration that is used")),
    bare("show-commands", Some('s'), NotYet("a configuration runs no commands on nodes")),
];

const TESTS: &[Opt] = &[
    with("tests-list", Some('i'), Flag("--tests-list")),
    bare("skip-run", Some('k'), NotYet("tests look at the nodes as they are now")),
    with("report", Some('r'), Usual("stdout", "use hostler test -o json, or --junit FILE")),
    with("test", Some('t'), Flag("--test")),
    with("max-threads-connections", None, Flag("--forks")),
    with("max-threads-nodes", None, NotYet("one number counts for all: --max-threads-connections")),
    with("max-threads-platforms", None, NotYet("one number counts for all: --max-threads-connections")),
    with("retries-on-error", None, NotYet("a test looks once; what a script may try again it tries itself")),
];

/// All programs that are made.
pub const TOOLS: &[Tool] = &[
    Tool { name: "run", words: &["run"], groups: &[MAIN, RUN, NODES, SELECTION, THREADS, SSH] },
    Tool {
        name: "deploy",
        words: &["deploy"],
        groups: &[MAIN, NODES, SELECTION, SHOW, THREADS, SSH, DEPLOYER, AGAIN, SECRETS],
    },
    Tool { name: "check-node", words: &["check"], groups: &[MAIN, ONE_NODE, SHOW, SSH, AGAIN, SECRETS] },
    Tool {
        name: "last_deploys",
        words: &["last-deploys"],
        groups: &[MAIN, ORDER, NODES, SELECTION, SHOW, THREADS, SSH],
    },
    Tool {
        name: "nodes_to_deploy",
        words: &["nodes-to-deploy", "-o", "name"],
        groups: &[MAIN, DUE, NODES, SELECTION, SHOW, THREADS, SSH],
    },
    Tool { name: "ssh_config", words: &["ssh-config"], groups: &[MAIN, NODES, WRITTEN_SSH] },
    Tool { name: "test", words: &["test"], groups: &[MAIN, NODES, SELECTION, SHOW, TESTS, SSH, SECRETS] },
    Tool { name: "report", words: &["report"], groups: &[MAIN, NODES, SELECTION, REPORTS] },
];
