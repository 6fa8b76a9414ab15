//! The core against a simulated world, as TigerBeetle's VOPR and FoundationDB do it: a seed makes a plan (services,
//! instances, what may go wrong), random programs of calls, and every choice after that. One step is one thing that
//! happens; after each of them all invariants of the core are looked after. Messages travel: they cross each other, are
//! lost with their instance, and some come late or twice.
//!
//! - `plan`: what the seed determines beforehand; in a *calm* world (evictions, replays, rolls and sending ahead, but no
//!   faults) every root must have the very result that it has on paper
//! - `program`, `programs`: the functions and their values; `worker`: processes that run them as docs/protocol.md says
//! - `world`: the steps, and what becomes of effects; `faults`: supervisor and troubles; `callers`: who asks
//! - `invariants`, and the `audit` of each room: what holds after each step; `orders`: what a replay must see again
//! - `seen`: what happened how often; what never happened was not tested
//!
//! A failing seed prints itself, its last events and the command that does the same again:
//! `MSX_SIM_SEED=17 cargo test --bin msx simulation`. `MSX_SIM_MINUTES=30` runs new seeds for so long.
//!
//! How to extend it. A new message of workers: let a program do it (an `Op`, its part in `Course::step` and, if it has
//! a value, in `Programs::work_out`), let `Worker` send it or hear it, give it a `Sight`, and let `World::babble` say it
//! at the wrong moment. A new effect: an arm in `World::obey`. A new event: a `Choice`, an `Errand`, or a fault with its
//! rate in `Faults`. A new place or list of calls: its line in `invariants::check_place` or in the `audit` of its room,
//! and one in `check_rest`.

mod callers;
mod faults;
mod invariants;
mod orders;
mod plan;
mod program;
mod programs;
mod seen;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::simulation::{random, variable};
use plan::Plan;
use seen::Seen;
use world::World;

/// Every run of the tests makes at least so many worlds and steps.
const SEEDS_MIN: u64 = 1_000;
const STEPS_MIN: u64 = 1_000_000;
/// Events of a failed world that are printed.
const EVENTS_SHOWN: usize = 60;

/// What a number of worlds came to.
#[derive(Default)]
struct Total {
    seeds: u64,
    steps: u64,
    seen: Seen,
}

impl Total {
    fn run(&mut self, seed: u64) {
        let world = run(seed, false);
        self.seeds += 1;
        self.steps += world.steps;
        self.seen.add(&world.seen);
    }

    fn report(&self, start: Instant) {
        let Self { seeds, steps, seen } = self;
        println!("simulation: {steps} steps of {seeds} seeds in {:.1?}\n{seen}", start.elapsed());
    }
}

/// Runs the world of a seed to its end. One that fails is run again, to print what happened and whether it fails again.
fn run(seed: u64, is_traced: bool) -> World {
    let mut world = World::new(Plan::new(seed));
    if is_traced {
        world.trace();
    }
    if catch_unwind(AssertUnwindSafe(|| world.run())).is_ok() {
        return world;
    }
    let mut again = World::new(Plan::new(seed));
    again.trace();
    let has_failed_again = catch_unwind(AssertUnwindSafe(|| again.run())).is_err();
    eprintln!("{:#?}\n{}", again.plan, again.last_events(EVENTS_SHOWN).join("\n"));
    assert!(has_failed_again && again.steps == world.steps, "seed {seed} does not do the same again");
    panic!(
        "the simulation of seed {seed} failed in step {}; again: MSX_SIM_SEED={seed} cargo test --bin msx simulation",
        world.steps
    );
}

/// Whatever happens, every root is answered once, with the right value or with an error, or was left; the invariants
/// hold all the time; and nothing is left.
#[test]
fn nothing_is_lost() {
    let (mut total, start) = (Total::default(), Instant::now());
    if let Some(seed) = variable("MSX_SIM_SEED") {
        total.run(seed);
        return total.report(start);
    }
    if let Some(minutes) = variable("MSX_SIM_MINUTES") {
        let first = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()) << 20;
        println!("simulation: seeds from {first} on");
        let mut seeds = first..;
        while start.elapsed() < Duration::from_secs(minutes * 60) {
            seeds.next().into_iter().for_each(|seed| total.run(seed));
        }
        return total.report(start);
    }
    for seed in 0.. {
        if total.seeds >= SEEDS_MIN && total.steps >= STEPS_MIN {
            break;
        }
        total.run(seed);
    }
    total.report(start);
    assert_eq!(total.seen.missing(), [], "each of these happens sometimes");
}

#[test]
fn a_seed_determines_everything() {
    for seed in 0..20 {
        let [first, second] = [run(seed, true), run(seed, true)].map(|world| world.last_events(usize::MAX));
        let differs = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed} does something else the second time");
        assert_eq!(first.len(), second.len(), "seed {seed} does more one time");
    }
}

/// A calm world, with one instance of one slot for each service.
fn narrow(seed: u64, max_parked: u32, replays_always: bool) -> Plan {
    let mut plan = Plan::calm(seed);
    (plan.replays_always, plan.sends_ahead, plan.roots) = (replays_always, false, 4);
    let services = plan.native() as usize;
    for service in &mut plan.services[..services] {
        (service.instances, service.slots, service.max_parked) = (1, 1, max_parked);
    }
    plan
}

const PARKINGS: [(u32, bool); 3] = [(256, false), (1, false), (256, true)];

#[test]
fn one_slot_is_enough_for_any_tree() {
    for (max_parked, replays_always) in PARKINGS {
        (0..20).for_each(|seed| World::new(narrow(seed, max_parked, replays_always)).run());
    }
}

/// All functions raise in their first attempt.
#[test]
fn what_fails_at_first_heals() {
    for (max_parked, replays_always) in PARKINGS {
        for seed in 0..20 {
            let mut plan = narrow(seed, max_parked, replays_always);
            plan.habits.flaky = 100;
            plan.services.iter_mut().for_each(|service| service.setup.retries.max = 2);
            World::new(plan).run();
        }
    }
}
