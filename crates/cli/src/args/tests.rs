use super::*;

fn parse_line(line: &str) -> Result<Cli, clap::Error> {
    parse(line.split(' ').map(OsString::from))
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn every_flag_has_a_variable() {
    fn walk(command: &clap::Command, missing: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|a| a.get_long().is_some()) {
            if arg.get_env().is_none() && !matches!(arg.get_id().as_str(), "help" | "version") {
                missing.push(format!("{} --{}", command.get_name(), arg.get_long().unwrap_or_default()));
            }
        }
        command.get_subcommands().for_each(|sub| walk(sub, missing));
    }
    let mut missing = Vec::new();
    walk(&command(), &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}

/// clap takes a flag of a command for the global one of the same name, and finds the wrong type in it.
#[test]
fn no_flag_hides_a_global_one() {
    fn walk(command: &clap::Command, global: &[(String, Option<char>)], found: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|a| !a.is_global_set()) {
            let short = arg.get_short();
            if global.iter().any(|(id, s)| id == arg.get_id().as_str() || (s.is_some() && *s == short)) {
                found.push(format!("{} {}", command.get_name(), arg.get_id()));
            }
        }
        command.get_subcommands().for_each(|sub| walk(sub, global, found));
    }
    let root = command();
    let global: Vec<_> = root.get_arguments().map(|a| (a.get_id().to_string(), a.get_short())).collect();
    let mut found = Vec::new();
    root.get_subcommands().for_each(|sub| walk(sub, &global, &mut found));
    // Where something runs on nodes, -p is --parallel; these verbs have --project of the same type without a short name.
    found.retain(|name| !name.ends_with(" parallel") && !name.ends_with(" project"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn nouns_are_singular_or_plural() {
    for line in [
        "hostler vms list",
        "hostler vm ls",
        "hostler workers list -w",
        "hostler sa list",
        "hostler events list",
    ] {
        assert!(parse_line(line).is_ok(), "{line}");
    }
}

/// As Hybrid Platforms Conductor takes them.
#[test]
fn selectors_have_the_spellings_of_others() {
    let choice = |line: &str| {
        let Command::Fleet(fleet::Verb::Report(report)) = parse_line(line).unwrap().command else {
            panic!("not report")
        };
        report.selection.selection()
    };
    for (line, same) in [
        ("--all", "--all-nodes"),
        ("-a", "--all_nodes"),
        ("--node web1 --node /web[2-8]/", "-n web1 -n /web[2-8]/"),
        ("--node-service web", "--nodes-service web"),
        ("-r web", "--nodes_service web"),
        ("--nodes-list front", "-l front"),
        ("--platform lab", "--nodes-platform=lab"),
        ("--where planet=Mars,!old", "--label planet=Mars,!old"),
    ] {
        let chosen = choice(&format!("hostler report {line}"));
        assert!(!chosen.include.is_empty(), "{line}");
        assert_eq!(chosen, choice(&format!("hostler report {same}")), "{line}");
    }
    for line in ["--node /web[/", "--where a=(", "--exclude /(?=x)/"] {
        assert_eq!(parse_line(&format!("hostler report {line}")).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn run_has_a_short_name_of_its_own_for_parallel() {
    let cli = parse_line("hostler run --ssh_user root --all -p --project ci -c hostname").unwrap();
    assert_eq!(cli.global.project.unwrap().as_str(), "ci");
    assert_eq!(parse_line("hostler -p ci run --all -c a").unwrap().global.project.unwrap().as_str(), "ci");
    for line in [
        "run --all -c a --become root",
        "run --all -c a --serial 0",
        "run --forks 0 --all",
        "run --timeout x",
    ] {
        assert_eq!(parse_line(&format!("hostler {line}")).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn global_flags_may_stand_anywhere() {
    let cli = parse_line("hostler vm list -o json --project ci").unwrap();
    assert_eq!(cli.global.output, Format::Json);
    let cli = parse_line("hostler -p ci vm get web.lab").unwrap();
    assert_eq!(cli.global.project.unwrap().as_str(), "ci");
}

#[test]
fn commands_for_guests_are_taken_as_they_are() {
    let cli = parse_line("hostler vm exec web -e A=b -- ls -l --color").unwrap();
    let Command::Vm(nouns::vm::Command::Exec(exec)) = cli.command else { panic!("not exec") };
    assert_eq!(exec.command, ["ls", "-l", "--color"]);
    let cli = parse_line("hostler vm ssh web ls -l --color").unwrap();
    let Command::Vm(nouns::vm::Command::Ssh(ssh)) = cli.command else { panic!("not ssh") };
    assert_eq!(ssh.command, ["ls", "-l", "--color"]);
}

#[test]
fn mistakes_are_refused() {
    for line in [
        "hostler vm create Web --image tiny",
        "hostler vm create web",
        "hostler vm create web --image tiny --memory much",
        "hostler vm port-forward web 0",
        "hostler vm exec web ls",
        "hostler vm delete web --label a=b",
        "hostler worker run https://x --label a",
        "hostler image import x",
        "hostler image import x --kernel a",
        "hostler apply",
        "hostler nothing",
    ] {
        assert_eq!(parse_line(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn json_is_wanted_even_where_all_else_is_wrong() {
    let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
    assert!(
        wants("hostler vm nothing -o json") && wants("hostler --output=json x") && wants("hostler -ojson")
    );
    assert!(!wants("hostler vm list -o yaml") && !wants("hostler vm exec web -- x -o json"));
}

#[test]
fn the_shell_is_told_what_may_follow() {
    let complete = |line: &[&str]| -> Vec<String> {
        let args = line.iter().map(OsString::from).collect();
        let found = clap_complete::engine::complete(&mut command(), args, line.len() - 1, None).unwrap();
        found.iter().map(|c| c.get_value().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(complete(&["hostler", "vm", "st"]), ["start", "stop"]);
    assert!(complete(&["hostler", "vm", "create", "--restart-p"]).contains(&"--restart-policy".to_owned()));
    assert_eq!(complete(&["hostler", "vm", "create", "--restart-policy", "al"]), ["always"]);
}

/// All Rust and Markdown files below a directory.
fn sources(dir: &std::path::Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "md") {
            found.push(path);
        }
    }
}

/// Whether `hostler ...` at the beginning of a text names a command that exists. Prose is no command: it begins with no
/// noun. After a noun that has verbs comes one of them.
fn names_a_command(root: &clap::Command, text: &str) -> bool {
    let mut at = root;
    // What stands behind a command in backquotes is prose.
    let text = text.split('`').next().unwrap_or_default();
    for word in text.split(' ').skip(1) {
        let word: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        match at.find_subcommand(&word) {
            Some(sub) => at = sub,
            None => {
                return at.get_name() == "hostler"
                    || !at.has_subcommands()
                    || !word.starts_with(char::is_alphabetic);
            }
        }
    }
    true
}

/// Hints and documents name commands: each must exist.
#[test]
fn commands_that_are_named_exist() {
    let root = command();
    assert!(names_a_command(&root, "hostler vm list` shows") && names_a_command(&root, "hostler serves at"));
    assert!(!names_a_command(&root, "hostler worker adopt X") && names_a_command(&root, "hostler vm NAME"));
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for dir in ["crates", "docs", "guest"] {
        sources(&top.join(dir), &mut files);
    }
    assert!(files.len() > 50, "the sources are not where they were");
    let mut wrong = Vec::new();
    for path in files.iter().filter(|p| !p.ends_with("cli/src/args/tests.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for (at, _) in text.match_indices("hostler ") {
            let line = text[at..].lines().next().unwrap_or_default();
            if !names_a_command(&root, line) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn help_of_all_nouns() {
    let mut root = command();
    root.build();
    let mut all = vec![root.clone().term_width(100).render_long_help().to_string()];
    // The global options are the same everywhere.
    root = root
        .mut_subcommands(|sub| sub.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg }));
    for noun in root.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        all.push(format!("===== {}\n{}", noun.get_name(), noun.clone().term_width(100).render_help()));
    }
    insta::assert_snapshot!(all.join("\n"));
}
