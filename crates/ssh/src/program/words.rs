//! What `ssh` says, as errors.

use base::{Code, Error};

/// Its own words, on one line.
pub(super) fn clean(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("@@@"));
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("Pseudo-terminal")).collect();
    lines.join("; ")
}

/// Why a login failed.
pub(super) fn error(node: &str, said: &str) -> Error {
    let has = |words: &str| said.contains(words);
    let (code, message, hint) = if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("REVOKED") {
        (
            Code::Forbidden,
            format!("THE HOST KEY OF {node} HAS CHANGED, so nothing was sent"),
            format!(
                "if the machine was installed anew: hostler node trust {node}; else find out who answers there"
            ),
        )
    } else if has("Host key verification failed") {
        (
            Code::Forbidden,
            format!("the host key of {node} is not known"),
            format!("compare it with the machine's own, then: hostler node trust {node}"),
        )
    } else if has("Permission denied") || has("Too many authentication failures") {
        (
            Code::Unauthenticated,
            format!("the SSH server of {node} refused the login"),
            "check the user name, and that the machine knows this key or password".to_owned(),
        )
    } else if has("Bad configuration option") || has("terminating") {
        (
            Code::Invalid,
            "ssh refuses its configuration".to_owned(),
            "correct the file that it names".to_owned(),
        )
    } else {
        (
            Code::Unavailable,
            format!("cannot reach {node} with ssh"),
            "check that the machine is up, its address and port, and that its SSH server runs".to_owned(),
        )
    };
    let why = if said.is_empty() { "ssh ended without a word" } else { said };
    Error::new(code, message).because(why).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ssh_have_codes() {
        for (said, code) in [
            ("root@h: Permission denied (publickey).", Code::Unauthenticated),
            ("No ED25519 host key is known for h.\nHost key verification failed.", Code::Forbidden),
            (
                "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Code::Forbidden,
            ),
            ("ssh: connect to host h port 22: Connection refused", Code::Unavailable),
            ("/c: line 1: Bad configuration option: x", Code::Invalid),
            ("", Code::Unavailable),
        ] {
            assert_eq!(error("h", &clean(said)).code, code, "{said}");
        }
    }
}
