//! Whatever happens in whatever order, some things hold.

use proptest::prelude::*;

use super::sim::{BROKEN, Habits, Sim, WELL};
use crate::model::ServiceId;
use crate::registry::tests::{offer, ready_first};
use crate::supervisor::event::{Event, Ticket};

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Habits(usize, usize),
    Scale(u32, Option<u32>, bool),
    Steer(u32, u32),
    Restart(u32, bool),
    AwaitReady,
    /// To the nth instance of a service, if there is one.
    Dies(usize, usize),
    Severed(usize, usize),
    Hangs(usize, usize),
    Drained(usize, usize),
}

const HABITS: [Habits; 5] = [
    WELL,
    BROKEN,
    Habits { hello: None, ..WELL },
    Habits { busy: Some(40_000), hooks: Some(20_000), ..WELL },
    Habits { exits: Some(3_000), ignores_stop_signal: true, ..WELL },
];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..40_000).prop_map(Act::Pass),
        4 => (0_u64..200).prop_map(Act::Pass),
        1 => (0..2_usize, 0..HABITS.len()).prop_map(|(service, habits)| Act::Habits(service, habits)),
        2 => (0..2_u32, proptest::option::of(0..6_u32), any::<bool>()).prop_map(|(s, n, wait)| Act::Scale(s, n, wait)),
        2 => (0..2_u32, 0..6_u32).prop_map(|(service, n)| Act::Steer(service, n)),
        2 => (0..2_u32, any::<bool>()).prop_map(|(service, now)| Act::Restart(service, now)),
        1 => Just(Act::AwaitReady),
        2 => (0..2_usize, 0..6_usize).prop_map(|(service, nth)| Act::Dies(service, nth)),
        1 => (0..2_usize, 0..6_usize).prop_map(|(service, nth)| Act::Severed(service, nth)),
        1 => (0..2_usize, 0..6_usize).prop_map(|(service, nth)| Act::Hangs(service, nth)),
        1 => (0..2_usize, 0..6_usize).prop_map(|(service, nth)| Act::Drained(service, nth)),
    ]
}

fn perform(sim: &mut Sim, act: Act, tickets: &mut Vec<Ticket>) {
    let nth = |sim: &Sim, service: usize, nth: usize| sim.entries(service).get(nth).map(|entry| entry.id);
    let ticket = Ticket(tickets.len() as u64);
    match act {
        Act::Pass(ms) => sim.pass(ms),
        Act::Habits(service, habits) => {
            sim.habits.insert(ServiceId(service as u32), HABITS[habits]);
        }
        Act::Scale(service, target, wait) => {
            tickets.push(ticket);
            sim.tell(Event::Scale { service: ServiceId(service), target, wait, ticket });
        }
        Act::Steer(service, instances) => sim.tell(Event::Steer { service: ServiceId(service), instances }),
        Act::Restart(service, replay_now) => {
            tickets.push(ticket);
            sim.tell(Event::Restart { service: ServiceId(service), replay_now, ticket });
        }
        Act::AwaitReady => {
            tickets.push(ticket);
            sim.tell(Event::AwaitReady { ticket });
        }
        Act::Dies(service, n) => {
            if let Some(instance) = nth(sim, service, n) {
                sim.dies(instance, "killed by SIGKILL");
            }
        }
        Act::Severed(service, n) => {
            if let Some(instance) = nth(sim, service, n) {
                sim.tell(Event::Severed { instance, why: None });
            }
        }
        Act::Hangs(service, n) => {
            if let Some(instance) = nth(sim, service, n) {
                sim.tell(Event::Unresponsive { instance, why: "it hangs".to_owned() });
            }
        }
        Act::Drained(service, n) => {
            if let Some(instance) = nth(sim, service, n) {
                sim.tell(Event::Drained { instance });
            }
        }
    }
}

fn two_services() -> Sim {
    let mut dependent = offer("a.a");
    dependent.spec.depends_on = vec![ready_first("b")];
    Sim::new(vec![dependent, offer("b.b")])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The simulation itself asserts that no place ever has two processes and no request two answers.
    #[test]
    fn everything_settles_and_ends(acts in proptest::collection::vec(act(), 1..40)) {
        let (mut sim, mut tickets) = (two_services(), Vec::new());
        for act in acts {
            perform(&mut sim, act, &mut tickets);
            for service in 0..2 {
                prop_assert!(sim.active(service) <= sim.desired(service) as usize + 1, "{}", sim.shown(service));
            }
        }
        for service in 0..2 {
            sim.habits.insert(ServiceId(service), WELL);
        }
        sim.pass(1_000_000);
        for service in 0..2 {
            let shown = sim.shown(service);
            prop_assert!(!shown.contains(['s', 'b', 'c']), "service {} is {}", service, shown);
            prop_assert_eq!(sim.entries(service).len(), sim.desired(service) as usize, "{}", shown);
        }
        prop_assert!(tickets.iter().all(|ticket| sim.replies.contains_key(ticket)), "{:?}", sim.replies);
        sim.tell(Event::Shutdown);
        sim.pass(1_000_000);
        prop_assert_eq!((sim.ended.clone(), sim.processes()), (Some(vec![]), 0));
    }

    #[test]
    fn a_shutdown_ends_at_any_moment(
        acts in proptest::collection::vec(act(), 1..30), is_killed: bool, later_ms in 0_u64..2_000
    ) {
        let (mut sim, mut tickets) = (two_services(), Vec::new());
        for act in acts {
            perform(&mut sim, act, &mut tickets);
        }
        sim.tell(Event::Shutdown);
        sim.pass(later_ms);
        if is_killed {
            sim.tell(Event::Kill);
        }
        sim.pass(if is_killed { 10_000 } else { 200_000 });
        prop_assert_eq!((sim.ended.clone(), sim.processes()), (Some(vec![]), 0));
        prop_assert!(tickets.iter().all(|ticket| sim.replies.contains_key(ticket)), "{:?}", sim.replies);
    }
}
