//! What a dispatcher counts: totals that the autoscaler takes differences of, and the latencies `msx ps` shows.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Totals since the hub started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// Calls that asked for a slot, refused ones included.
    pub offered: u64,
    pub completed: u64,
    /// Slot time of runs that have ended.
    pub busy: Duration,
}

/// Length of one of the windows that a latency reading joins.
const WINDOW: Duration = Duration::from_secs(10);
/// Windows kept: together the last minute.
const WINDOWS: usize = 6;
/// Longest latency told apart, in microseconds: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Latencies of the last minute, in windows of ten seconds.
#[derive(Debug)]
pub struct Latency {
    windows: [Option<Histogram<u32>>; WINDOWS],
    current: usize,
    since: Option<Instant>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { windows: [const { None }; WINDOWS], current: 0, since: None }
    }
}

impl Latency {
    pub fn record(&mut self, now: Instant, latency: Duration) {
        self.turn(now);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX).clamp(1, LATENCY_US_MAX);
        self.windows[self.current].get_or_insert_with(histogram).saturating_record(micros);
    }

    /// The latency, in milliseconds, that the given share of calls of the last minute stayed within.
    pub fn quantile_ms(&mut self, now: Instant, share: f64) -> Option<f64> {
        self.turn(now);
        let mut all = histogram();
        for window in self.windows.iter().flatten() {
            // Both have the same bounds, so that this cannot fail.
            let _ = all.add(window);
        }
        (!all.is_empty()).then(|| all.value_at_quantile(share) as f64 / 1000.0)
    }

    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = (now.saturating_duration_since(since).as_secs() / WINDOW.as_secs()) as usize;
        for _ in 0..passed.min(WINDOWS) {
            self.current = (self.current + 1) % WINDOWS;
            self.windows[self.current] = None;
        }
        if passed > 0 {
            self.since = Some(since + WINDOW * passed as u32);
        }
    }
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("constant bounds are valid")
}
