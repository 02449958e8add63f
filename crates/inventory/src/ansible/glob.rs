//! Shell patterns as Python's `fnmatch` has them: `*`, `?`, `[a-c]`, `[!a-c]`.

/// A pattern that is matched against whole names.
#[derive(Debug)]
pub(super) struct Glob(Vec<Token>);

#[derive(Debug)]
enum Token {
    Any,
    One,
    Char(char),
    /// One of these, or none of these.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let chars: Vec<char> = pattern.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            let token = match chars[at] {
                '*' => Token::Any,
                '?' => Token::One,
                '[' => match class_end(&chars, at + 1) {
                    Some(end) => {
                        let class = class(&chars[at + 1..end]);
                        at = end;
                        class
                    }
                    None => Token::Char('['),
                },
                c => Token::Char(c),
            };
            tokens.push(token);
            at += 1;
        }
        Glob(tokens)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        // The last star, and how far into the name it reaches.
        let mut star: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(one) if one.takes(name[at]) => {
                    token += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let Some((back, reach)) = star else { return false };
            star = Some((back, reach + 1));
            token = back + 1;
            at = reach + 1;
        }
        self.0[token..].iter().all(|t| matches!(t, Token::Any))
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Char(own) => *own == c,
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated
            }
        }
    }
}

/// The bracket that closes a class; one that comes first is a member.
fn class_end(chars: &[char], begin: usize) -> Option<usize> {
    let mut first = begin;
    first += usize::from(chars.get(first) == Some(&'!'));
    first += usize::from(chars.get(first) == Some(&']'));
    (first..chars.len()).find(|at| chars[*at] == ']')
}

fn class(chars: &[char]) -> Token {
    let (negated, mut rest) = match chars {
        ['!', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [from, '-', to, rest @ ..] => {
                ranges.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
            [] => return Token::Class { negated, ranges },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, name, fits) in [
            ("web*", "web", true),
            ("web*", "aweb", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("w?b", "wéb", true),
            ("w[a-e]b", "web", true),
            ("w[!a-e]b", "web", false),
            ("w[]e]b", "web", true),
            ("w[!]e]b", "web", false),
            ("w[e", "w[e", true),
            ("w[e-a]b", "web", false),
            ("w[!e-a]b", "web", true),
            ("w[a-]b", "w-b", true),
            ("w[a-c-e]b", "wdb", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} on {name}");
        }
    }
}
