//! Numbers.

use std::time::Duration;

/// Times of single requests.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds many.
    pub fn extend(&mut self, more: Latencies) {
        self.0.extend(more.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that this share of them (in thousandths) did not exceed; zero without any.
    pub fn quantile(&self, permille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * permille).div_ceil(1000).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }

    /// `p50 1.2 ms, p99 3.4 ms, max 5.6 ms`.
    pub fn summary(&self) -> String {
        let [p50, p99, max] = [500, 990, 1000].map(|q| millis(self.quantile(q)));
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// So many per second.
#[allow(clippy::cast_precision_loss)] // a rate is shown with few digits
pub fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// The one in the middle; zero without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle() {
        for (values, middle) in [(&[][..], 0.0), (&[3.0, 1.0, 2.0], 2.0), (&[4.0, 1.0], 2.5)] {
            assert!((median(values) - middle).abs() < 1e-9);
        }
    }

    #[test]
    fn quantiles() {
        let times = Latencies((1..=200).map(Duration::from_millis).collect());
        let at = |q| times.quantile(q).as_millis();
        assert_eq!([at(500), at(990), at(1000)], [100, 198, 200]);
    }
}
