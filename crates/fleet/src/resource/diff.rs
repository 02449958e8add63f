//! Differences of texts in the form of POSIX `diff` without options: `2c2`, `< old`, `---`, `> new`.

use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// Beyond this many lines a text is not compared line by line.
const MOST_LINES: usize = 20_000;

/// The lines of the difference; none where the two are the same.
pub fn texts(old: &[u8], new: &[u8]) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    match (std::str::from_utf8(old), std::str::from_utf8(new)) {
        (Ok(a), Ok(b)) if !a.contains('\0') && !b.contains('\0') => lines(a, b),
        _ => sizes("binary", old.len(), new.len()),
    }
}

/// Says only how long both are.
pub fn sizes(what: &str, old: usize, new: usize) -> Vec<String> {
    vec![format!("< ({what}, {old} bytes)"), format!("> ({what}, {new} bytes)")]
}

fn lines(old: &str, new: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    if a.len().max(b.len()) > MOST_LINES {
        return sizes("too long to compare", old.len(), new.len());
    }
    let mut out = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        let (tag, from, to) = op.as_tag_tuple();
        match tag {
            DiffTag::Equal => continue,
            DiffTag::Delete => out.push(format!("{}d{}", range(&from), to.start)),
            DiffTag::Insert => out.push(format!("{}a{}", from.start, range(&to))),
            DiffTag::Replace => out.push(format!("{}c{}", range(&from), range(&to))),
        }
        marked('<', &a[from], &mut out);
        if tag == DiffTag::Replace {
            out.push("---".into());
        }
        marked('>', &b[to], &mut out);
    }
    out
}

/// Line numbers begin with 1, and one line is not a range.
fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 | 1 => lines.end.to_string(),
        _ => format!("{},{}", lines.start + 1, lines.end),
    }
}

fn marked(mark: char, lines: &[&str], out: &mut Vec<String>) {
    for line in lines {
        let text = line.strip_suffix('\n');
        out.push(format!("{mark} {}", text.unwrap_or(line)));
        if text.is_none() {
            out.push("\\ No newline at end of file".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_text_has_no_difference() {
        assert!(texts(b"a\nb\n", b"a\nb\n").is_empty());
    }

    #[test]
    fn lines_are_counted_and_marked_as_diff_does() {
        assert_eq!(texts(b"a\nb\nc\n", b"a\nB\nc\n"), ["2c2", "< b", "---", "> B"]);
        assert_eq!(texts(b"", b"a\nb\n"), ["0a1,2", "> a", "> b"]);
        assert_eq!(texts(b"a\nb\n", b"b\n"), ["1d0", "< a"]);
        let end = "\\ No newline at end of file";
        assert_eq!(texts(b"a", b"a\n"), ["1c1", "< a", end, "---", "> a"]);
    }

    #[test]
    fn binary_content_is_not_shown() {
        assert_eq!(texts(b"\0", b"a\n"), ["< (binary, 1 bytes)", "> (binary, 2 bytes)"]);
    }

    /// What `diff` of this machine prints, where there is one.
    fn system_diff(old: &str, new: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, old).unwrap();
        std::fs::write(&b, new).unwrap();
        #[allow(clippy::disallowed_methods)] // a test asks another program
        let output = std::process::Command::new("diff").arg(&a).arg(&b).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn patches_lead_from_old_to_new(old in "([ab]\n){0,8}[ab]?", new in "([ab]\n){0,8}[ab]?") {
            let ours = texts(old.as_bytes(), new.as_bytes());
            let theirs = system_diff(&old, &new);
            // Two differences of the same length are equally good, so only what they lead to is compared.
            prop_assert_eq!(ours.is_empty(), theirs.is_empty());
            prop_assert_eq!(patched(&old, &ours), new.clone());
            prop_assert_eq!(patched(&old, &theirs), new);
        }
    }

    /// Applies a difference to a text.
    fn patched(old: &str, diff: &[String]) -> String {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let (mut out, mut at) = (String::new(), 0);
        let mut lines = diff.iter().peekable();
        while let Some(command) = lines.next() {
            let verb = command.find(['a', 'c', 'd']).unwrap();
            let first: usize = command[..verb].split(',').next().unwrap().parse().unwrap();
            let last: usize = command[..verb].split(',').next_back().unwrap().parse().unwrap();
            let (keep, skip) = match &command[verb..=verb] {
                "a" => (first, first),
                _ => (first - 1, last),
            };
            out.extend(old[at..keep].iter().copied());
            at = skip;
            let mut side = '<';
            while let Some(line) = lines.next_if(|l| l.starts_with(['<', '>', '-', '\\'])) {
                match line.chars().next().unwrap() {
                    '\\' if side == '>' => drop(out.pop()),
                    '>' => {
                        side = '>';
                        out.push_str(&line[2..]);
                        out.push('\n');
                    }
                    c => side = c,
                }
            }
        }
        out.extend(old[at..].iter().copied());
        out
    }
}
