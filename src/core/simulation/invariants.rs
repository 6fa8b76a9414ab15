//! The invariants of design 2 that are the core's, looked after between any two events. Each room holds its own in an
//! `audit` beside its code; here is how they fit together: every call is where it says that it is, and nothing is
//! anywhere without a call.

use std::collections::BTreeSet;

use crate::balancer::Instance;
use crate::calls::{Call, Place, Suspension};
use crate::core::Core;
use crate::core::timers::Due;
use crate::model::CallKey;

/// Checks all that must hold now.
pub fn check(core: &Core) {
    core.calls.audit();
    core.keys.audit(&core.calls);
    core.turns.audit(&core.calls, &core.services);
    check_timers(core);
    for service in &core.services {
        service.dispatcher.audit();
        assert_eq!(service.hold.is_some(), service.dispatcher.is_held());
        service.dispatcher.instances().iter().for_each(|instance| check_instance(core, instance));
    }
    let mut queued = vec![0; core.services.len()];
    for (key, call) in core.calls.iter() {
        check_place(core, key, call);
        check_wait(call);
        assert!(call.retried <= core.retries_max(call), "a call is tried again as often as it may be");
        queued[call.service.0 as usize] += usize::from(matches!(call.place, Place::Queued(_)));
    }
    for (service, queued) in core.services.iter().zip(queued) {
        assert_eq!(service.dispatcher.waiting().count(), queued, "what is queued is a call that lives");
    }
}

/// A call is in the place that it names, once.
fn check_place(core: &Core, key: CallKey, call: &Call) {
    let instance = match call.place {
        Place::Queued(rank) => {
            let mut waiting = core.service(call.service).dispatcher.waiting();
            assert!(waiting.any(|known| known == (rank, key)), "a queued call is in its queue");
            return;
        }
        Place::Running(instance)
        | Place::Ahead { instance, .. }
        | Place::Parked { instance, .. }
        | Place::Unwinding(instance) => instance,
        // The timers, the turns and the keys know the others.
        Place::Backoff(_) | Place::Held(_) | Place::Following | Place::Evicted | Place::Hub => return,
        // No simulated service has these.
        Place::Batched { .. } | Place::Paused => unreachable!("{:?}", call.place),
    };
    assert_eq!(instance.service, call.service, "a call is in an instance of its service");
    let mut instances = core.service(call.service).dispatcher.instances().iter();
    let instance = instances.find(|known| known.id == instance).expect("its instance is there");
    let found = places(instance).filter(|(known, _)| *known == key).count();
    assert_eq!(found, 1, "a call is once in its instance ({:?})", call.place);
}

/// A call that waits, waits for something; one whose wait is over goes on.
fn check_wait(call: &Call) {
    let waits = match call.place {
        Place::Parked { resuming, .. } => !resuming,
        Place::Evicted => true,
        Place::Running(_) => call.listens,
        _ => false,
    };
    assert!(
        !waits || call.suspension() == Suspension::Waiting,
        "a wait that is over wakes ({:?})",
        call.place
    );
}

/// The calls that an instance holds, each with the kind of its place.
pub fn places(instance: &Instance) -> impl Iterator<Item = (CallKey, Held)> {
    let running = instance.running.iter().map(|running| (running.call, Held::Running));
    let ahead = instance.running.iter().flat_map(|running| &running.ahead).chain(&instance.stranded);
    let parked = instance.parked.iter().map(|parked| (parked.call, Held::Parked));
    let unwinding = instance.unwinding.iter().map(|parked| (parked.call, Held::Unwinding));
    running.chain(ahead.map(|ahead| (ahead.call, Held::Ahead))).chain(parked).chain(unwinding)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Running,
    Ahead,
    Parked,
    Unwinding,
}

/// What an instance holds are calls that live and say so, or the rest of calls that were told to end.
fn check_instance(core: &Core, instance: &Instance) {
    for (key, held) in places(instance) {
        let Some(call) = core.calls.get(key) else {
            assert!(held != Held::Parked, "a call that ended is not parked");
            continue;
        };
        let is_here = match call.place {
            Place::Running(id) => held == Held::Running && id == instance.id,
            Place::Ahead { instance: id, .. } => held == Held::Ahead && id == instance.id,
            Place::Parked { instance: id, .. } => held == Held::Parked && id == instance.id,
            Place::Unwinding(id) => held == Held::Unwinding && id == instance.id,
            _ => false,
        };
        assert!(is_here, "{held:?} in an instance, and {:?}", call.place);
        let is_resuming = instance.resumes.iter().any(|(waiting, _)| *waiting == key);
        let says_so = matches!(call.place, Place::Parked { resuming: true, .. });
        assert_eq!(is_resuming, says_so, "who asks for a slot to go on is in the line for it");
    }
    for running in &instance.running {
        // One that was sent ahead was told so then, and what ended it may have been told before.
        let is_told = running.interrupted.is_some() || running.rank.is_some();
        assert!(
            core.calls.get(running.call).is_some() || is_told,
            "code that runs for nobody was told to end"
        );
    }
}

fn check_timers(core: &Core) {
    let mut expected = BTreeSet::new();
    for (key, call) in core.calls.iter() {
        if let Some(at) = call.deadline.filter(|_| call.has_timer) {
            expected.insert((at, key, Due::Deadline));
        }
        if let Place::Backoff(at) = call.place {
            expected.insert((at, key, Due::Retry));
        }
        if let (Place::Evicted, Some((due, _))) = (call.place, &call.alarm) {
            assert!(core.alarms.contains(&(*due, key)), "who waits for an alarm is woken by it");
        }
    }
    core.timers.audit(&expected);
    for (due, key) in &core.alarms {
        let alarm = core.calls.get(*key).filter(|call| call.place == Place::Evicted);
        let alarm = alarm.and_then(|call| call.alarm.as_ref());
        assert_eq!(alarm.map(|(at, _)| at), Some(due), "an alarm belongs to a call that waits for it");
    }
}

/// Checks that nothing is left when there are no calls.
pub fn check_rest(core: &Core) {
    assert_eq!(core.unfinished(), 0, "all calls have ended");
    assert!(core.history.is_idle(), "no tree outlives its calls");
    assert!(core.alarms.is_empty() && core.timers.next().is_none(), "nothing is due");
    assert!(core.turns.is_idle() && core.keys.is_idle(), "no key is taken");
    for (at, service) in core.services.iter().enumerate() {
        let dispatcher = &service.dispatcher;
        assert_eq!((dispatcher.queued(), dispatcher.busy(), dispatcher.roots_queued()), (0, 0, 0), "{at}");
        for instance in dispatcher.instances() {
            assert!(instance.is_empty(), "{:?} holds something", instance.id);
        }
    }
}
