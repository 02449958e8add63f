//! A chapter of a tutorial: what is typed, and what is printed then.

/// Some lines to type, and what they print.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is typed, several commands sometimes.
    pub lines: String,
    /// What is printed, as the chapter says.
    pub printed: Vec<String>,
}

/// The entries of all `bash` blocks.
///
/// What is printed stands in comments: after `# =>`, or straight below a command. Other comments, those before a command,
/// are for the reader. Nothing in a here-document is a comment.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "```bash" {
            entries.extend(of_block(lines.by_ref().take_while(|l| *l != "```")));
        }
    }
    entries
}

fn of_block<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Entry> {
    #[derive(PartialEq)]
    enum After {
        Nothing,
        Command,
        Output,
        Here,
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut after = After::Nothing;
    for line in lines {
        let comment = line.trim_start().strip_prefix('#').filter(|_| after != After::Here);
        let arrow = comment.and_then(|c| c.strip_prefix(" =>"));
        match (comment, arrow, entries.last_mut()) {
            (_, Some(rest), Some(last)) => {
                last.printed.extend(Some(rest.trim()).filter(|r| !r.is_empty()).map(ToOwned::to_owned));
                after = After::Output;
            }
            (Some(text), None, Some(last)) if matches!(after, After::Output | After::Command) => {
                last.printed.push(text.strip_prefix(' ').unwrap_or(text).trim_end().to_owned());
                after = After::Output;
            }
            (Some(_), ..) => {}
            (None, ..) if line.is_empty() && after != After::Here => after = After::Nothing,
            (None, _, last) => {
                match last {
                    Some(last) if last.printed.is_empty() && after != After::Output => {
                        last.lines.push_str(line);
                        last.lines.push('\n');
                    }
                    _ => entries.push(Entry { lines: format!("{line}\n"), printed: Vec::new() }),
                }
                let here = if after == After::Here {
                    line != "EOF"
                } else {
                    line.contains("<<EOF") || line.contains("<<'EOF'")
                };
                after = if here { After::Here } else { After::Command };
            }
        }
    }
    entries
}
