//! Names and paths on the server: `/` separates, and a path that does not start with it is below the home directory.

use base::{Code, Error, Result};

/// The path as the server takes it: SFTP starts in the home directory and knows no `~`.
pub(super) fn from_user(path: &str) -> String {
    let below_home = match path {
        "" | "~" => "",
        _ => path.strip_prefix("~/").unwrap_or(path),
    };
    if below_home.is_empty() { ".".to_owned() } else { below_home.to_owned() }
}

/// A path inside a directory.
pub(super) fn join(directory: &str, name: &str) -> String {
    match directory {
        "" | "." => name.to_owned(),
        _ if directory.ends_with('/') => format!("{directory}{name}"),
        _ => format!("{directory}/{name}"),
    }
}

/// The last part of a path, where it names something: not for `/`, `.` or `..`.
pub(super) fn last(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    if name.is_empty() || name == "." || name == ".." { None } else { Some(name) }
}

/// What to do with a name in a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// `.` and `..`, which most servers list.
    Itself,
    /// A name that got damaged, since SFTP version 3 does not say how names are encoded.
    NotText,
    /// An ordinary name.
    Name,
}

/// Judges a name that a server lists. A name that is a path would lead out of the directory it is listed in.
pub(super) fn judge(name: &str) -> Result<Listed> {
    match name {
        "." | ".." => Ok(Listed::Itself),
        _ if name.is_empty() || name.contains(['/', '\0']) => {
            Err(Error::new(Code::Forbidden, "the server lists a file name that leads out of its directory")
                .because(format!("the name is {name:?}"))
                .hint("do not copy from this server: it is broken, or means harm"))
        }
        _ if name.contains(char::REPLACEMENT_CHARACTER) => Ok(Listed::NotText),
        _ => Ok(Listed::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_where_the_server_starts() {
        for (given, path) in [("", "."), ("~", "."), ("~/", "."), ("~/a", "a"), ("/x", "/x"), ("a/b", "a/b")]
        {
            assert_eq!(from_user(given), path);
        }
    }

    #[test]
    fn paths_are_joined_by_one_slash() {
        assert_eq!(join(".", "a"), "a");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("d", "a"), "d/a");
        assert_eq!(join("d/", "a"), "d/a");
    }

    #[test]
    fn only_real_names_are_last() {
        assert_eq!(last("/a/b/"), Some("b"));
        assert_eq!(last("b"), Some("b"));
        for none in ["/", ".", "..", "a/..", ""] {
            assert_eq!(last(none), None, "{none}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["../x", "/etc/passwd", "a/b", "", "a\0b", "..//"] {
            assert_eq!(judge(bad).unwrap_err().code, Code::Forbidden, "{bad:?}");
        }
        assert_eq!(judge("..").unwrap(), Listed::Itself);
        assert_eq!(judge("...").unwrap(), Listed::Name);
        assert_eq!(judge("a\u{fffd}").unwrap(), Listed::NotText);
    }
}
