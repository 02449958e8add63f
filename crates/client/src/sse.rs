//! The `text/event-stream` format (WHATWG HTML, 9.2.6), as bytes arrive.

use base::{Code, Error, Result};

/// No event of ours is longer.
const LONGEST: usize = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    /// Bytes of the buffer known to hold no line end.
    searched: usize,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes what has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() + self.event.data.len() > LONGEST {
            return Err(Error::new(Code::TooLarge, "the server sent an event that is too long"));
        }
        Ok(())
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Option<Event> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.has_data) {
                    return Some(event);
                }
                continue;
            }
            self.field(&line);
        }
        None
    }

    /// A line ends with LF, CR or both. A CR at the end of what we have waits for what follows it.
    fn line(&mut self) -> Option<String> {
        let found = self.buffer[self.searched..].iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some(end) = found.map(|n| n + self.searched) else {
            self.searched = self.buffer.len();
            return None;
        };
        let next = match (self.buffer[end], self.buffer.get(end + 1)) {
            (b'\r', None) => {
                self.searched = end;
                return None;
            }
            (b'\r', Some(b'\n')) => end + 2,
            _ => end + 1,
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..next);
        self.searched = 0;
        Some(line)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.name),
            _ => {} // comments (an empty name), `retry`, and what is not known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(chunks: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            parser.push(chunk).unwrap();
            while let Some(event) = parser.next() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_have_ids_names_and_lines() {
        let text = ": hello\n\nid: 1-2\nevent: vm\ndata: {\ndata: }\n\nretry: 5\n\ndata\n\nid: lost";
        let events = parse(&[text.as_bytes()]);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0], Event { id: Some("1-2".into()), name: "vm".into(), data: "{\n}".into() });
        assert_eq!(events[1], Event { id: None, name: String::new(), data: String::new() });
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let text = b"id: 1-1\r\nevent: vm\r\ndata: a\xc3\xa4\r\n\r\nid: 1-2\rdata: b\r\rdata: c\n\nx";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[text]));
        }
    }
}
