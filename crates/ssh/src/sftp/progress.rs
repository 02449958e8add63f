//! What a copy has done so far.

use super::Copied;
use parking_lot::Mutex;

/// Counts, and tells the caller. Shared by the files that are copied at the same time.
pub(super) struct Tally<'a>(Mutex<Inner<'a>>);

struct Inner<'a> {
    copied: Copied,
    total: u64,
    tell: Box<dyn FnMut(u64, u64) + Send + 'a>,
}

impl<'a> Tally<'a> {
    /// Tells at once that nothing of `total` bytes is done.
    pub(super) fn new(total: u64, skipped: Vec<String>, mut tell: impl FnMut(u64, u64) + Send + 'a) -> Self {
        tell(0, total);
        let copied = Copied { skipped, ..Copied::default() };
        Tally(Mutex::new(Inner { copied, total, tell: Box::new(tell) }))
    }

    pub(super) fn bytes(&self, n: u64) {
        let inner = &mut *self.0.lock();
        inner.copied.bytes += n;
        // A file may have grown since its size was read.
        (inner.tell)(inner.copied.bytes, inner.total.max(inner.copied.bytes));
    }

    pub(super) fn file(&self) {
        self.0.lock().copied.files += 1;
    }

    pub(super) fn directory(&self) {
        self.0.lock().copied.directories += 1;
    }

    pub(super) fn link(&self) {
        self.0.lock().copied.links += 1;
    }

    pub(super) fn finish(self) -> Copied {
        self.0.into_inner().copied
    }
}
