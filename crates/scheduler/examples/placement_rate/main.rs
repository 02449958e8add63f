//! How fast placement is, and how good: `cargo run --release -p scheduler --example placement_rate`.
//!
//! 10,000 VMs of mixed shape, 30 % of them with a label, an architecture or a named resource, go to clusters of 1,000
//! and 5,000 workers of 24 shapes that are 85 % full at the end. Prints the rate (median of five runs) when all VMs
//! are submitted at once and when each is submitted and placed by itself; what was placed against exhaustive scorers
//! that look at every worker for every VM; and checks that what is used on each worker is the sum of its charges.

mod exhaustive;
mod measure;
mod stress;
mod workload;

use measure::{measure, percent, place_at_once, place_one_by_one, rate};
use std::io::{self, Write};
use workload::Workload;

const VMS: usize = 10_000;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for workers in [1_000, 5_000] {
        report(&mut out, &Workload::new(workers, VMS))?;
    }
    Ok(())
}

fn report(out: &mut impl Write, load: &Workload) -> io::Result<()> {
    let batch = measure(load, place_at_once);
    let single = measure(load, place_one_by_one);
    let plain = exhaustive::place(load, exhaustive::best_fit);
    let sparing = exhaustive::place(load, exhaustive::sparing_fit);
    writeln!(out, "{} workers of {} shapes, {} VMs", load.workers.len(), load.shapes, load.requests.len())?;
    writeln!(out, "  all at once     {:>9.0} placements/s   placed {}", batch.rate, batch.placed)?;
    writeln!(out, "  one by one      {:>9.0} placements/s   placed {}", single.rate, single.placed)?;
    writeln!(out, "  best fit        {:>9.0} placements/s   placed {}", plain.rate, plain.placed)?;
    writeln!(out, "  sparing fit     {:>9.0} placements/s   placed {}", sparing.rate, sparing.placed)?;
    let best = plain.placed.max(sparing.placed);
    let (a, b) = (percent(batch.placed, best), percent(single.placed, best));
    writeln!(out, "  placed against the better exhaustive scorer: {a:.2} %, {b:.2} %")?;
    writeln!(out, "  CPU and memory used at the end: {:.1} %, {:.1} %", batch.used.0, batch.used.1)?;
    writeln!(out, "  used = sum of charges on every worker: {}", batch.exact && single.exact)?;
    writeln!(
        out,
        "  a label of its own on every worker: {:.0} placements/s",
        stress::labels_of_their_own(load)
    )?;
    let (event, explain) = stress::full(load);
    writeln!(
        out,
        "  full, {VMS} unlike VMs wait: {event:?} per VM that leaves and comes, {explain:?} to explain"
    )
}
