//! The arguments of all processes of this machine.

use rt::task::Task;
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Looks at the arguments of all processes of this machine, which is the operator's and the nodes', until it is dropped.
#[derive(Debug)]
pub struct Arguments {
    looks: Arc<AtomicUsize>,
    found: Arc<Mutex<Vec<String>>>,
    _looking: Task<()>,
}

impl Arguments {
    /// Looks for command lines that must not be. Arguments are separated by zeros there.
    ///
    /// # Panics
    /// The task that looks does, where there is no `/proc`.
    pub fn watch(forbidden: impl Fn(&[u8]) -> bool + Send + 'static) -> Self {
        let (looks, found) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, told) = (looks.clone(), found.clone());
        let looking = rt::task::spawn("arguments", async move {
            loop {
                for entry in fs::read_dir("/proc").expect("/proc").flatten() {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if forbidden(&line) {
                        let line = String::from_utf8_lossy(&line).replace('\0', " ");
                        told.lock().expect("what was found").push(line);
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                rt::clock::sleep(Duration::from_millis(20)).await;
            }
        });
        Arguments { looks, found, _looking: looking }
    }

    /// How often it has looked.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    /// That it has looked, and found nothing.
    ///
    /// # Panics
    /// Where it has found something.
    #[track_caller]
    pub fn clean(&self) {
        assert_eq!(*self.found.lock().expect("what was found"), [""; 0]);
        assert!(self.looks() > 10, "it has looked only {} times", self.looks());
    }
}
