//! What `plan` remembers of one service: its samples, and what its last steps led to. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::plan::Observed;

/// Over this time the length of calls is measured.
const WORK_WINDOW: Duration = Duration::from_secs(60);
/// Over this time the panic signal measures what is offered, and a step what it changed.
const FAST_WINDOW: Duration = Duration::from_secs(6);
/// So long a small step is tried, at least.
const TRY_WINDOW: Duration = Duration::from_secs(3);
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
/// Standard deviations that may be chance: in how many calls come, in how long they are and how much longer than others,
/// and, looked at again and again, in how many end.
const CHANCE_OFFERED: f64 = 2.0;
const CHANCE_LONGER: f64 = 1.5;
const CHANCE_LENGTH: f64 = 2.5;
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
    /// What the tries are compared with that began when a step had brought nothing.
    tries: Option<Tries>,
}

/// The service when a series of small steps began.
#[derive(Clone, Copy, Debug)]
struct Tries {
    from: u32,
    length: Length,
}

/// Slot-seconds of one call, as so many show it.
#[derive(Clone, Copy, Debug)]
struct Length {
    work_s: f64,
    calls: f64,
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
            offered_surely: (fast - CHANCE_OFFERED * fast.sqrt()).max(0.0) / fast_s,
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
        let throughput = self.throughput(now, observed);
        self.last_up = Some(match &self.last_up {
            Some(up) if self.fruitless(now, observed, load) => {
                let length = self.length_since(now, up, observed);
                let tries = up.tries.or(Some(Tries { from: observed.instances(), length }));
                Up { at: now, throughput, longer_s: up.longer_s, tries }
            }
            Some(up) if self.are_long_themselves(now, up, observed) => Up {
                at: now,
                throughput,
                longer_s: self.length_since(now, up, observed).longer(),
                tries: None,
            },
            // A series of steps is measured against how long calls were before it all began.
            last => {
                let longer_s = Length { work_s: load.work_s, calls: load.completed as f64 }.longer();
                let longer_s = last.as_ref().map_or(longer_s, |up| up.longer_s.min(longer_s));
                Up { at: now, throughput, longer_s, tries: None }
            }
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

    /// Whether the last step up made calls longer instead of more: what they share (the machine, a database) is the
    /// limit, and each further instance would only make them longer still, and so seem to be needed. While it is too
    /// early to tell, longer calls are reason enough to wait.
    fn fruitless(&self, now: Instant, observed: &Observed, load: &Load) -> bool {
        self.last_up.as_ref().is_some_and(|up| {
            let comparable = up.throughput.per_s * FAST_WINDOW.as_secs_f64() >= COMPARABLE_CALLS;
            let longer = load.work_s > up.longer_s;
            let explained = self.more_since(now, up, observed) || self.are_long_themselves(now, up, observed);
            comparable && longer && !explained
        })
    }

    /// To how many a service may go whose last step up brought nothing: a quarter more at a time, as far as it needs to see
    /// whether calls become longer with each step or are long themselves.
    pub(super) fn fruitless_limit(&self, now: Instant, observed: &Observed, load: &Load) -> Option<u32> {
        let up = self.last_up.as_ref().filter(|_| self.fruitless(now, observed, load))?;
        let n = observed.instances();
        let (wait, most) = match up.tries {
            None => (FAST_WINDOW, u32::MAX),
            Some(tries) => (TRY_WINDOW, tries.most()),
        };
        match since_ready(now, up, observed) < wait {
            true => Some(n),
            false => Some(n.saturating_add(n.div_ceil(4)).min(most).max(n)),
        }
    }

    /// Whether calls became longer since the tries began by less than half of what there are more instances: then they
    /// do not stand in each other's way.
    fn are_long_themselves(&self, now: Instant, up: &Up, observed: &Observed) -> bool {
        let Some(Tries { from, length: before }) = up.tries else { return false };
        let more = f64::from(observed.instances()) / f64::from(from.max(1)) - 1.0;
        let after = self.length_since(now, up, observed);
        let chance = CHANCE_LENGTH * (1.0 / before.calls.max(1.0) + 1.0 / after.calls.max(1.0)).sqrt();
        since_ready(now, up, observed) >= TRY_WINDOW
            && more / 2.0 > chance * (1.0 + more)
            && after.work_s < before.work_s * (1.0 + more / 2.0)
    }

    /// How long calls are since what the last step up started is ready.
    fn length_since(&self, now: Instant, up: &Up, observed: &Observed) -> Length {
        let window = since_ready(now, up, observed).max(TRY_WINDOW);
        let calls = self.completed_within(now, window) as f64;
        let busy_s: f64 = self.within(now, window).map(|sample| sample.busy_s).sum();
        Length { work_s: busy_s / calls.max(1.0), calls }
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

impl Tries {
    /// With so many instances the difference is more than chance, however many calls it is then looked at in: twice as
    /// many, or more if few calls are all that is known of the time before.
    fn most(self) -> u32 {
        let chance = 2.0 * CHANCE_LENGTH / self.length.calls.max(1.0).sqrt();
        let factor = if chance < 1.0 { 1.0 / (1.0 - chance) } else { f64::INFINITY };
        (f64::from(self.from) * factor.max(2.0)).ceil() as u32
    }
}

impl Length {
    /// From where on calls are longer than these.
    fn longer(self) -> f64 {
        self.work_s * (1.05 + CHANCE_LONGER / self.calls.max(1.0).sqrt())
    }
}

/// How long what the step started has been ready, in the whole seconds that samples are of.
fn since_ready(now: Instant, up: &Up, observed: &Observed) -> Duration {
    let since = (now - up.at).saturating_sub(observed.start_time()).min(WORK_WINDOW);
    Duration::from_secs(since.as_secs())
}
