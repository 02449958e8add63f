//! How a run is told to end.

use rt::task::CancellationToken;

/// Tells a run to end: gently, then at once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Interrupt {
    /// Nobody has interrupted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new node starts; what runs goes on to its end. The second time it is cut off.
    pub fn press(&self) {
        if self.stop.is_cancelled() {
            self.cut.cancel();
        }
        self.stop.cancel();
    }

    /// Whether no new node starts.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for the first press.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits for the second press.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }
}
