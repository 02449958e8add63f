//! Commands for a POSIX shell.

use base::{Error, Result};
use std::fmt::Write as _;

/// A text as one word of a POSIX shell (IEEE 1003.1, 2.2.2: nothing is special between single quotes).
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command that first sets variables and changes its directory. SSH has a request for variables, but most servers
/// refuse all names but a few (`AcceptEnv`), and it has none for the directory. Without a command, the login shell of
/// the user follows.
///
/// A `workdir` that starts with `~/` is below the home directory. The command ends with 1 where the directory cannot be
/// entered.
///
/// # Errors
/// [`base::Code::Invalid`] for a name that is no variable's, for a NUL character, for an empty directory.
pub fn shell_command_with_env(
    command: Option<&str>,
    env: &[(String, String)],
    workdir: Option<&str>,
) -> Result<String> {
    let mut line = String::new();
    for (name, value) in env {
        check_variable(name, value)?;
        let _ = write!(line, "export {name}={}; ", quote(value));
    }
    if let Some(dir) = workdir {
        let _ = write!(line, "cd -- {} || exit 1; ", directory_word(dir)?);
    }
    line.push_str(command.unwrap_or(r#"exec "${SHELL:-/bin/sh}" -l"#));
    Ok(line)
}

fn check_variable(name: &str, value: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Error::invalid("env", format!("'{name}' is not the name of a variable"))
            .hint("use letters, digits and '_', and do not start with a digit"));
    }
    if value.contains('\0') {
        return Err(Error::invalid("env", format!("the value of {name} has a NUL character in it")));
    }
    Ok(())
}

/// `cd` gives a meaning to `-` and to `CDPATH`; neither is meant here, so relative names start with `./`.
fn directory_word(dir: &str) -> Result<String> {
    if dir.is_empty() || dir.contains('\0') {
        return Err(Error::invalid("workdir", "the directory is empty or has a NUL character in it"));
    }
    Ok(match dir.strip_prefix('~') {
        Some("") => r#""$HOME""#.to_owned(),
        Some(rest) if rest.starts_with('/') => format!(r#""$HOME"{}"#, quote(rest)),
        _ if dir.starts_with('/') => quote(dir),
        _ => quote(&format!("./{dir}")),
    })
}

#[cfg(test)]
mod tests;
