//! Words as values: flags, numbers, times.

use super::script::At;
use base::{Error, Result};
use std::time::Duration;

pub(crate) fn unsuitable(word: &str, at: &At, wanted: &str) -> Error {
    Error::invalid(at.to_string(), format!("'{word}' is not a value for this")).hint(format!("use {wanted}"))
}

pub(crate) fn flag(word: &str, at: &At) -> Result<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(unsuitable(word, at, "yes or no")),
    }
}

pub(crate) fn number(word: &str, at: &At) -> Result<u32> {
    word.parse().map_err(|_| unsuitable(word, at, "a number"))
}

pub(crate) fn port(word: &str, at: &At) -> Result<u16> {
    let port = word.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| unsuitable(word, at, "a port from 1 to 65535"))
}

/// A time as sshd_config(5) has it under TIME FORMATS: `90`, `90s`, `1h30m`. `None` where there is no limit.
pub(crate) fn duration(word: &str, at: &At) -> Result<Option<Duration>> {
    if word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let seconds = seconds(word).ok_or_else(|| unsuitable(word, at, "a time such as 30, 90s or 1h30m"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn seconds(word: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = word;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..end].parse().ok()?;
        let mut unit = rest[end..].chars();
        let factor = match unit.next().map(|c| c.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return None,
        };
        total = total.checked_add(count.checked_mul(factor)?)?;
        rest = unit.as_str();
    }
    Some(total)
}

/// `%C`: a digest of what tells connections apart.
pub(crate) fn connection_digest(parts: &[&str]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(40), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let at = At::given();
        let of = |word| duration(word, &at).ok().flatten().map(|d| d.as_secs());
        assert_eq!(of("30"), Some(30));
        assert_eq!(of("1h30m"), Some(5400));
        assert_eq!(of("1W2D"), Some(777_600));
        assert_eq!(of("none"), None);
        assert_eq!(of("0"), None);
        for wrong in ["", "x", "1x", "-1", "m"] {
            assert!(duration(wrong, &at).is_err(), "{wrong}");
        }
    }
}
