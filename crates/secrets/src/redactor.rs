//! Replaces secret values in output, also where one is split over several reads.

use crate::forms::forms;
use aho_corasick::{
    Anchored,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};
use base::{Error, Result, Secret};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
    ops::Range,
    sync::Arc,
};

/// What stands in the place of a secret.
const MASK: &[u8] = b"********";

/// The values to hide. Cheap to clone. The default hides nothing.
///
/// Every byte that belongs to an occurrence of a value is hidden, and no other: occurrences may overlap. Each run of
/// such bytes becomes one mask. Besides the value itself its lines and its usual encodings are hidden (JSON, URL, shell
/// quotes, base64). Values under four bytes are left alone, since hiding them would make output unreadable.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Search>>);

struct Search {
    automaton: NFA,
    start: StateID,
    /// How many bytes a state has seen of what may become a value.
    depths: HashMap<StateID, usize>,
}

impl Redactor {
    /// Hides these values.
    ///
    /// # Errors
    /// There is more to hide than a search can hold (some hundred megabytes).
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Result<Self> {
        let values: BTreeSet<String> = secrets.into_iter().flat_map(|s| forms(s.expose_secret())).collect();
        if values.is_empty() {
            return Ok(Redactor(None));
        }
        Search::new(&values).map(|search| Redactor(Some(Arc::new(search))))
    }

    /// A stream to hide them in.
    pub fn stream(&self) -> Redacted {
        let state = self.0.as_ref().map_or(StateID::ZERO, |search| search.start);
        Redacted { search: self.0.clone(), state, held: Vec::new(), hidden: Vec::new(), masking: false }
    }

    /// A whole text without them.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Whole bytes without them.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut stream = self.stream();
        let first = stream.push(bytes);
        let rest = stream.finish();
        match first {
            Cow::Borrowed(shown) if shown.len() == bytes.len() => first,
            // What was held back at the end is not hidden: all is as it came.
            Cow::Borrowed(shown) if bytes[shown.len()..] == rest => Cow::Borrowed(bytes),
            _ => Cow::Owned([&first, rest.as_slice()].concat()),
        }
    }

    /// An error without them.
    #[must_use]
    pub fn error(&self, error: Error) -> Error {
        let clean = |text: String| match self.text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean,
        };
        Error {
            code: error.code,
            message: clean(error.message),
            field: error.field.map(clean),
            cause: error.cause.map(clean),
            hint: error.hint.map(clean),
        }
    }

    /// The texts in a value without them, names of fields included.
    #[must_use]
    pub fn json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => self.text(&text).into_owned().into(),
            Value::Number(number) => match self.text(&number.to_string()) {
                Cow::Borrowed(_) => Value::Number(number),
                Cow::Owned(clean) => clean.into(),
            },
            Value::Array(values) => values.into_iter().map(|v| self.json(v)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, v)| (self.text(&name).into_owned(), self.json(v))).collect()
            }
            other => other,
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Search {
    fn new(values: &BTreeSet<String>) -> Result<Self> {
        let wrong = |e: &dyn fmt::Display| {
            Error::new(base::Code::TooLarge, "there are too many secrets to hide").because(e)
        };
        let automaton = NFA::new(values).map_err(|e| wrong(&e))?;
        let start = automaton.start_state(Anchored::No).map_err(|e| wrong(&e))?;
        let mut depths = HashMap::new();
        for value in values {
            let mut state = start;
            for (i, byte) in value.bytes().enumerate() {
                state = automaton.next_state(Anchored::No, state, byte);
                depths.insert(state, i + 1);
            }
        }
        Ok(Search { automaton, start, depths })
    }

    /// The length of the longest value that ends here, 0 where none does.
    fn ending(&self, state: StateID) -> usize {
        if !self.automaton.is_match(state) {
            return 0;
        }
        let values = (0..self.automaton.match_len(state)).map(|i| self.automaton.match_pattern(state, i));
        values.map(|v| self.automaton.pattern_len(v)).max().unwrap_or(0)
    }
}

/// One output on its way. It holds back only what may be the start of a secret: less than 256 bytes.
pub struct Redacted {
    search: Option<Arc<Search>>,
    state: StateID,
    /// The end of what came, which may be the start of a secret.
    held: Vec<u8>,
    /// What of it is to be hidden in any case: apart, in order.
    hidden: Vec<Range<usize>>,
    /// Whether what was given last was a mask, which then stands for what follows it immediately as well.
    masking: bool,
}

impl Redacted {
    /// Takes what was read, and gives what may be shown now. What cannot be part of a secret is not copied.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(search) = self.search.clone() else { return Cow::Borrowed(bytes) };
        let before = self.held.len();
        for (i, byte) in bytes.iter().enumerate() {
            self.state = search.automaton.next_state(Anchored::No, self.state, *byte);
            let length = search.ending(self.state);
            if length > 0 {
                let end = before + i + 1;
                // What it reaches back to behind `held` was hidden with the value that it overlaps.
                hide(&mut self.hidden, end.saturating_sub(length)..end);
            }
        }
        let open = search.depths.get(&self.state).copied().unwrap_or(0);
        let mut sure = before + bytes.len() - open.min(before + bytes.len());
        // Bytes that are hidden already need not wait for what they may be the start of.
        if let Some(run) = self.hidden.iter().find(|run| run.contains(&sure)) {
            sure = run.end;
        }
        if before == 0 && self.hidden.first().is_none_or(|run| run.start >= sure) {
            self.masking &= sure == 0;
            self.held.extend_from_slice(&bytes[sure..]);
            self.forget(sure);
            return Cow::Borrowed(&bytes[..sure]);
        }
        self.held.extend_from_slice(bytes);
        Cow::Owned(self.take(sure))
    }

    /// The rest, once nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        if let Some(search) = &self.search {
            self.state = search.start;
        }
        self.take(self.held.len())
    }

    /// The first of what is held, masked.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        let mut at = 0;
        for run in self.hidden.iter().take_while(|run| run.start < length) {
            out.extend_from_slice(&self.held[at..run.start]);
            if !(self.masking && run.start == 0) {
                out.extend_from_slice(MASK);
            }
            at = run.end;
        }
        out.extend_from_slice(&self.held[at..length]);
        if length > 0 {
            self.masking = at == length;
        }
        self.held.drain(..length);
        self.forget(length);
        out
    }

    /// Moves what is hidden to the front, without what was given away.
    fn forget(&mut self, length: usize) {
        self.hidden.retain(|run| run.start >= length);
        for run in &mut self.hidden {
            *run = run.start - length..run.end - length;
        }
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redacted")
    }
}

/// Adds a run that ends behind all others; runs that touch become one.
fn hide(hidden: &mut Vec<Range<usize>>, mut run: Range<usize>) {
    while let Some(last) = hidden.pop_if(|last| last.end >= run.start) {
        run.start = run.start.min(last.start);
    }
    hidden.push(run);
}

#[cfg(test)]
mod tests;
