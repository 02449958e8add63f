//! A log of bounded size that is read by offset.

use crate::runtimes::LogChunk;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A log in parts of at most `part` bytes, of which the two newest are kept. Each part is a file
/// `NAME.OFFSET.log`, where the offset is that of its first byte in the whole log: a reader needs no other state,
/// and offsets stay true while old parts go.
#[derive(Debug)]
pub struct BoundedLog {
    dir: PathBuf,
    name: String,
    part: u64,
    file: File,
    start: u64,
    length: u64,
}

impl BoundedLog {
    /// Opens a log for appending where it ended, or begins it.
    pub fn open(dir: &Path, name: &str, part: u64) -> io::Result<Self> {
        let start = parts(dir, name)?.pop().unwrap_or(0);
        let file = open_part(dir, name, start)?;
        let length = file.metadata()?.len();
        Ok(BoundedLog { dir: dir.to_owned(), name: name.to_owned(), part, file, start, length })
    }

    /// Adds bytes. The parts may exceed their size by one call's worth of bytes.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length >= self.part {
            self.rotate()?;
        }
        let written = self.file.write_all(bytes);
        // A full disk may have taken a part of it: offsets must stay true.
        self.length = match written {
            Ok(()) => self.length + bytes.len() as u64,
            Err(_) => self.file.metadata()?.len(),
        };
        written
    }

    /// Reads from an offset, at most `limit` bytes. A log that does not exist is empty.
    pub fn read(dir: &Path, name: &str, from: u64, limit: usize) -> io::Result<LogChunk> {
        let starts = parts(dir, name)?;
        let Some(&first) = starts.first() else { return Ok(LogChunk::default()) };
        let mut chunk = LogChunk { offset: from.max(first), bytes: Vec::new(), end: first };
        for start in starts {
            let mut file = match File::open(part_path(dir, name, start)) {
                Ok(file) => file,
                // Dropped since we looked: what comes next is the oldest now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            chunk.end = start + file.metadata()?.len();
            let next = chunk.offset + chunk.bytes.len() as u64;
            let want = limit.saturating_sub(chunk.bytes.len()) as u64;
            if next >= chunk.end || want == 0 {
                continue;
            }
            if next < start {
                chunk = LogChunk { offset: start, bytes: Vec::new(), end: chunk.end };
            }
            file.seek(SeekFrom::Start(next.max(start) - start))?;
            file.take(want).read_to_end(&mut chunk.bytes)?;
        }
        let next = chunk.offset + chunk.bytes.len() as u64;
        if chunk.bytes.is_empty() {
            chunk.offset = chunk.offset.min(chunk.end);
        } else {
            chunk.end = chunk.end.max(next); // it may have grown while we read
        }
        Ok(chunk)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let start = self.start + self.length;
        self.file = open_part(&self.dir, &self.name, start)?;
        let old = std::mem::replace(&mut self.start, start);
        self.length = 0;
        for part in parts(&self.dir, &self.name)?.into_iter().filter(|p| *p < old) {
            fs::remove_file(part_path(&self.dir, &self.name, part))?;
        }
        Ok(())
    }
}

fn part_path(dir: &Path, name: &str, start: u64) -> PathBuf {
    dir.join(format!("{name}.{start}.log"))
}

fn open_part(dir: &Path, name: &str, start: u64) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(part_path(dir, name, start))
}

/// The offsets at which the parts of a log start, in order.
fn parts(dir: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.file_name();
        let start: Option<u64> = file
            .to_str()
            .and_then(|f| f.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".log")?.parse().ok());
        starts.extend(start);
    }
    starts.sort_unstable();
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(BoundedLog::read(dir.path(), "x", 7, 10).unwrap(), LogChunk::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Reading on from each chunk's end gives the tail of what was written, and the size stays bounded.
        #[test]
        fn what_is_read_is_what_was_written(
            writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
            limit in 1_usize..50,
            from in 0_u64..600,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut whole = Vec::new();
            for bytes in &writes {
                // Opened anew each time, as by the shim of each start.
                BoundedLog::open(dir.path(), "x", 64).unwrap().append(bytes).unwrap();
                whole.extend_from_slice(bytes);
            }
            let on_disk: u64 =
                fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
            prop_assert!(on_disk <= 2 * (64 + 40));

            let mut at = from;
            loop {
                let chunk = BoundedLog::read(dir.path(), "x", at, limit).unwrap();
                prop_assert_eq!(chunk.end, whole.len() as u64);
                let start = usize::try_from(chunk.offset).unwrap();
                prop_assert_eq!(&chunk.bytes[..], &whole[start..start + chunk.bytes.len()]);
                prop_assert!(chunk.bytes.len() <= limit);
                at = chunk.offset + chunk.bytes.len() as u64;
                if chunk.bytes.is_empty() {
                    prop_assert_eq!(at, chunk.end);
                    break;
                }
            }
        }
    }
}
