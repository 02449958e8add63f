//! What this host is and has, and what is wrong with it.

use super::AgentOptions;
use crate::runtimes::{Capabilities, Runtime};
use api::{
    meta::Condition,
    worker::{Amounts, HostFacts, RuntimeFacts},
};
use base::{ByteSize, Error, Result};
use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc};

/// Less free space than this is said.
const LOW_DISK: u64 = 1 << 30;

/// The host as it was last looked at.
pub struct Facts {
    options: AgentOptions,
    host: HostFacts,
    /// One for each runtime: why it cannot run anything.
    failures: Vec<Option<Error>>,
    conditions: Vec<Condition>,
}

impl Facts {
    /// What is known without a look at the runtimes.
    pub async fn new(options: AgentOptions, runtimes: &[Arc<dyn Runtime>]) -> Result<Self> {
        let capacity = capacity(&options)?;
        let reserve = reserve(&options, &capacity).await?;
        let os = rt::host::os().to_owned();
        let host = HostFacts {
            arch: options.arch.clone().unwrap_or_else(|| rt::host::arch().into()),
            macos_guests: if os == "macos" { 2 } else { 0 }, // Apple's licence
            os,
            hostname: rt::host::hostname(),
            boot_id: rt::host::boot_id(),
            version: options.version.clone(),
            capacity,
            reserve,
            labels: options.labels.clone(),
            runtimes: Vec::new(),
            capabilities: Vec::new(),
        };
        let failures = runtimes.iter().map(|r| Some(Error::unavailable(r.name()))).collect();
        Ok(Facts { options, host, failures, conditions: Vec::new() })
    }

    /// The host.
    pub fn host(&self) -> HostFacts {
        self.host.clone()
    }

    /// What is wrong with it; `Healthy` is always there.
    pub fn conditions(&self) -> Vec<Condition> {
        self.conditions.clone()
    }

    /// Looks at it, now and again: a missing program may have been installed, a disk filled.
    pub async fn look(&mut self, runtimes: &[Arc<dyn Runtime>]) {
        if self.failures.iter().any(Option::is_some) {
            self.probe(runtimes).await;
        }
        let (healthy, reason, message) = self.health();
        let same = self.conditions.iter().find(|c| (c.status, &c.reason) == (healthy, &reason));
        let since = same.map_or_else(rt::clock::wall, |c| c.since);
        self.conditions = vec![Condition { kind: "Healthy".into(), status: healthy, reason, message, since }];
    }

    /// Proves those runtimes that are not proven yet.
    async fn probe(&mut self, runtimes: &[Arc<dyn Runtime>]) {
        for (runtime, failure) in runtimes.iter().zip(&mut self.failures) {
            if failure.is_none() {
                continue;
            }
            *failure = match runtime.probe().await {
                Ok(found) => {
                    let mut facts = runtime_facts(runtime.name(), &found);
                    facts.arches = self.options.arch.clone().map_or(facts.arches, |claimed| vec![claimed]);
                    self.host.runtimes.push(facts);
                    None
                }
                Err(e) => {
                    let hint = e.hint.as_deref().unwrap_or_default();
                    tracing::warn!(runtime = runtime.name(), error = %e, hint, "a runtime cannot be used");
                    Some(e)
                }
            };
        }
    }

    fn health(&self) -> (bool, String, String) {
        if let Some(failure) = self.failures.iter().flatten().next() {
            return (false, "RuntimeUnusable".into(), super::describe::with_hint(failure));
        }
        let free = self.options.state_dir.as_deref().and_then(|d| rt::files::disk_space(d).ok());
        match free {
            Some((free, _)) if free < LOW_DISK => {
                let message = format!("only {} are free in the worker's state directory", ByteSize(free));
                (false, "DiskLow".into(), message)
            }
            _ => (true, "Ok".into(), String::new()),
        }
    }
}

fn runtime_facts(name: &str, found: &Capabilities) -> RuntimeFacts {
    let best = found.arches.first();
    let of =
        |what: fn(&crate::runtimes::ArchCapability) -> &String| best.map(what).cloned().unwrap_or_default();
    RuntimeFacts {
        name: name.to_owned(),
        version: of(|a| &a.version),
        arches: found.arches.iter().map(|a| a.arch.clone()).collect(),
        acceleration: of(|a| &a.acceleration),
        message: of(|a| &a.message),
        memory_overhead: found.memory_overhead,
    }
}

fn capacity(options: &AgentOptions) -> Result<Amounts> {
    let mut capacity = match (&options.capacity, &options.state_dir) {
        (Some(given), _) => given.clone(),
        (None, dir) => Amounts {
            cpu_milli: u64::from(rt::host::cpus()) * 1000,
            memory: ByteSize(rt::host::memory()),
            disk: dir.as_deref().map(disk_size).transpose()?.unwrap_or_default(),
            named: options.resources.clone(),
        },
    };
    capacity.named.extend(options.resources.clone());
    Ok(capacity)
}

fn disk_size(dir: &Path) -> Result<ByteSize> {
    rt::files::disk_space(dir).map(|(_, size)| ByteSize(size))
}

/// What is kept back for the host; see [`Reserve`](super::Reserve).
async fn reserve(options: &AgentOptions, capacity: &Amounts) -> Result<Amounts> {
    let asked = options.reserve;
    let (mut memory, mut disk, mut others) = (0, 0, 0);
    if options.capacity.is_none() {
        (memory, disk) = shares(capacity);
        if let Some(dir) = options.state_dir.clone() {
            others = rt::task::blocking(move || used_by_others(&dir)).await??;
        }
    }
    let memory = asked.memory.map_or(memory, ByteSize::bytes);
    let disk = asked.disk.map_or(disk, ByteSize::bytes).saturating_add(others);
    Ok(Amounts {
        cpu_milli: asked.cpu_milli.unwrap_or(0),
        memory: ByteSize(memory.min(capacity.memory.bytes())),
        disk: ByteSize(disk.min(capacity.disk.bytes())),
        named: std::collections::BTreeMap::new(),
    })
}

/// Bytes of memory and disk that a host keeps of what it has, where nobody chose.
fn shares(capacity: &Amounts) -> (u64, u64) {
    let share = |size: ByteSize, least: u64, most: u64| (size.bytes() / 20).clamp(least, most);
    (share(capacity.memory, 512 << 20, u64::MAX), share(capacity.disk, 1 << 30, 4 << 30))
}

/// Bytes of the file system that are neither free nor ours.
fn used_by_others(dir: &Path) -> Result<u64> {
    let (free, size) = rt::files::disk_space(dir)?;
    Ok(size.saturating_sub(free).saturating_sub(used_below(dir)))
}

/// Bytes that a directory takes up on the disk. What cannot be read counts nothing.
fn used_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() => used_below(&entry.path()),
        Ok(m) => m.blocks() * 512, // st_blocks counts 512 bytes, whatever the file system's own block is
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(memory: ByteSize, disk: ByteSize) -> Amounts {
        Amounts { memory, disk, ..Amounts::default() }
    }

    #[test]
    fn the_share_of_the_host_has_bounds() {
        let kept = |memory, disk| shares(&amounts(ByteSize::gib(memory), ByteSize::gib(disk)));
        assert_eq!(kept(4, 10), (512 << 20, 1 << 30));
        assert_eq!(kept(40, 40), (2 << 30, 2 << 30));
        assert_eq!(kept(400, 4000), (20 << 30, 4 << 30));
    }

    #[tokio::test]
    async fn nothing_of_a_given_capacity_is_kept_but_what_was_asked_for() {
        let given = amounts(ByteSize::gib(8), ByteSize::gib(100));
        let mut options = AgentOptions::synthetic(given.clone());
        assert_eq!(reserve(&options, &given).await.unwrap(), Amounts::default());
        options.reserve.disk = Some(ByteSize::gib(7));
        assert_eq!(reserve(&options, &given).await.unwrap().disk, ByteSize::gib(7));
        options.reserve.disk = Some(ByteSize::gib(700));
        assert_eq!(reserve(&options, &given).await.unwrap().disk, given.disk);
    }
}
