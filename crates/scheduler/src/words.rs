//! The words of an explanation.

use crate::{Charge, Count, Explanation, Reason, Resource, explain::Findings};
use base::ByteSize;

/// A sentence names at most this many reasons.
const NAMED: usize = 4;

/// Puts findings into words.
pub(crate) fn explain(findings: Findings<'_>) -> Explanation {
    let mut sentence = sentence(&findings);
    if let Some(position) = findings.position {
        sentence = format!("{sentence}; {} in the queue", ordinal(position));
    }
    let fix = fix(&findings);
    Explanation { sentence, fix, counts: findings.counts }
}

fn sentence(findings: &Findings<'_>) -> String {
    let charge = &findings.needs.charge;
    match &findings.disk_on {
        Some((name, reason)) => {
            return format!("its disk is on worker {name}, which {}", predicate(reason, 1, charge));
        }
        None if findings.needs.pinned.is_some() => {
            return "its disk is on a worker that is not part of the cluster".to_string();
        }
        None => {}
    }
    let total: usize = findings.counts.iter().map(|count| count.workers).sum();
    if total == 0 {
        return "there are no workers".to_string();
    }
    let said = &findings.counts[..findings.counts.len().min(NAMED)];
    let mut parts: Vec<String> = said
        .iter()
        .enumerate()
        .map(|(i, Count { reason, workers })| {
            let subject = if i == 0 { subject(*workers, total) } else { workers.to_string() };
            format!("{subject} {}", predicate(reason, *workers, charge))
        })
        .collect();
    match findings.counts[said.len()..].iter().map(|count| count.workers).sum() {
        0 => {}
        1 => parts.push("1 does not fit for another reason".to_string()),
        n => parts.push(format!("{n} do not fit for other reasons")),
    }
    parts.join(", ")
}

fn subject(workers: usize, total: usize) -> String {
    match (workers, total) {
        (1, 1) => "the only worker".to_string(),
        (2, 2) => "both workers".to_string(),
        (n, total) if n == total => format!("all {n} workers"),
        (n, total) => format!("{n} of {total} workers"),
    }
}

/// What is the matter with so many workers.
fn predicate(reason: &Reason, workers: usize, charge: &Charge) -> String {
    let verb = |one: &'static str, many: &'static str| if workers == 1 { one } else { many };
    let (is, has, lacks) = (verb("is", "are"), verb("has", "have"), verb("lacks", "lack"));
    match reason {
        Reason::DiskElsewhere => format!("{} not hold its disk", verb("does", "do")),
        Reason::Offline => format!("{is} offline"),
        Reason::Cordoned => format!("{is} cordoned"),
        Reason::Arch(arch) => format!("{is} {arch}"),
        Reason::Os(os) => format!("{} {os}", verb("runs", "run")),
        Reason::Runtime(runtime) => format!("{has} no runtime {runtime}"),
        Reason::Capability(capability) => format!("{lacks} the capability {capability}"),
        Reason::Label(key, value) => format!("{lacks} the label {key}={value}"),
        Reason::NoResource(name) => format!("{has} no {name}"),
        Reason::Image => format!("{lacks} the image"),
        Reason::TooSmall(Resource::MacosSlot) => format!("cannot run {} macOS guests", charge.macos_slots)
            .replace("run 1 macOS guests", "run macOS guests"),
        Reason::TooSmall(resource) => format!("{has} less than {} in all", amount(resource, charge)),
        Reason::Lacks(Resource::MacosSlot) => format!("{has} no free slot for a macOS guest"),
        Reason::Lacks(resource) => format!("{lacks} {}", amount(resource, charge)),
        Reason::Held => format!("{is} held for a VM ahead in the queue"),
        Reason::Fits => format!("{has} room"),
    }
}

/// What would help most: against the reason of the workers that come nearest.
fn fix(findings: &Findings<'_>) -> String {
    let needs = findings.needs;
    let charge = &needs.charge;
    if let Some((name, reason)) = &findings.disk_on
        && let Reason::Lacks(resource) = reason
    {
        return format!("stop or delete a VM on worker {name}, or ask for less {}", noun(resource));
    }
    if needs.pinned.is_some() && findings.disk_on.is_none() {
        return "bring that worker back, or create the VM anew from its image".to_string();
    }
    let nearest =
        findings.counts.iter().map(|count| &count.reason).filter(|r| **r != Reason::DiskElsewhere).max();
    let Some(reason) = nearest else {
        return "add a worker with 'hostler worker run'".to_string();
    };
    match reason {
        Reason::DiskElsewhere | Reason::Offline => "bring an offline worker back".to_string(),
        Reason::Cordoned => "uncordon a worker with 'hostler worker uncordon NAME'".to_string(),
        Reason::Arch(have) => {
            let want = needs.arch.as_deref().unwrap_or("other");
            format!("add a worker with the architecture {want}, or use an image for {have}")
        }
        Reason::Os(_) => format!("add a worker that runs {}", needs.os.as_deref().unwrap_or("another OS")),
        Reason::Runtime(runtime) => {
            format!("add a worker with the runtime {runtime}, or choose another runtime")
        }
        Reason::Capability(capability) => {
            format!("upgrade a worker to a version with the capability {capability}")
        }
        Reason::Label(key, value) => format!("give a worker the label {key}={value}, or drop it from the VM"),
        Reason::NoResource(name) => format!("add a worker that offers {name}, or drop it from the VM"),
        Reason::Image => "let workers fetch the image, or wait until one holds it".to_string(),
        Reason::TooSmall(Resource::MacosSlot) => "add a worker that runs macOS".to_string(),
        Reason::TooSmall(resource) => {
            let most = findings
                .largest
                .iter()
                .find(|(r, _)| r.owned() == *resource)
                .map(|(_, n)| n)
                .copied()
                .unwrap_or(0);
            let larger = if needs.pinned.is_some() {
                String::new()
            } else {
                format!(", or add a worker with {}", amount(resource, charge))
            };
            format!("ask for at most {}{larger}", quantity(resource, most))
        }
        Reason::Lacks(Resource::MacosSlot) => {
            "stop or delete a macOS VM, or add a worker that runs macOS".to_string()
        }
        Reason::Lacks(resource) => format!(
            "stop or delete a VM, ask for less {}, or add a worker with {} free",
            noun(resource),
            amount(resource, charge)
        ),
        Reason::Held => "wait for the VM it is held for, raise the priority, or add a worker".to_string(),
        Reason::Fits => "nothing to do: it is placed next".to_string(),
    }
}

fn noun(resource: &Resource) -> &str {
    match resource {
        Resource::Cpu => "CPU",
        Resource::Memory => "memory",
        Resource::Disk => "disk",
        Resource::MacosSlot => "slots for macOS guests",
        Resource::Named(name) => name,
    }
}

/// What is asked for of a resource.
fn amount(resource: &Resource, charge: &Charge) -> String {
    let a = &charge.amounts;
    let n = match resource {
        Resource::Cpu => a.cpu_milli,
        Resource::Memory => a.memory,
        Resource::Disk => a.disk,
        Resource::MacosSlot => u64::from(charge.macos_slots),
        Resource::Named(name) => a.named.get(name).copied().unwrap_or(0),
    };
    quantity(resource, n)
}

fn quantity(resource: &Resource, n: u64) -> String {
    match resource {
        Resource::Cpu => cpus(n),
        Resource::Memory | Resource::Disk => format!("{} of {}", ByteSize(n), noun(resource)),
        Resource::MacosSlot | Resource::Named(_) => format!("{n} {}", noun(resource)),
    }
}

/// `1 CPU`, `4 CPUs`, `0.25 CPUs`.
fn cpus(milli: u64) -> String {
    if milli == 1000 {
        return "1 CPU".to_string();
    }
    let fraction = format!("{:03}", milli % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("{} CPUs", milli / 1000),
        digits => format!("{}.{digits} CPUs", milli / 1000),
    }
}

/// `first`, `second`, `third`, then `4th` and so on.
fn ordinal(n: usize) -> String {
    match (n, n % 10, n % 100) {
        (1, ..) => "first".to_string(),
        (2, ..) => "second".to_string(),
        (3, ..) => "third".to_string(),
        (_, _, 11..=13) => format!("{n}th"),
        (_, 1, _) => format!("{n}st"),
        (_, 2, _) => format!("{n}nd"),
        (_, 3, _) => format!("{n}rd"),
        _ => format!("{n}th"),
    }
}
