//! `ProxyJump`: hosts on the way.

use base::{Code, Error, Result};
use std::fmt;

/// A host on the way, as `[USER@]HOST[:PORT]` or `ssh://[USER@]HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Its name, which has a configuration of its own.
    pub host: String,
    /// The login name, where it is said.
    pub user: Option<String>,
    /// The port, where it is said.
    pub port: Option<u16>,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// The hops of a list with commas.
pub(crate) fn parse(text: &str) -> Result<Vec<Hop>> {
    text.trim_end().split(',').map(one).collect()
}

fn one(text: &str) -> Result<Hop> {
    let wrong = || {
        Error::new(Code::Invalid, format!("'{text}' is not a host to jump over"))
            .hint("write [USER@]HOST[:PORT], several with commas between them, or none")
    };
    let bare = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, place) = match bare.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, bare),
    };
    let (host, port) = split_port(place).ok_or_else(wrong)?;
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if host.is_empty()
        || host.starts_with('-')
        || bare.contains(odd)
        || user.as_deref().is_some_and(str::is_empty)
    {
        return Err(wrong());
    }
    Ok(Hop { host: host.to_owned(), user, port })
}

/// IPv6 addresses stand in brackets where a port follows.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0);
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(text) => Some((host, Some(port(text)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match place.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Some((place, None)),
        Some((host, text)) => Some((host, Some(port(text)?))),
        None => Some((place, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read() {
        let show = |text| {
            let hops = parse(text).unwrap();
            let one = |h: Hop| format!("{:?} {} {:?}", h.user, h.host, h.port);
            hops.into_iter().map(one).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(show("a"), "None a None");
        assert_eq!(show("u@a:2,[::1]:22"), r#"Some("u") a Some(2); None ::1 Some(22)"#);
        assert_eq!(show("ssh://me@x@host:1"), r#"Some("me@x") host Some(1)"#);
        assert_eq!(show("fe80::1"), "None fe80::1 None");
        for text in ["a", "me@a:2", "[::1]:22", "fe80::1"] {
            assert_eq!(parse(text).unwrap()[0].to_string(), text);
        }
        for wrong in ["", "a,", "@a", "a, b", "a:0", "a:x", "[::1", "-oProxyCommand=x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
