//! Addresses of git repositories, without what logs in there.

use base::{Error, Result};
use ssh::quote;

/// Where a repository is, and what its server is answered when it asks who comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As git gets it: without a password.
    pub url: String,
    /// User and password for HTTP; empty where there are none.
    login: [String; 2],
}

impl Address {
    /// Takes user and password out of `https://USER:PASSWORD@HOST/PATH`. Other addresses are as they are.
    pub fn new(text: &str) -> Self {
        let plain = || Address { url: text.to_owned(), login: Default::default() };
        let Some((scheme, rest)) = text.split_once("://") else { return plain() };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        match authority.rsplit_once('@') {
            Some((login, host)) if matches!(scheme, "http" | "https") => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                Address { url: format!("{scheme}://{host}{path}"), login: [user, password].map(decoded) }
            }
            _ => plain(),
        }
    }

    /// SSH takes no password from an address, and would show it in its arguments.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] where there is one.
    pub fn check(text: &str) -> Result<()> {
        let ssh = text.split_once("://").filter(|(scheme, _)| scheme.contains("ssh"));
        let authority = ssh.map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        match authority.rsplit_once('@') {
            Some((login, _)) if login.contains(':') => {
                Err(Error::new(base::Code::Invalid, "an address for SSH has no password in it")
                    .hint("let the node log in by a key, or use https"))
            }
            _ => Ok(()),
        }
    }

    /// Address, user and password, each as one word of `sh`.
    pub fn words(&self) -> [String; 3] {
        [&self.url, &self.login[0], &self.login[1]].map(|word| quote(word))
    }
}

/// A text without the escapes of URLs (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|pair| hex::decode(pair).ok());
        if let Some(byte) = escaped {
            bytes.extend(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_in_is_taken_out_of_http_alone() {
        let of = |text: &str| Address::new(text).words().map(|w| w.trim_matches('\'').to_owned()).join(" ");
        assert_eq!(of("https://me:p%40ss@h:1/x.git"), "https://h:1/x.git me p@ss");
        assert_eq!(of("http://token@h/x@y"), "http://h/x@y token ");
        for text in ["https://h/x", "ssh://git@h/x", "git@h:x", "/srv/x", "file:///x"] {
            assert_eq!(of(text), format!("{text}  "));
        }
    }

    #[test]
    fn ssh_takes_no_password() {
        assert!(Address::check("ssh://git:word@h/x").is_err());
        for text in ["ssh://git@h:22/x", "git@h:x", "https://u:p@h/x"] {
            assert_eq!(Address::check(text), Ok(()));
        }
    }
}
