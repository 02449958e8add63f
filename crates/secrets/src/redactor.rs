//! Replaces secret values in output, also where one is split over several reads.

use base::Secret;
use std::sync::Arc;

/// What stands in the place of a secret.
const MASK: &[u8] = b"********";
/// Shorter values are not looked for: they would make output unreadable and hide nothing.
const SHORTEST: usize = 4;

/// The values to hide. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<Vec<Vec<u8>>>);

impl Redactor {
    /// Hides these values. Of a value with several lines each line is hidden too. Values under four bytes are left alone.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut values: Vec<Vec<u8>> = secrets.into_iter().flat_map(|s| forms(s.expose_secret())).collect();
        // The longest first, so that a part never unhides the rest of a whole.
        values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Redactor(Arc::new(values))
    }

    /// A stream to hide them in.
    pub fn stream(&self) -> Redacted {
        Redacted { redactor: self.clone(), held: Vec::new() }
    }

    /// A whole text without them.
    pub fn text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut out = stream.push(text.as_bytes());
        out.extend(stream.finish());
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let whole = std::iter::once(secret.trim_end_matches('\n'));
    whole.chain(secret.lines()).filter(|v| v.len() >= SHORTEST).map(|v| v.as_bytes().to_vec()).collect()
}

/// One output on its way.
#[derive(Debug)]
pub struct Redacted {
    redactor: Redactor,
    /// The end of what came, which may be the start of a secret.
    held: Vec<u8>,
}

impl Redacted {
    /// Takes what was read, and gives what may be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            match self.look(&self.held[at..]) {
                Found::Whole(length) => {
                    out.extend_from_slice(MASK);
                    at += length;
                }
                Found::Perhaps => break,
                Found::Nothing => {
                    out.push(self.held[at]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        out
    }

    /// The rest, once nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(held.len());
        let mut at = 0;
        while at < held.len() {
            let whole = self.redactor.0.iter().find(|value| held[at..].starts_with(value));
            if let Some(value) = whole {
                out.extend_from_slice(MASK);
                at += value.len();
            } else {
                out.push(held[at]);
                at += 1;
            }
        }
        out
    }

    fn look(&self, rest: &[u8]) -> Found {
        for value in self.redactor.0.iter() {
            if rest.starts_with(value) {
                return Found::Whole(value.len());
            }
            // A longer one may still come: wait for it before a shorter one is taken.
            if value.starts_with(rest) {
                return Found::Perhaps;
            }
        }
        Found::Nothing
    }
}

enum Found {
    Whole(usize),
    Perhaps,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_split_over_reads_is_hidden() {
        let secret = Secret::new("hunter2-long");
        let redactor = Redactor::new([&secret]);
        for cut in 0..=secret.expose_secret().len() {
            let (a, b) = secret.expose_secret().split_at(cut);
            let mut stream = redactor.stream();
            let mut out = stream.push(format!("x{a}").as_bytes());
            out.extend(stream.push(format!("{b}y").as_bytes()));
            out.extend(stream.finish());
            assert_eq!(String::from_utf8(out).unwrap(), "x********y");
        }
    }

    #[test]
    fn each_line_of_a_key_is_hidden() {
        let redactor = Redactor::new([&Secret::new("first line\nsecond line\n")]);
        assert_eq!(redactor.text("a second line b"), "a ******** b");
    }

    #[test]
    fn a_prefix_at_the_end_is_shown() {
        let redactor = Redactor::new([&Secret::new("abcdef")]);
        assert_eq!(redactor.text("xabc"), "xabc");
    }
}
