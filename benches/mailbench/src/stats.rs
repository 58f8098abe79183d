//! Times that many threads measured, and the line of figures a run prints.

use std::fmt;
use std::time::Duration;

/// Durations of single transactions, in no order.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Without measurements.
    pub const fn new() -> Times {
        Times(Vec::new())
    }

    /// Adds one measurement.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Takes over the measurements of another thread.
    pub fn join(&mut self, other: Times) {
        self.0.extend(other.0);
    }

    /// How many were measured.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `share` (0 to 1) of the measurements did not exceed, in milliseconds; 0 when there are none.
    pub fn quantile_ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1) as f64;
        self.0.get((last * share).round() as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// The figures of one run: `name=value` words in the order they were added.
#[derive(Default)]
pub struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    /// Adds one figure.
    pub fn with(mut self, name: &'static str, value: f64) -> Figures {
        self.0.push((name, value));
        self
    }

    /// Adds the median and the 99th percentile.
    pub fn with_times(self, times: &mut Times) -> Figures {
        self.with("p50_ms", times.quantile_ms(0.5)).with("p99_ms", times.quantile_ms(0.99))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            write!(out, "{}{name}={value:.4}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
