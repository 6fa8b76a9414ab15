//! What `plan` remembers of one service: its samples, and what its last steps led to. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::plan::Observed;

/// Over this time the length of calls is measured.
const WORK_WINDOW: Duration = Duration::from_secs(60);
/// Over this time the panic signal measures what is offered, and a step what it changed.
const FAST_WINDOW: Duration = Duration::from_secs(6);
/// A service that flaps waits at most this long before it goes down, and forgets one flap in this time.
const FLAP_WINDOW_MAX: Duration = Duration::from_secs(600);
/// Samples closer than this are one sample: together with the windows it bounds what is remembered.
const SAMPLE_SPACING: Duration = Duration::from_millis(500);
/// Fewer calls than this in the fast window are too few to compare throughputs.
const COMPARABLE_CALLS: f64 = 10.0;
/// When load jumps, the throughput of a saturated service is that of the last moments.
const LAST_MOMENTS: Duration = Duration::from_secs(2);
/// Fewer calls than this in the last moments are too few to tell.
const TELLING_CALLS: u64 = 30;
/// Standard deviations that may be chance: in how long calls are, and, looked at again and again, in how many end.
const CHANCE_LONGER: f64 = 1.5;
const CHANCE_MORE: f64 = 3.0;

/// Memory of one service, owned by whoever calls `plan`. A new one watches for a whole `down_after` before it lets
/// the service go down.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// When a call was last seen, or when the watching began.
    last_used: Option<Instant>,
    last_down: Option<Instant>,
    last_up: Option<Up>,
    /// Ups soon after a down that are not forgotten yet: each doubles the window.
    flaps: u32,
    last_flap: Option<Instant>,
    /// Since when nothing has waited for a slot.
    queue_empty_since: Option<Instant>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    busy_s: f64,
    completed: u64,
    offered: u64,
    needed: u32,
}

/// The last step up, with what it should improve on.
#[derive(Debug)]
struct Up {
    at: Instant,
    throughput: Throughput,
    /// Calls that take more than this are longer than those before it.
    longer_s: f64,
    /// How many instances there were when the throughput was measured.
    from: u32,
    /// It was only a try: the step before had brought nothing.
    is_try: bool,
}

/// Calls that ended per second, and over which time that was seen.
#[derive(Clone, Copy, Debug)]
struct Throughput {
    per_s: f64,
    over_s: f64,
}

/// What the samples say now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Slot-seconds of one call, without queueing and suspension.
    pub work_s: f64,
    pub completed: u64,
    /// Calls offered per second over the fast window and over `down_after`, sheds included.
    pub offered_fast: f64,
    pub offered_slow: f64,
    /// What of the fast rate is no chance.
    pub offered_surely: f64,
}

impl History {
    pub(super) fn record(&mut self, now: Instant, down_after: Duration, observed: &Observed) -> Load {
        self.forget_flap(now);
        if self.last_used.is_none() || observed.is_in_use() {
            self.last_used = Some(now);
        }
        // A little more than the longest window, to see that it is full.
        let keep = self.window(down_after).max(WORK_WINDOW) + Duration::from_secs(5);
        while self.samples.front().is_some_and(|oldest| now - oldest.at > keep) {
            self.samples.pop_front();
        }
        if self.samples.back().is_none_or(|last| now - last.at >= SAMPLE_SPACING) {
            self.samples.push_back(Sample { at: now, busy_s: 0.0, completed: 0, offered: 0, needed: 0 });
        }
        if let Some(last) = self.samples.back_mut() {
            last.busy_s += observed.busy_seconds;
            last.completed += observed.completions;
            last.offered += observed.offered;
        }
        self.forget_up(now, observed);
        self.load(now, down_after)
    }

    /// Once nothing has waited for a while the last step up was enough, and how long calls are from now on is their own
    /// affair.
    fn forget_up(&mut self, now: Instant, observed: &Observed) {
        if observed.queued > 0 {
            self.queue_empty_since = None;
            return;
        }
        let since = *self.queue_empty_since.get_or_insert(now);
        if now - since >= FAST_WINDOW {
            self.last_up = None;
        }
    }

    fn load(&self, now: Instant, down_after: Duration) -> Load {
        let work = || self.within(now, WORK_WINDOW);
        let completed: u64 = work().map(|sample| sample.completed).sum();
        let busy_s: f64 = work().map(|sample| sample.busy_s).sum();
        let fast_s = FAST_WINDOW.as_secs_f64();
        let offered = |window| self.within(now, window).map(|sample| sample.offered).sum::<u64>() as f64;
        let fast = offered(FAST_WINDOW);
        Load {
            work_s: (busy_s / completed.max(1) as f64).max(1e-6),
            completed,
            offered_fast: fast / fast_s,
            offered_surely: (fast - 2.0 * fast.sqrt()).max(0.0) / fast_s,
            offered_slow: offered(down_after) / down_after.as_secs_f64(),
        }
    }

    fn within(&self, now: Instant, window: Duration) -> impl Iterator<Item = &Sample> {
        self.samples.iter().rev().take_while(move |sample| now - sample.at < window)
    }

    pub(super) fn needed(&mut self, instances: u32) {
        if let Some(sample) = self.samples.back_mut() {
            sample.needed = sample.needed.max(instances);
        }
    }

    /// The most that was needed at any time in the window; `None` while the window is not full.
    pub(super) fn most_needed(&self, now: Instant, down_after: Duration) -> Option<u32> {
        let window = self.window(down_after);
        self.samples.front().filter(|oldest| now - oldest.at >= window)?;
        self.within(now, window).map(|sample| sample.needed).max()
    }

    /// How long no call has been seen.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        self.last_used.map_or(Duration::ZERO, |used| now.saturating_duration_since(used))
    }

    /// How long the need must have been small before the service goes down.
    pub(super) fn window(&self, down_after: Duration) -> Duration {
        down_after.saturating_mul(1 << self.flaps.min(16)).min(FLAP_WINDOW_MAX).max(down_after)
    }

    pub(super) fn stepped_up(
        &mut self,
        now: Instant,
        down_after: Duration,
        observed: &Observed,
        load: &Load,
    ) {
        if self.last_down.take().is_some_and(|down| now - down < down_after) {
            // Beyond the longest window a further flap changes nothing, and would only be remembered longer.
            self.flaps += u32::from(self.window(down_after) < FLAP_WINDOW_MAX);
            self.last_flap = Some(now);
        }
        let is_try = self.fruitless(now, observed, load).is_some();
        let (throughput, from) = (self.throughput(now, observed), observed.ready + observed.starting);
        let longer_s = load.work_s * (1.05 + CHANCE_LONGER / (load.completed.max(1) as f64).sqrt());
        self.last_up = Some(match self.last_up.take() {
            None => Up { at: now, throughput, longer_s, from, is_try },
            // Small steps show only together.
            Some(up) if is_try && up.is_try => Up { at: now, ..up },
            // A series of steps is measured against how long calls were before it all began.
            Some(up) => Up { at: now, throughput, longer_s: up.longer_s.min(longer_s), from, is_try },
        });
    }

    /// Since the last step up as far as that is known, or in the last moments, if that was more.
    fn throughput(&self, now: Instant, observed: &Observed) -> Throughput {
        let since_up = self.last_up.as_ref().map_or(FAST_WINDOW, |up| since_ready(now, up, observed));
        let per_s = |window: Duration| Throughput {
            per_s: self.completed_within(now, window) as f64 / window.as_secs_f64(),
            over_s: window.as_secs_f64(),
        };
        let (long, last) = (per_s(since_up.max(FAST_WINDOW)), per_s(LAST_MOMENTS));
        let is_telling = self.completed_within(now, LAST_MOMENTS) >= TELLING_CALLS;
        if is_telling && last.per_s > long.per_s { last } else { long }
    }

    fn completed_within(&self, now: Instant, window: Duration) -> u64 {
        self.within(now, window).map(|sample| sample.completed).sum()
    }

    pub(super) fn stepped_down(&mut self, now: Instant) {
        self.last_down = Some(now);
        self.last_up = None;
    }

    fn forget_flap(&mut self, now: Instant) {
        if self.flaps > 0 && self.last_flap.is_some_and(|flap| now - flap >= FLAP_WINDOW_MAX) {
            self.flaps -= 1;
            self.last_flap = Some(now);
        }
    }

    /// The last step up, if it made calls longer instead of more: what they share (the machine, a database)
    /// is the limit, and each further instance would only make them longer still, and so seem to be needed. While it
    /// is too early to tell, longer calls are reason enough to wait. Without a queue the instances do not decide how
    /// many calls run at once, and so do no harm.
    fn fruitless(&self, now: Instant, observed: &Observed, load: &Load) -> Option<&Up> {
        let up = self.last_up.as_ref()?;
        let comparable = up.throughput.per_s * FAST_WINDOW.as_secs_f64() >= COMPARABLE_CALLS;
        let longer = load.work_s > up.longer_s;
        (comparable && longer && !self.more_since(now, up, observed)).then_some(up)
    }

    /// To how many a service may go whose last step up brought nothing. Once in a while it is tried again with a tenth
    /// more: the reason may be gone. Had it gone, twice as many would show it.
    pub(super) fn fruitless_limit(
        &self,
        now: Instant,
        down_after: Duration,
        observed: &Observed,
        load: &Load,
    ) -> Option<u32> {
        let up = self.fruitless(now, observed, load)?;
        let n = observed.ready + observed.starting;
        if now - up.at < down_after {
            return Some(n);
        }
        let most = if up.is_try { up.from.saturating_mul(2) } else { u32::MAX };
        Some(n.saturating_add(n.div_ceil(10)).min(most).max(n))
    }

    /// Whether clearly more calls end since the step than before it: 5 % more, and more than chance explains. A small
    /// gain shows only over a long time, one after an outage only in the last seconds.
    fn more_since(&self, now: Instant, up: &Up, observed: &Observed) -> bool {
        let more_within = |window: Duration| {
            let (before, window_s) = (up.throughput, window.as_secs_f64());
            let expected = before.per_s * window_s;
            let chance = CHANCE_MORE * (expected * (1.0 + window_s / before.over_s)).sqrt();
            self.completed_within(now, window) as f64 > 1.05 * expected + chance
        };
        let since_ready = since_ready(now, up, observed);
        since_ready >= FAST_WINDOW && (more_within(since_ready) || more_within(FAST_WINDOW))
    }
}

/// How long what the step started has been ready, in the whole seconds that samples are of.
fn since_ready(now: Instant, up: &Up, observed: &Observed) -> Duration {
    let since = (now - up.at).saturating_sub(observed.start_time()).min(WORK_WINDOW);
    Duration::from_secs(since.as_secs())
}
