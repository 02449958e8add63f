//! The program that runs a command on a node, for any POSIX shell (IEEE 1003.1, chapter 2).
//!
//! A node starts one constant line. Everything of the command travels over the standard input of that line: script,
//! variables and the command's own input, so that nothing of it shows in an argv and no size is too large. Standard
//! input then stays open for as long as the command may run. A watcher on the node sees it end, because we ended it or
//! because the connection was lost, and ends the command's process group.

use crate::session::{Become, Command, Method, variable};
use base::{Error, Result};
use std::fmt::Write as _;

/// What the line says on standard error once it runs as another user, before anything of the command runs.
pub const SIGN: &str = "hostler: ready as the other user";
/// What `sudo` says when it wants a password.
pub const QUESTION: &str = "hostler asks for the password:";

/// Shells read their input byte by byte with `read`, and in blocks (most of them) where it is their script; that costs
/// one more start of a shell.
const LONG: usize = 1024;

/// Makes the command a process group of its own where the server has not (OpenSSH does, dropbear does not), then goes on
/// with the second part, `$1`.
const GROUP: &str =
    r#"kill -0 -$$ 2>/dev/null || { command -v setsid >/dev/null && exec setsid sh -c "$1" sh; }; eval "$1""#;

/// Waits for the end of standard input. If the command still runs then, its group gets two seconds to end.
const WATCH: &str = r#"trap "" TERM HUP INT; while IFS= read -r _; do :; done; if kill -0 $$; then kill -s TERM -- -$$ || kill -s TERM $$; sleep 2; kill -s KILL -- -$$ || kill -s KILL $$; fi"#;

/// What to start on the node, and what to give it.
#[derive(Debug)]
pub struct Program {
    /// A line for the login shell, whichever that is: it has no secret, nothing of the command but the user's name.
    pub line: String,
    /// One line of text for its standard input; the command's own input follows.
    pub text: String,
}

impl Program {
    /// The program for a command, which may be told `more` while it runs.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] for a NUL character, or a name that is no variable's.
    pub fn new(command: &Command, more: bool) -> Result<Self> {
        if more && command.script.is_empty() {
            return Ok(Program { line: line(command, "exec sh", "exec sh".into())?, text: String::new() });
        }
        let text = text(command, more)?;
        let long = text.len() > LONG && command.stdin.is_empty() && !more;
        let read = if long { "exec sh" } else { r#"IFS= read -r _hostler && eval "$_hostler""# };
        Ok(Program { line: line(command, read, format!("exec {}", start(read)))?, text })
    }
}

/// The line that goes on with `second`: as this user in the words `plain`, or as another.
fn line(command: &Command, second: &str, plain: String) -> Result<String> {
    let Some(other) = &command.r#become else { return Ok(plain) };
    as_user(other, &start(&format!("echo \"{SIGN}\" >&2; {second}")))
}

/// No backslash and no nested quotes: fish and csh must read it too.
fn start(second: &str) -> String {
    format!("sh -c '{GROUP}' sh '{second}'")
}

fn as_user(other: &Become, start: &str) -> Result<String> {
    let user = other.user.as_str();
    if user.is_empty() || user.starts_with('-') || user.contains('\0') {
        return Err(Error::invalid("become", format!("'{user}' is not the name of a user")));
    }
    let user = ssh::quote(user);
    Ok(match (other.method, &other.password) {
        (Method::Sudo, None) => format!("exec sudo -n -H -u {user} -- {start}"),
        (Method::Sudo, Some(_)) => format!("exec sudo -S -p '{QUESTION}' -H -u {user} -- {start}"),
        (Method::Su, _) => format!("exec su -s /bin/sh -c {} {user}", ssh::quote(&format!("exec {start}"))),
        (Method::Doas, None) => format!("exec doas -n -u {user} -- {start}"),
        (Method::Doas, Some(_)) => {
            return Err(Error::invalid("become", "doas takes a password from a terminal only")
                .hint("allow it without one (`permit nopass` in doas.conf), or use sudo or su"));
        }
    })
}

/// The whole command as one line of shell.
fn text(command: &Command, more: bool) -> Result<String> {
    let mut text = String::from("_n=${IFS#??}; set --; ");
    for (name, value) in &command.env {
        let _ = write!(text, "export {}={}; ", variable(name)?, literal(value)?);
    }
    let _ = write!(text, "_hostler={}; ", literal(&command.script)?);
    let step = step(command.interpreter.as_deref())?;
    // The watcher is nobody's child: a `wait` in the script must not wait for it.
    let _ = if more {
        write!(text, "{step}") // it watches its input itself
    } else if command.stdin.is_empty() {
        write!(text, "exec 3<&0 </dev/null; ( ( {WATCH} ) <&3 3<&- >/dev/null 2>&1 & ); exec 3<&-; {step}")
    } else {
        let feed = format!("head -c {}; exec >/dev/null; {WATCH}", command.stdin.len());
        write!(text, "exec 3<&0; {{ ( {feed} ) <&3 3<&- 2>/dev/null & }} | {{ exec 3<&-; {step}; }}")
    };
    text.push('\n');
    Ok(text)
}

/// Runs the script that is in the variable.
fn step(interpreter: Option<&str>) -> Result<String> {
    let Some(interpreter) = interpreter else { return Ok(r#"eval "$_hostler""#.to_owned()) };
    let words = match interpreter {
        Command::USUAL => format!("\"{interpreter}\""),
        _ => interpreter.split_whitespace().map(literal).collect::<Result<Vec<_>>>()?.join(" "),
    };
    if words.is_empty() {
        return Err(Error::invalid("interpreter", "the name of the interpreter is empty"));
    }
    Ok(format!(r#"exec 4<&0; printf "%s\n" "$_hostler" 4<&- | {words} /dev/fd/3 3<&0 <&4 4<&-"#))
}

/// A text as one word on one line; `$_n` is a line feed.
fn literal(text: &str) -> Result<String> {
    if text.contains('\0') {
        return Err(Error::invalid("command", "a command cannot have a NUL character in it"));
    }
    Ok(ssh::quote(text).replace('\n', r#"'"$_n"'"#))
}
