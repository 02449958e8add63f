//! From lines to words, as OpenSSH reads them.

/// The keyword of a line in small letters, and what follows it. `None` for an empty line and for a comment.
pub(crate) fn keyword(line: &str) -> Option<(String, &str)> {
    let line = line.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    // Between the keyword and its arguments there may be one '='.
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((name.to_ascii_lowercase(), rest.trim_start_matches([' ', '\t'])))
}

/// Words between blanks. Quotes of both kinds keep blanks; a backslash keeps a quote, a backslash and, outside of
/// quotes, a blank; `#` at the start of a word ends the line. `None` where a quote is not closed.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Some(words);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next_if(|n| keeps(*n, quote)) {
                    Some(kept) => word.push(kept),
                    None => word.push('\\'),
                },
                ' ' | '\t' if quote.is_none() => break,
                '\'' | '"' if quote.is_none() => quote = Some(c),
                _ if quote == Some(c) => quote = None,
                _ => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

fn keeps(c: char, quote: Option<char>) -> bool {
    matches!(c, '\'' | '"' | '\\') || (quote.is_none() && c == ' ')
}

/// The words of a `Match` line: between blanks or one `=`, in double quotes as a whole. `None` where a quote is not
/// closed.
pub(crate) fn criteria(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t']);
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            words.push(quoted[..end].to_owned());
            rest = quoted[end + 1..].trim_start_matches([' ', '\t']);
            continue;
        }
        let end = rest.find([' ', '\t', '=']).unwrap_or(rest.len());
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches([' ', '\t']);
        rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches([' ', '\t']);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words in angle brackets.
    fn shown(words: Option<Vec<String>>) -> String {
        words.map_or("none".into(), |words| words.iter().flat_map(|w| ["<", w, ">"]).collect())
    }

    #[test]
    fn keywords_end_at_a_blank_or_one_equals_sign() {
        let of = |line| keyword(line).map(|(k, rest)| format!("{k}|{rest}"));
        assert_eq!(of("  HostName  a b ").as_deref(), Some("hostname|a b"));
        assert_eq!(of("Port=22").as_deref(), Some("port|22"));
        assert_eq!(of("Port = 22\r").as_deref(), Some("port|22"));
        assert_eq!(of("Port").as_deref(), Some("port|"));
        assert_eq!(of("# Port 22"), None);
        assert_eq!(of(" \t"), None);
    }

    #[test]
    fn words_keep_what_is_quoted() {
        assert_eq!(shown(split(r#"a "b c" 'd"e' # f"#)), "<a><b c><d\"e>");
        assert_eq!(shown(split(r"a\ b c\d \\ x#y")), r"<a b><c\d><\><x#y>");
        assert_eq!(shown(split(r#"a"b"c"#)), "<abc>");
        assert_eq!(shown(split(r#""" x"#)), "<><x>");
        assert_eq!(shown(split("\"a")), "none");
    }

    #[test]
    fn criteria_are_split_at_equals_signs_too() {
        assert_eq!(shown(criteria("host=a,b user  c # d")), "<host><a,b><user><c>");
        assert_eq!(shown(criteria(r#"exec "test -f x=y" all"#)), "<exec><test -f x=y><all>");
        assert_eq!(shown(criteria("exec \"a")), "none");
    }
}
