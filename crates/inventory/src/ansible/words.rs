//! Splits a line into words as Python's `shlex.split` does with comments on, which is how Ansible reads the lines of hosts
//! and the arguments of `ssh`.

/// The words of a line; a text that says what is wrong otherwise. Quotes group, a backslash keeps the next character, and
/// `#` begins a comment even within a word.
pub(super) fn split(line: &str, comments: bool) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if comments => break,
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(OPEN)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(OPEN)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(OPEN)? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("a backslash ends the line")?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

const OPEN: &str = "a quote is not closed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_shlex() {
        for (line, words) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("a#b c", &["a"]),
            ("a '#' # b", &["a", "#"]),
            (r#"x="a 'b' \" \n" y='c "d" \n'"#, &[r#"x=a 'b' " \n"#, r#"y=c "d" \n"#]),
            (r"a\ b \#c", &["a b", "#c"]),
            ("'' x=''", &["", "x="]),
            ("a'b'\"c\"", &["abc"]),
        ] {
            assert_eq!(split(line, true).unwrap(), words, "{line}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(line, true).is_err(), "{line}");
        }
        assert_eq!(split("a#b", false).unwrap(), ["a#b"]);
    }
}
