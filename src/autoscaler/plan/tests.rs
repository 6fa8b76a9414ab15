use super::*;

/// A service with 2 slots per instance, and one sample every second.
struct Service {
    now: Instant,
    policy: Policy,
    history: History,
}

impl Service {
    fn new(min: u32, max: u32) -> Self {
        let down_after = Duration::from_secs(10);
        let scale = ScalePolicy { utilization: 0.7, cpu: 0.8, machine: 0.9, down_after, idle_to_zero: None };
        let policy = Policy { instances: InstanceRange { min, max }, scale };
        Self { now: Instant::now(), policy, history: History::default() }
    }

    fn sees(&mut self, observed: Observed) -> Decision {
        self.now += Duration::from_secs(1);
        plan(self.now, &self.policy, &mut self.history, &observed)
    }

    /// The decision after seeing the same for so many seconds.
    fn sees_for(&mut self, seconds: u32, observed: &Observed) -> Decision {
        (1..seconds).for_each(|_| drop(self.sees(observed.clone())));
        self.sees(observed.clone())
    }
}

fn idle(ready: u32) -> Observed {
    Observed {
        ready,
        slots: 2,
        machine_cores: 64,
        machine_busy: 0.1,
        memory_free: 8 << 30,
        ..Observed::default()
    }
}

/// So many calls per second, each of so many seconds, all served.
fn load(ready: u32, rate: u64, call_s: f64) -> Observed {
    Observed { offered: rate, completions: rate, busy_seconds: rate as f64 * call_s, ..idle(ready) }
}

impl PartialEq<(u32, &str)> for Decision {
    fn eq(&self, (desired, reason): &(u32, &str)) -> bool {
        self.desired == *desired && self.reason == *reason
    }
}

fn told(desired: u32, reason: &str) -> (u32, &str) {
    (desired, reason)
}

#[test]
fn offered_work_decides_when_the_queue_is_empty() {
    let mut service = Service::new(1, 20);
    let decision = service.sees_for(10, &load(1, 52, 0.18));
    assert_eq!(
        decision,
        told(5, "1 → 5: offered 52/s × 180 ms / 2 slots at 70 % needs 7; only to 5: one step at a time")
    );
    assert_eq!(service.sees(load(5, 52, 0.18)).desired, 7);
    assert_eq!(
        service.sees(load(7, 52, 0.18)),
        told(7, "7: offered 52/s × 180 ms / 2 slots at 70 % needs 7")
    );
}

#[test]
fn sheds_are_offered_work_too() {
    let mut service = Service::new(1, 20);
    let shed = Observed { offered: 40, ..load(4, 10, 0.5) };
    assert_eq!(service.sees_for(10, &shed).desired, 8, "40/s × 0.5 s / 1.4 = 15, by steps");
}

#[test]
fn a_queue_counts_as_far_as_it_outlasts_a_start() {
    let queue = |queued, ready| Observed { queued, ..load(ready, 10, 0.1) };
    let mut service = Service::new(1, 100);
    service.sees_for(10, &load(1, 10, 0.1));
    // One instance has 10/s to spare, and a start takes 1 s.
    assert_eq!(service.sees(queue(10, 1)).desired, 1);
    let reason = "1 → 2: queue 30, offered 10/s × 100 ms / 2 slots at 70 % needs 2";
    assert_eq!(service.sees(queue(30, 1)), told(2, reason));
    assert_eq!(service.sees(queue(500, 8)).desired, 16);

    let slow = Observed { start_time: Some(Duration::from_secs(20)), ..queue(190, 1) };
    assert_eq!(service.sees(slow).desired, 1, "10/s × 20 s are worked off before a new one is ready");
}

#[test]
fn with_few_calls_ended_those_that_are_here_count() {
    let mut service = Service::new(1, 100);
    let long = Observed { offered: 12, queued: 10, running: 2, busy_seconds: 2.0, ..idle(1) };
    let reason = "1 → 5: running 2 and queue 10, few ended yet, / 2 slots at 70 % needs 9; only to 5: one step at a time";
    assert_eq!(service.sees(long), told(5, reason));
    let batched = Observed { batch_size: 4, queued: 10, running: 2, busy_seconds: 2.0, ..idle(1) };
    let reason = "1 → 4: running 2 and queue 10 in batches of 4, few ended yet, / 2 slots at 70 % needs 4";
    assert_eq!(Service::new(1, 100).sees(batched), told(4, reason));
    let running = Observed { running: 12, busy_seconds: 12.0, ..idle(9) };
    assert_eq!(service.sees_for(30, &running).desired, 9);
}

#[test]
fn cpu_decides_where_calls_do_not_show_it() {
    let mut service = Service::new(1, 10);
    let burns = |cores, ready| Observed { cores_used_by_ready: Some(cores), ..load(ready, 1, 0.1) };
    assert_eq!(service.sees(burns(0.8, 1)).desired, 1);
    assert_eq!(service.sees(burns(0.99, 1)), told(2, "1 → 2: 1.0 cores used, at 80 % of one each, needs 2"));
    assert_eq!(service.sees(burns(3.6, 4)).desired, 5);
    let mut lazy = Service::new(0, 10);
    let decision = lazy.sees_for(11, &Observed { cores_used_by_ready: Some(0.02), ..idle(1) });
    assert_eq!(decision.desired, 0, "an idle process burns a little");
}

#[test]
fn small_differences_change_nothing() {
    let mut service = Service::new(1, 100);
    // 150/s × 0.1 s / 1.4 = 10.7.
    assert_eq!(service.sees_for(10, &load(10, 150, 0.1)).desired, 10);
    assert_eq!(service.sees_for(20, &load(12, 150, 0.1)).desired, 12);
}

#[test]
fn minimum_and_maximum_hold() {
    let mut service = Service::new(2, 4);
    assert_eq!(service.sees(idle(0)), told(2, "0 → 2: 2 is the minimum"));
    assert_eq!(service.sees(idle(6)), told(4, "6 → 4: 4 is the maximum"));
    let busy = service.sees_for(10, &load(4, 100, 0.1));
    assert_eq!(busy, told(4, "4: offered 100/s × 100 ms / 2 slots at 70 % needs 8; held: 4 is the maximum"));
    let decision = service.sees_for(10, &load(3, 100, 0.1));
    assert_eq!(
        decision.reason,
        "3 → 4: offered 100/s × 100 ms / 2 slots at 70 % needs 8; only to 4: 4 is the maximum"
    );
    assert_eq!(service.sees_for(60, &idle(2)).desired, 2);

    let mut fixed = Service::new(3, 3);
    assert_eq!(fixed.sees_for(100, &load(3, 100, 1.0)).desired, 3);
    assert_eq!(fixed.sees_for(100, &idle(3)).desired, 3);
}

#[test]
fn the_first_call_of_a_stopped_service_starts_one() {
    let mut service = Service::new(0, 10);
    assert_eq!(service.sees_for(5, &idle(0)).desired, 0);
    assert_eq!(service.sees(Observed { queued: 1, offered: 1, ..idle(0) }).desired, 1);
    assert_eq!(service.sees(Observed { queued: 50, offered: 49, ..idle(0) }).desired, 4);
    let starting = Observed { queued: 1, starting: 1, ..idle(0) };
    assert_eq!(Service::new(0, 10).sees(starting).desired, 1);
}

#[test]
fn without_a_call_for_long_enough_none_is_kept() {
    let mut service = Service::new(2, 10);
    service.policy.scale.idle_to_zero = Some(Duration::from_secs(20));
    assert_eq!(service.sees(idle(0)), told(2, "0 → 2: 2 is the minimum"), "it begins as any other");
    assert_eq!(service.sees_for(19, &idle(2)).desired, 2);
    assert_eq!(service.sees(idle(2)), told(0, "2 → 0: no call for 20.0 s"));
    assert_eq!(service.sees_for(100, &idle(0)), told(0, "0: no call for 20.0 s"));
    let called = Observed { offered: 1, queued: 1, ..idle(0) };
    assert_eq!(service.sees(called.clone()), told(2, "0 → 2: 2 is the minimum"));
    // Whatever a call does, it is a use: none of these brings it to nothing.
    let running = Observed { running: 1, busy_seconds: 1.0, ..idle(2) };
    assert_eq!(service.sees_for(60, &running).desired, 2);
    assert_eq!(service.sees_for(60, &Observed { suspended: 1, ..idle(2) }).desired, 2);

    // One that begins with none stays so, and keeps one between the calls.
    let mut service = Service::new(0, 10);
    service.policy.scale.idle_to_zero = Some(Duration::from_secs(30));
    assert_eq!(service.sees_for(5, &idle(0)).desired, 0);
    assert_eq!(service.sees(called).desired, 1);
    assert_eq!(service.sees_for(29, &idle(1)).desired, 1, "down_after is over");
    assert_eq!(service.sees(idle(1)).desired, 0);
}

#[test]
fn calls_that_wait_for_others_keep_one_instance() {
    let mut service = Service::new(0, 10);
    let suspended = Observed { suspended: 3, ..idle(2) };
    assert_eq!(
        service.sees_for(11, &suspended),
        told(1, "2 → 1: over the last 10 s never more than 1 needed")
    );
    assert_eq!(service.sees_for(30, &Observed { ready: 1, ..suspended }), told(1, "1: 3 suspended needs 1"));
    assert_eq!(service.sees_for(10, &idle(1)).desired, 0);
}

#[test]
fn it_tells_when_no_more_can_come() {
    let at_ceiling = |observed: Observed| Service::new(1, 4).sees(observed).at_ceiling;
    assert!(at_ceiling(load(4, 100, 0.1)) && at_ceiling(idle(4)));
    assert!(!at_ceiling(load(3, 100, 0.1)));
    assert!(!at_ceiling(Observed { ready: 3, starting: 1, ..load(3, 100, 0.1) }), "one is on its way");
    assert!(at_ceiling(Observed { machine_busy: 0.95, ..load(2, 100, 0.1) }));
    assert!(at_ceiling(Observed { memory_free: 1, instance_memory: Some(1 << 20), ..load(2, 100, 0.1) }));
    assert!(!at_ceiling(Observed { machine_busy: 0.95, ..idle(0) }), "the first one always may");
    assert_eq!(Service::new(1, 4).sees(idle(1)).call_time, None);
    assert_eq!(Service::new(1, 4).sees(load(1, 2, 0.1)).call_time, Some(Duration::from_millis(100)));
}

#[test]
fn down_goes_slowly_and_only_after_the_whole_window() {
    let mut service = Service::new(1, 20);
    assert_eq!(service.sees_for(10, &idle(8)).desired, 8);
    assert_eq!(service.sees(idle(8)), told(4, "8 → 4: over the last 10 s never more than 0 needed"));
    assert_eq!(service.sees(idle(4)).desired, 2);
    assert_eq!(service.sees(idle(2)).desired, 1);
    assert_eq!(service.sees(idle(1)).desired, 1);

    // A moment of need within the window keeps what it needed.
    let mut service = Service::new(1, 20);
    service.sees_for(11, &load(6, 84, 0.1));
    assert_eq!(service.sees_for(9, &idle(6)).desired, 6);
}

#[test]
fn a_history_with_a_gap_starts_its_window_again() {
    let mut service = Service::new(1, 20);
    service.sees_for(30, &idle(1));
    service.now += Duration::from_secs(600);
    assert_eq!(service.sees_for(10, &idle(8)).desired, 8);
    assert_eq!(service.sees(idle(8)).desired, 4);
}

#[test]
fn a_flap_doubles_the_window_and_is_forgotten() {
    let mut service = Service::new(1, 20);
    let seconds_until_down =
        |service: &mut Service| (1..1000).find(|_| service.sees(idle(2)).desired == 1).unwrap();
    service.sees_for(20, &idle(2));
    let flap =
        |service: &mut Service| assert_eq!(service.sees(Observed { running: 2, ..idle(1) }).desired, 2);
    let mut windows = Vec::new();
    for _ in 0..8 {
        flap(&mut service);
        windows.push(seconds_until_down(&mut service));
    }
    for (window, expected) in windows.iter().zip([20, 40, 80, 160, 320, 600, 600, 600]) {
        assert!((expected..expected + 8).contains(window), "{windows:?}");
    }
    service.now += Duration::from_secs(601);
    assert_eq!(service.sees_for(1, &idle(1)).desired, 1);
    service.now += Duration::from_secs(601);
    service.sees_for(1, &idle(1));
    assert!(service.history.window(Duration::from_secs(10)) < Duration::from_secs(600));
}

#[test]
fn a_busy_machine_does_not_keep_the_first_instance_back() {
    let mut service = Service::new(0, 4);
    let waits = Observed { queued: 1, offered: 1, machine_busy: 1.0, machine_cores: 2, ..idle(0) };
    assert_eq!(service.sees(waits.clone()).desired, 1);
    // Nor does it after it was there before.
    service.sees_for(30, &Observed { machine_busy: 1.0, ..load(1, 1, 0.1) });
    service.sees_for(30, &Observed { machine_busy: 1.0, ..idle(0) });
    assert_eq!(service.sees(waits).desired, 1);
}

#[test]
fn a_busy_machine_gets_no_more_instances() {
    let wants = |observed: Observed| {
        let mut service = Service::new(1, 20);
        service.sees_for(10, &Observed { ready: 8, ..observed.clone() });
        service.sees(observed)
    };
    let demand = load(4, 100, 0.1);
    assert_eq!(wants(demand.clone()).desired, 8);
    let full = wants(Observed { machine_busy: 0.95, ..demand.clone() });
    assert_eq!(
        full,
        told(4, "4: offered 100/s × 100 ms / 2 slots at 70 % needs 8; held: the machine is 95 % busy")
    );
    let nearly =
        Observed { machine_busy: 0.8, machine_cores: 8, cores_used_by_ready: Some(3.2), ..demand.clone() };
    let reason = "4 → 5: offered 100/s × 100 ms / 2 slots at 70 % needs 8; only to 5: the machine is 80 % busy, and an instance may use 0.8 cores";
    assert_eq!(wants(nearly.clone()), told(5, reason));
    // What starts already is counted in.
    assert_eq!(
        wants(Observed { ready: 3, starting: 1, cores_used_by_ready: Some(2.4), ..nearly.clone() }).desired,
        4
    );
    // Nothing known of the instances: each may use a core.
    assert_eq!(wants(Observed { cores_used_by_ready: None, ..nearly.clone() }).desired, 5);
    // Sleepers may be many.
    assert_eq!(wants(Observed { cores_used_by_ready: Some(0.04), ..nearly }).desired, 8);

    let mut off = Service::new(1, 20);
    off.policy.scale.machine = 1.0;
    assert_eq!(off.sees_for(10, &Observed { machine_busy: 1.0, ..demand }).desired, 8);
}

#[test]
fn memory_holds_what_does_not_fit() {
    let mut service = Service::new(1, 20);
    let tight = |free_mb: u64, starting| Observed {
        memory_free: free_mb << 20,
        instance_memory: Some(100 << 20),
        starting,
        ..load(4 - starting, 100, 0.1)
    };
    service.sees_for(10, &load(8, 100, 0.1));
    let reason = "4 → 6: offered 100/s × 100 ms / 2 slots at 70 % needs 8; only to 6: 250 MB of memory are free, an instance takes 100 MB";
    assert_eq!(service.sees(tight(250, 0)), told(6, reason));
    assert_eq!(service.sees(tight(250, 2)).desired, 4);
    assert_eq!(service.sees(tight(50, 0)).desired, 4);
    assert_eq!(service.sees(tight(50, 0)).desired, 4, "never less for want of memory");
}

#[test]
fn a_step_that_made_calls_longer_and_not_more_is_the_last_for_a_while() {
    let full = |ready, rate, call_s| Observed { offered: 100, queued: 200, ..load(ready, rate, call_s) };
    let step = |service: &mut Service| {
        service.sees_for(20, &load(2, 20, 0.1));
        assert_eq!(service.sees(full(2, 20, 0.1)).desired, 6);
    };
    // Longer calls: wait for what the step brings.
    let mut service = Service::new(1, 50);
    step(&mut service);
    let decision = service.sees(full(6, 20, 0.6));
    assert_eq!(decision.desired, 6);
    assert!(
        decision.reason.ends_with("held: the last step up made calls longer (123 ms), not more"),
        "{decision:?}"
    );
    // It brought nothing: one more now and then.
    assert_eq!(service.sees_for(8, &full(6, 20, 0.6)).desired, 6);
    assert_eq!(service.sees(full(6, 20, 0.6)).desired, 7);
    assert_eq!(service.sees_for(9, &full(7, 20, 0.7)).desired, 7);

    // It brought more, so the next step is free.
    let mut service = Service::new(1, 50);
    step(&mut service);
    assert_eq!(service.sees_for(6, &full(6, 60, 0.2)).desired, 6);
    assert!(service.sees(full(6, 60, 0.2)).desired > 6);

    // Calls as long as before: nothing to wait for.
    let mut service = Service::new(1, 50);
    step(&mut service);
    assert!(service.sees(full(6, 20, 0.1)).desired > 6);
}

#[test]
fn strange_samples_do_no_harm() {
    let extreme = Observed {
        ready: u32::MAX / 2,
        slots: 0,
        busy_seconds: 1e300,
        offered: u64::MAX / 1000,
        queued: u64::MAX,
        instance_memory: Some(1),
        start_time: Some(Duration::MAX),
        ..idle(0)
    };
    let mut service = Service::new(0, u32::MAX);
    assert!(service.sees_for(3, &extreme).desired >= u32::MAX / 2);
    service.policy.scale.down_after = Duration::ZERO;
    assert_eq!(service.sees_for(3, &idle(0)).desired, 0);
}
