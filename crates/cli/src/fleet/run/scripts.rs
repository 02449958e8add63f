//! What is to be run: commands, files of commands and scripts, in the order in which they are given.

use crate::Result;
use base::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use fleet::{run::Step, session::Command as OnNode};
use std::{fs, io::Read as _, path::Path};

/// More of a command than this is not repeated in messages.
const SHOWN: usize = 48;

/// The flags that say what is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts(Vec<Given>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Command(String),
    CommandsFile(String),
    Script(String),
}

const COMMAND: &str = "command";
const COMMANDS_FILE: &str = "commands-file";
const SCRIPT: &str = "script";

impl Scripts {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps of a run. Files are read now, `-` is standard input.
    pub fn steps(&self) -> Result<Vec<Step>> {
        self.0.iter().map(Given::step).collect()
    }
}

impl Given {
    fn step(&self) -> Result<Step> {
        Ok(match self {
            Given::Command(text) => Step { name: shown(text), command: OnNode::sh(text.as_str()) },
            Given::CommandsFile(path) => {
                Step { name: shown(path), command: OnNode::sh(read(path, "--commands-file")?) }
            }
            Given::Script(path) => {
                let script = read(path, "--script")?;
                let interpreter = interpreter(&script).map(str::to_owned);
                let command = OnNode { interpreter, ..OnNode::sh(script) };
                Step { name: shown(path), command }
            }
        })
    }
}

/// As messages call it: the first line, cut.
fn shown(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(SHOWN).collect();
    let more = if short.len() < text.trim().len() { "..." } else { "" };
    format!("'{short}{more}'")
}

fn read(path: &str, flag: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let reading = match path {
        "-" => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        _ => fs::read(Path::new(path)).map(|content| bytes = content),
    };
    reading.map_err(|e| Error::io(format_args!("read {path}"), &e).at(flag))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(flag, format!("{path} is no text (UTF-8)")).into())
}

/// What the first line says (`#!/usr/bin/python3`); nothing where that is `sh` itself.
fn interpreter(script: &str) -> Option<&str> {
    let line = script.strip_prefix("#!")?.lines().next()?.trim();
    (!line.is_empty() && line != "/bin/sh").then_some(line)
}

impl Args for Scripts {
    fn augment_args(command: Command) -> Command {
        let arg = |name: &'static str, short: Option<char>, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .short(short)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
        };
        command
            .arg(arg(
                COMMAND,
                Some('c'),
                "COMMAND",
                "A line for the shell of the nodes; repeat it for several",
            ))
            .arg(arg(
                COMMANDS_FILE,
                Some('f'),
                "FILE",
                "A file of lines for the shell, or - for standard input",
            ))
            .arg(arg(
                SCRIPT,
                None,
                "FILE",
                "A file that is run by what its first line names (#!/usr/bin/python3), else by the shell",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Scripts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = |name: &'static str, kind: fn(String) -> Given| {
            let values = matches.get_many::<String>(name).into_iter().flatten().cloned();
            matches.indices_of(name).into_iter().flatten().zip(values.map(kind))
        };
        let mut given: Vec<(usize, Given)> = values(COMMAND, Given::Command)
            .chain(values(COMMANDS_FILE, Given::CommandsFile))
            .chain(values(SCRIPT, Given::Script))
            .collect();
        given.sort_by_key(|(place, _)| *place);
        Ok(Scripts(given.into_iter().map(|(_, given)| given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_command_line_counts() {
        let line = ["x", "--command", "a", "-f", "b", "--script", "c", "-c", "-d"];
        let matches = Scripts::augment_args(Command::new("x")).get_matches_from(line);
        let scripts = Scripts::from_arg_matches(&matches).unwrap();
        let text = str::to_owned;
        let expected = [
            Given::Command(text("a")),
            Given::CommandsFile(text("b")),
            Given::Script(text("c")),
            Given::Command(text("-d")),
        ];
        assert_eq!(scripts.0, expected);
    }

    #[test]
    fn scripts_have_the_interpreter_that_they_name() {
        assert_eq!(interpreter("#!/usr/bin/env python3\nprint(1)"), Some("/usr/bin/env python3"));
        assert_eq!(interpreter("#! /bin/bash -e"), Some("/bin/bash -e"));
        assert_eq!((interpreter("#!/bin/sh\n"), interpreter("#!\n"), interpreter("ls")), (None, None, None));
    }

    #[test]
    fn messages_show_the_beginning() {
        assert_eq!(shown("hostname\n"), "'hostname'");
        assert_eq!(shown("a\nb"), "'a...'");
        assert_eq!(shown(&"x".repeat(60)), format!("'{}...'", "x".repeat(48)));
    }
}
