//! The names of hosts as an inventory writes them: with a port, and with ranges that stand for many.

use base::{Error, Result};

/// One line may not make more hosts than this.
const MOST: usize = 100_000;
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The hosts that an expression stands for, and their port: `web[01:10].example.org:2222`.
pub(super) fn expand(expression: &str) -> Result<(Vec<String>, Option<u64>)> {
    // What is no address is taken whole, as Ansible does, and its ranges are expanded all the same.
    let (pattern, port) = parse(expression).unwrap_or((expression, None));
    let mut hosts = Vec::new();
    ranges(pattern, &mut hosts)
        .map_err(|why| Error::invalid(expression, "this range of hosts cannot be expanded").because(why))?;
    Ok((hosts, port))
}

/// A name or an address, perhaps with ranges, and its port; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<(&str, Option<u64>)> {
    let mut rest = (text, None);
    // Each way to write a port may be used once, so that `[web1:22]:33` has two.
    if let Some((host, port)) = port_of(rest.0)
        && let Some(inner) =
            host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).filter(|i| !i.is_empty())
    {
        rest = (inner, Some(port));
    }
    if let Some((host, port)) = port_of(rest.0).filter(|(host, _)| is_without_colon(host)) {
        rest = (host, Some(port));
    }
    (is_hostname(rest.0) || starts_as_ipv6(rest.0)).then_some(rest)
}

fn port_of(text: &str) -> Option<(&str, u64)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    Some((host, port.parse().ok().filter(|_| digits)?))
}

/// No colon but within complete brackets.
fn is_without_colon(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find([':', '[', ']']) {
        let Some(inner) = rest[at..].strip_prefix('[') else { return false };
        let Some(end) = inner.find(']') else { return false };
        rest = &inner[end + 1..];
    }
    true
}

/// Labels with points between them, of letters, digits, `_`, `-` and ranges.
fn is_hostname(text: &str) -> bool {
    let mut rest = text;
    // What stood before: nothing of this label yet, something that may not end it, or something that may.
    let mut last = None;
    loop {
        let Some(c) = rest.chars().next() else { return last == Some(true) };
        if c == '[' {
            let Some(end) = rest.find(']').filter(|end| is_range(&rest[1..*end])) else { return false };
            rest = &rest[end + 1..];
            last = Some(true);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        last = match c {
            '.' if last == Some(true) => None,
            '-' if last.is_some() => Some(false),
            '_' => Some(false),
            c if c.is_alphanumeric() => Some(true),
            _ => return false,
        };
    }
}

/// `1:9`, `a:z`, with a step or without.
fn is_range(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let letter = |part: &str| part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic();
    let (ends, step) = match parts.as_slice() {
        [begin, end] => ([*begin, *end], None),
        [begin, end, step] => ([*begin, *end], Some(*step)),
        _ => return false,
    };
    (ends.iter().all(|p| digits(p)) || ends.iter().all(|p| letter(p))) && step.is_none_or(digits)
}

/// Whether it begins as an IPv6 address does. Ansible looks no further: what follows is never checked.
fn starts_as_ipv6(text: &str) -> bool {
    if text.starts_with("::") {
        return true;
    }
    let mut rest = text;
    for parts in 1..=8 {
        let Some(length) = ipv6_part(rest) else { return false };
        rest = &rest[length..];
        if rest.starts_with("::") || parts == 8 {
            return parts != 7;
        }
        let Some(after) = rest.strip_prefix(':') else { return false };
        rest = after;
    }
    false
}

/// The length of up to four hexadecimal digits, or of a range of them.
fn ipv6_part(text: &str) -> Option<usize> {
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']')?;
        let parts: Vec<&str> = inner[..end].split(':').collect();
        let hex = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
        return ((2..=3).contains(&parts.len()) && parts.iter().all(hex)).then_some(end + 2);
    }
    let length = text.bytes().take(4).take_while(u8::is_ascii_hexdigit).count();
    (length > 0).then_some(length)
}

/// Adds what the first range stands for, and for each the next range.
fn ranges(text: &str, out: &mut Vec<String>) -> Result<(), String> {
    if !text.contains('[') {
        if out.len() >= MOST {
            return Err(format!("it stands for more than {MOST} hosts"));
        }
        out.push(text.to_owned());
        return Ok(());
    }
    let text = text.replacen('[', "|", 1).replacen(']', "|", 1);
    let parts: Vec<&str> = text.split('|').collect();
    let [head, range, tail] = parts[..] else { return Err("a bracket is missing".to_owned()) };
    for member in members(range)? {
        ranges(&format!("{head}{member}{tail}"), out)?;
    }
    Ok(())
}

/// The members of `begin:end:step`: numbers, kept as wide as a `begin` with leading zeros, or letters.
fn members(range: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err("a range is begin:end or begin:end:step".to_owned()),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err("a range must say where it ends".to_owned());
    }
    let width = if begin.len() > 1 && begin.starts_with('0') { begin.len() } else { 0 };
    if width > 0 && end.chars().count() != width {
        return Err("begin and end must be of one length where begin has leading zeros".to_owned());
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("'{text}' is not a number"));
    if let (Some(from), Some(to)) = (LETTERS.find(begin), LETTERS.find(end)) {
        let step = usize::try_from(number(step)?).ok().filter(|s| *s > 0).ok_or("a step must be over 0")?;
        if from > to {
            return Err("a range must begin before it ends".to_owned());
        }
        return Ok(LETTERS[from..=to].chars().step_by(step).map(String::from).collect());
    }
    let (from, to, step) = (number(begin)?, number(end)?, number(step)?);
    let step = usize::try_from(step).ok().filter(|s| *s > 0).ok_or("a step must be over 0")?;
    if usize::try_from(to.saturating_sub(from)).is_ok_and(|span| span / step > MOST) {
        return Err(format!("it stands for more than {MOST} hosts"));
    }
    Ok((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(expression: &str) -> Vec<String> {
        expand(expression).unwrap().0
    }

    #[test]
    fn ranges_are_expanded_from_left_to_right() {
        assert_eq!(hosts("web[08:10]"), ["web08", "web09", "web10"]);
        assert_eq!(hosts("web[:2]"), ["web0", "web1", "web2"]);
        assert_eq!(hosts("web[1:6:2].x"), ["web1.x", "web3.x", "web5.x"]);
        assert_eq!(hosts("db-[a:c]-[1:2]"), ["db-a-1", "db-a-2", "db-b-1", "db-b-2", "db-c-1", "db-c-2"]);
        assert_eq!(hosts("x[y:B]"), ["xy", "xz", "xA", "xB"]);
        assert!(hosts("x[3:1]").is_empty());
        for wrong in
            ["x[1:", "x[1]", "x[01:5]", "x[1:]", "x[b:a]", "x[1:9:0]", "x[1:9999999]", "x[1:999][1:999]"]
        {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_stand_behind_names_and_bracketed_addresses() {
        for (text, host, port) in [
            ("web1", "web1", None),
            ("web1:2222", "web1", Some(2222)),
            ("web[1:2]:22", "web[1:2]", Some(22)),
            ("[::1]:22", "::1", Some(22)),
            ("::1", "::1", None),
            ("fe80::1:22", "fe80::1:22", None),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", None),
            ("[web1:22]:33", "web1", Some(22)),
            ("10.0.0.[1:3]:22", "10.0.0.[1:3]", Some(22)),
            ("täst_x.y", "täst_x.y", None),
        ] {
            assert_eq!(parse(text), Some((host, port)), "{text}");
        }
        for text in
            ["a:b", "web1:", "-x", "x-", "x_", "a..b", "web*", "1:2:3", "a b", "", "web[a-c]", "web[a:5]"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
