//! Durations in, percentiles and tables out. No I/O but the print to stdout.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// One more.
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that at least `percent` of all do not exceed (nearest rank), in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
    }

    /// For machines: count and these percentiles in milliseconds.
    pub(crate) fn json(&self, percents: &[usize]) -> Value {
        let mut all = json!({"count": self.count()});
        for percent in percents {
            all[format!("p{percent}Ms")] = round(self.percentile(*percent)).into();
        }
        all
    }
}

/// A count to divide by or to be divided.
#[expect(clippy::cast_precision_loss, reason = "no count of a benchmark comes near 2^52")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

/// Two digits after the point.
pub(crate) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Prints a line. What a benchmark found out is what it is for.
#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
