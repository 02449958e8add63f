//! Tells what the shell on the node says about itself from the output of what it runs.

use bytes::{Bytes, BytesMut};

/// Begins a frame, before the token. No text has it.
const SIGN: u8 = 0x1e;

/// A piece of one output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What a step said.
    Output(Bytes),
    /// What the shell said.
    Frame(Vec<String>),
}

/// Takes one output apart. Frames may be split over reads.
#[derive(Debug)]
pub struct Frames {
    /// The sign, the token and a blank.
    begin: Vec<u8>,
    held: BytesMut,
}

impl Frames {
    /// For frames with this token.
    pub fn new(token: &str) -> Self {
        let mut begin = vec![SIGN];
        begin.extend_from_slice(token.as_bytes());
        begin.push(b' ');
        Frames { begin, held: BytesMut::new() }
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next piece, if one is there as a whole.
    pub fn pop(&mut self) -> Option<Piece> {
        let at = self.sign();
        if at > 0 {
            return Some(Piece::Output(self.held.split_to(at).freeze()));
        }
        let end = self.held.iter().position(|b| *b == b'\n')?;
        let frame = self.held.split_to(end + 1);
        let words = String::from_utf8_lossy(&frame[self.begin.len()..end]);
        Some(Piece::Frame(words.split(' ').map(str::to_owned).collect()))
    }

    /// What is left once nothing more comes.
    pub fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Where the next frame begins or may begin; the end where there is none.
    fn sign(&self) -> usize {
        let mut from = 0;
        while let Some(found) = self.held[from..].iter().position(|b| *b == SIGN) {
            let at = from + found;
            let rest = &self.held[at..];
            let length = rest.len().min(self.begin.len());
            if rest[..length] == self.begin[..length] {
                return at;
            }
            from = at + 1;
        }
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(frames: &mut Frames, bytes: &[u8], cut: usize) -> (Vec<u8>, Vec<Vec<String>>) {
        let (mut output, mut found) = (Vec::new(), Vec::new());
        for part in [&bytes[..cut], &bytes[cut..]] {
            frames.push(part);
            while let Some(piece) = frames.pop() {
                match piece {
                    Piece::Output(bytes) => output.extend_from_slice(&bytes),
                    Piece::Frame(words) => found.push(words),
                }
            }
        }
        output.extend_from_slice(&frames.rest());
        (output, found)
    }

    #[test]
    fn frames_are_found_wherever_reads_end() {
        let text = b"a\x1e\x1etok begin 3\nb\x1etok end 3 0\n\x1etokx\n\x1eto";
        for cut in 0..=text.len() {
            let (output, found) = all(&mut Frames::new("tok"), text, cut);
            assert_eq!(output, b"a\x1eb\x1etokx\n\x1eto");
            assert_eq!(found, [vec!["begin", "3"], vec!["end", "3", "0"]]);
        }
    }

    proptest! {
        #[test]
        fn output_without_frames_comes_through(bytes in prop::collection::vec(prop::sample::select(b"\x1etok \n".to_vec()), 0..40), cut in 0_usize..40) {
            prop_assume!(!bytes.windows(5).any(|w| w == b"\x1etok "));
            let cut = cut.min(bytes.len());
            let (output, found) = all(&mut Frames::new("tok"), &bytes, cut);
            prop_assert_eq!(output, bytes);
            prop_assert!(found.is_empty());
        }
    }
}
