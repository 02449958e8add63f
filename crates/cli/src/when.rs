//! Times for people.

use jiff::Timestamp;

/// How long ago: `5s`, `3m`, `4h`, `12d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    span(u64::try_from(now.as_second() - then.as_second()).unwrap_or(0))
}

/// A span of seconds in its two largest units at most.
pub fn span(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{m}m"),
        7200..=172_799 if h < 10 && m % 60 > 0 => format!("{h}h{}m", m % 60),
        7200..=172_799 => format!("{h}h"),
        _ => format!("{d}d"),
    }
}

/// An age, or `-`.
pub fn maybe_age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "-".into(), |t| age(t, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let spans = [0, 119, 120, 7199, 7200, 9000, 36_000, 172_800].map(span);
        assert_eq!(spans, ["0s", "119s", "2m", "119m", "2h", "2h30m", "10h", "2d"]);
    }
}
