//! Arguments of the program `ssh` as settings of ssh_config(5), which is how everything else here knows them.

use super::words;
use base::{Code, Error, Result};
use std::path::PathBuf;

/// A keyword of ssh_config(5) and its value.
pub type Setting = (String, String);

/// What the arguments say.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// In the order given: of one keyword the first counts.
    pub(super) settings: Vec<Setting>,
    /// Another configuration file (`-F`).
    pub(super) config: Option<PathBuf>,
}

/// Options with a value, and the keyword that means the same.
const VALUES: [(char, &str); 11] = [
    ('B', "BindInterface"),
    ('J', "ProxyJump"),
    ('S', "ControlPath"),
    ('b', "BindAddress"),
    ('c', "Ciphers"),
    ('i', "IdentityFile"),
    ('I', "PKCS11Provider"),
    ('l', "User"),
    ('m', "MACs"),
    ('p', "Port"),
    ('e', "EscapeChar"),
];

/// Options without one, and the setting that means the same; an empty keyword is nothing to us.
const FLAGS: [(char, &str, &str); 16] = [
    ('4', "AddressFamily", "inet"),
    ('6', "AddressFamily", "inet6"),
    ('A', "ForwardAgent", "yes"),
    ('a', "ForwardAgent", "no"),
    ('C', "Compression", "yes"),
    ('K', "GSSAPIAuthentication", "yes"),
    ('k', "GSSAPIDelegateCredentials", "no"),
    ('X', "ForwardX11", "yes"),
    ('x', "ForwardX11", "no"),
    ('Y', "ForwardX11Trusted", "yes"),
    ('q', "", ""),
    ('v', "", ""),
    ('n', "", ""),
    ('T', "", ""),
    ('t', "", ""),
    ('y', "", ""),
];

/// Reads arguments as a shell would split them.
pub(super) fn read(text: &str) -> Result<Arguments> {
    let wrong = |message: String| Error::new(Code::Invalid, message);
    let words = words::split(text, false).map_err(|why| wrong(why.to_owned()))?;
    let mut arguments = Arguments::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let Some(mut letters) = word.strip_prefix('-').filter(|l| !l.is_empty() && !l.starts_with('-'))
        else {
            return Err(wrong(format!("'{word}' is not an option of ssh")));
        };
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            if let Some((_, keyword, value)) = FLAGS.iter().find(|(flag, ..)| *flag == letter) {
                if !keyword.is_empty() {
                    arguments.settings.push(((*keyword).to_owned(), (*value).to_owned()));
                }
                continue;
            }
            let takes = VALUES.iter().find(|(flag, _)| *flag == letter);
            if takes.is_none() && !matches!(letter, 'o' | 'F') {
                return Err(wrong(format!("the option -{letter} of ssh cannot be carried")).hint(
                    "forwardings and the like belong to a connection of their own: leave it out here",
                ));
            }
            let value = if letters.is_empty() { words.next() } else { Some(letters.to_owned()) };
            let value = value.ok_or_else(|| wrong(format!("the option -{letter} of ssh needs a value")))?;
            match takes {
                Some((_, keyword)) => arguments.settings.push(((*keyword).to_owned(), value)),
                None if letter == 'F' => arguments.config = Some(PathBuf::from(value)),
                None => {
                    let setting = option(&value);
                    let setting =
                        setting.ok_or_else(|| wrong(format!("'-o {value}' is not Keyword=value")))?;
                    arguments.settings.push(setting);
                }
            }
            break;
        }
    }
    Ok(arguments)
}

/// `Keyword=value` or `Keyword value`.
fn option(text: &str) -> Option<Setting> {
    let text = text.trim();
    let end = text.find(|c: char| c == '=' || c.is_whitespace())?;
    let value = text[end..].trim_start();
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (end > 0 && !value.is_empty()).then(|| (text[..end].to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<String> {
        read(text).unwrap().settings.iter().map(|(keyword, value)| format!("{keyword} {value}")).collect()
    }

    #[test]
    fn arguments_become_settings() {
        assert_eq!(
            settings(
                "-o StrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -o 'ServerAliveInterval 30'"
            ),
            ["StrictHostKeyChecking no", "UserKnownHostsFile /dev/null", "ServerAliveInterval 30"]
        );
        assert_eq!(
            settings(
                "-o ProxyCommand=\"ssh -W %h:%p -q jump@bastion\" -J a,b -i ~/.ssh/key -AC4q -p2222 -l me"
            ),
            [
                "ProxyCommand ssh -W %h:%p -q jump@bastion",
                "ProxyJump a,b",
                "IdentityFile ~/.ssh/key",
                "ForwardAgent yes",
                "Compression yes",
                "AddressFamily inet",
                "Port 2222",
                "User me",
            ]
        );
        assert_eq!(read("-F other/config").unwrap().config, Some(PathBuf::from("other/config")));
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        for (text, word) in [
            ("-L 80:x:80", "-L"),
            ("-N", "-N"),
            ("host", "'host'"),
            ("-o", "-o"),
            ("-o X", "-o X"),
            ("--", "--"),
        ] {
            let message = read(text).unwrap_err().message;
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
