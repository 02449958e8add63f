//! Lists of algorithms: a new one, or a change to the usual one (`+`, `-`, `^`).

use super::pattern;

/// A list as ssh_config(5) has it for `Ciphers` and its like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlgorithmList {
    change: Change,
    patterns: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Change {
    Replace,
    Append,
    Remove,
    First,
}

impl AlgorithmList {
    /// Reads a list with commas.
    pub fn new(text: &str) -> Self {
        let (change, rest) = match text.chars().next() {
            Some('+') => (Change::Append, &text[1..]),
            Some('-') => (Change::Remove, &text[1..]),
            Some('^') => (Change::First, &text[1..]),
            _ => (Change::Replace, text),
        };
        AlgorithmList { change, patterns: rest.split(',').map(str::to_owned).collect() }
    }

    /// The algorithms that count, in order, where `usual` are the default and `known` all that could be used.
    pub fn apply<'a>(&self, usual: &[&'a str], known: &[&'a str]) -> Vec<&'a str> {
        let named = || {
            let of =
                |pattern: &String| known.iter().filter(|k| pattern::matches(pattern, k)).collect::<Vec<_>>();
            self.patterns.iter().flat_map(of).copied()
        };
        let usual = || usual.iter().copied();
        let removed = |name: &&str| self.patterns.iter().any(|p| pattern::matches(p, name));
        let all: Vec<&str> = match self.change {
            Change::Replace => named().collect(),
            Change::Append => usual().chain(named()).collect(),
            Change::Remove => usual().filter(|name| !removed(name)).collect(),
            Change::First => named().chain(usual()).collect(),
        };
        let mut once = Vec::with_capacity(all.len());
        for name in all {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_replace_append_remove_and_lead() {
        let (usual, known) = (["a", "b", "c"], ["a", "b", "c", "x1", "x2"]);
        let of = |text| AlgorithmList::new(text).apply(&usual, &known).join(",");
        assert_eq!(of("c,x1,unknown"), "c,x1");
        assert_eq!(of("+x*,a"), "a,b,c,x1,x2");
        assert_eq!(of("-a,c"), "b");
        assert_eq!(of("^x2,c"), "x2,c,a,b");
        assert_eq!(of("unknown"), "");
    }
}
