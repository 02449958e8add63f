//! Help for those who mistype.

use base::Error;

/// What to say about a word that is not known: the one that was meant perhaps, else a few of those there are.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let best = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), *k))
        .min()?;
    if best.0 <= 1 + word.chars().count() / 4 {
        return Some(format!("did you mean '{}'?", best.1));
    }
    let few: Vec<&str> = known.iter().take(10).copied().collect();
    let more = if known.len() > few.len() { ", ..." } else { "" };
    Some(format!("known are {}{more}", few.join(", ")))
}

/// The error for a word that is not known, with what to say about it.
pub fn hinted<'a>(error: Error, word: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    match nearest(word, known) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_understood_and_nonsense_gets_a_list() {
        assert_eq!(nearest("wbe1", ["web1", "db"]).unwrap(), "did you mean 'web1'?");
        assert_eq!(nearest("Platform", ["platforms", "ssh"]).unwrap(), "did you mean 'platforms'?");
        assert_eq!(nearest("x", ["web1", "db"]).unwrap(), "known are web1, db");
        assert_eq!(nearest("x", []), None);
    }
}
