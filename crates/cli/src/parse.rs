//! What flags and arguments are made of. Each function is a clap value parser: its errors are sentences.

use base::{ByteSize, Name};
use client::Key;
use std::str::FromStr;

/// `key=value`; the value may be empty and may contain `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".into()),
    }
}

/// `name=amount`, or a name alone for one of it.
pub fn amount(text: &str) -> Result<(String, u64), String> {
    let (name, amount) = text.split_once('=').unwrap_or((text, "1"));
    let amount = amount.parse().map_err(|_| format!("'{amount}' is not a whole number: write {name}=2"))?;
    if name.is_empty() { Err("write name=amount".into()) } else { Ok((name.to_owned(), amount)) }
}

/// A size such as `4GiB`.
pub fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|e: base::Error| match e.hint {
        Some(hint) => format!("{}: {hint}", e.message),
        None => e.message,
    })
}

/// A span of time in whole seconds: `90`, `90s`, `15m`, `2h`, `7d`, `1h30m`.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a span of time: write 90s, 15m, 2h or 7d");
    let mut total = 0_u64;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let n: u64 = digits.parse().map_err(|_| wrong())?;
        digits.clear();
        total = n.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return digits.parse().map_err(|_| wrong());
    }
    if digits.is_empty() { Ok(total) } else { Err(wrong()) }
}

/// A span of time that is not nothing.
pub fn some_seconds(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        0 => Err("nothing ends within no time: write 90s, 15m, 2h or 7d".into()),
        more => Ok(more),
    }
}

/// A name.
pub fn name(text: &str) -> Result<Name, String> {
    Name::from_str(text).map_err(|e| e.to_string())
}

/// `name` or `name.project`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProject {
    /// The name.
    pub name: Name,
    /// The project, where it was given.
    pub project: Option<Name>,
}

impl InProject {
    /// The key, in this project where none was given.
    pub fn key(&self, project: &str) -> Key {
        let project = self.project.as_ref().map_or(project, Name::as_str);
        Key::in_project(project, self.name.as_str())
    }
}

/// `name` or `name.project`.
pub fn in_project(text: &str) -> Result<InProject, String> {
    let (left, right) = match text.split_once('.') {
        Some((left, right)) => (left, Some(right)),
        None => (text, None),
    };
    Ok(InProject { name: name(left)?, project: right.map(name).transpose()? })
}

/// One side of a port forward: `[LOCAL:]REMOTE`; 0 for any free local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The port on this host.
    pub local: u16,
    /// The port in the guest.
    pub remote: u16,
}

/// `[LOCAL:]REMOTE`.
pub fn forward(text: &str) -> Result<Forward, String> {
    let (local, remote) = text.split_once(':').unwrap_or(("0", text));
    let port = |t: &str| t.parse::<u16>().map_err(|_| format!("'{t}' is not a port: write 1 to 65535"));
    let (local, remote) = (port(local)?, port(remote)?);
    if remote == 0 { Err("the guest has no port 0".into()) } else { Ok(Forward { local, remote }) }
}

/// `path`, or `NAME:path` for a path in a guest. As with scp, a `/` before the first `:` makes it a local path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this host.
    Local(String),
    /// In a guest.
    Guest(InProject, String),
}

/// `path` or `NAME:path`.
pub fn place(text: &str) -> Result<Place, String> {
    match text.split_once(':') {
        Some((vm, path)) if !vm.contains('/') && !vm.is_empty() => {
            let path = if path.is_empty() { "." } else { path };
            Ok(Place::Guest(in_project(vm)?, path.to_owned()))
        }
        _ if text.is_empty() => Err("a path cannot be empty".into()),
        _ => Ok(Place::Local(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_amounts() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(pair("=b").is_err() && pair("a").is_err());
        assert_eq!(amount("gpu").unwrap(), ("gpu".into(), 1));
        assert_eq!(amount("gpu=2").unwrap(), ("gpu".into(), 2));
        assert!(amount("gpu=x").is_err() && amount("=1").is_err());
    }

    #[test]
    fn spans_of_time() {
        for (text, n) in [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), ("0s", 0)]
        {
            assert_eq!(seconds(text).unwrap(), n, "{text}");
        }
        for text in ["", "s", "5x", "1h30", "-1", "1.5h", "99999999999999999999d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_with_and_without_a_project() {
        assert_eq!(in_project("web").unwrap().key("default"), Key::in_project("default", "web"));
        assert_eq!(in_project("web.ci").unwrap().key("default"), Key::in_project("ci", "web"));
        assert!(in_project("web.ci.x").is_err() && in_project("Web").is_err() && in_project("").is_err());
    }

    #[test]
    fn ports_and_places() {
        assert_eq!(forward("80").unwrap(), Forward { local: 0, remote: 80 });
        assert_eq!(forward("8080:80").unwrap(), Forward { local: 8080, remote: 80 });
        for text in ["", "0", "x:80", "80:", "70000"] {
            assert!(forward(text).is_err(), "{text}");
        }
        assert_eq!(place("./a:b").unwrap(), Place::Local("./a:b".into()));
        assert_eq!(place("web:").unwrap(), Place::Guest(in_project("web").unwrap(), ".".into()));
        assert_eq!(place("web.ci:/etc").unwrap(), Place::Guest(in_project("web.ci").unwrap(), "/etc".into()));
        assert!(place("Web:/etc").is_err());
    }
}
