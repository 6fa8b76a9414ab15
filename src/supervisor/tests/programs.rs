//! What becomes of programs, on simulated time.

use std::time::Duration;

use crate::config::command::{Check, CommandSpec, Dependency, Probe, RestartPolicy, Serving, Target, Until};
use crate::config::spec::{InstanceRange, Program};
use crate::model::{Generation, InstanceId, ServiceId, ServiceName, Upstream};
use crate::protocol::control::InstanceState;
use crate::registry::Offer;
use crate::registry::tests::offer;
use crate::supervisor::event::{Event, Fall, Health};

use super::sim::{Habits, Sim, WELL};

const A: ServiceId = ServiceId(0);
const QUIET: Habits = Habits { hello: None, ..WELL };

fn program(name: &str, change: impl FnOnce(&mut CommandSpec)) -> Offer {
    let mut command = CommandSpec {
        argv: vec!["serve".to_owned()],
        serving: Serving::Port,
        startup: None,
        ready: None,
        live: None,
        restart: RestartPolicy::Always,
        is_oneshot: false,
    };
    change(&mut command);
    let mut offer = offer(&format!("m.{name}"));
    offer.spec.name = ServiceName::new(name);
    offer.spec.instances = InstanceRange { min: 1, max: 1 };
    offer.spec.program = Program::Command(Box::new(command));
    offer
}

fn oneshot(name: &str, restart: RestartPolicy) -> Offer {
    program(name, |command| {
        (command.is_oneshot, command.serving, command.restart) = (true, Serving::Nothing, restart);
    })
}

fn needs(mut offer: Offer, service: &str, until: Until) -> Offer {
    offer.spec.depends_on = vec![Dependency { service: service.to_owned(), until }];
    offer
}

fn sim(offers: Vec<Offer>) -> Sim {
    Sim::of_habits(offers, QUIET)
}

fn first(service: ServiceId, generation: u32) -> InstanceId {
    InstanceId { service, number: 1, generation: Generation(generation) }
}

fn upstream() -> Option<Upstream> {
    Some(Upstream::Tcp(([127, 0, 0, 1], 20_000).into()))
}

fn probed(sim: &mut Sim, generation: u32, health: Health) {
    sim.tell(Event::Probed { instance: first(A, generation), health });
}

/// A program `a` that is ready, and an empty log.
fn ready(offer: Offer) -> Sim {
    let mut sim = sim(vec![offer]);
    sim.pass(10);
    probed(&mut sim, 1, Health::Up(upstream()));
    probed(&mut sim, 1, Health::Fit);
    sim.take_log();
    sim
}

fn state(sim: &Sim) -> InstanceState {
    sim.instances(A)[0].state
}

#[test]
fn a_server_is_told_of_when_it_has_started_and_ready_when_its_probe_passes() {
    let mut sim = sim(vec![program("a", |_| ())]);
    sim.pass(100);
    probed(&mut sim, 1, Health::NotYet("nothing listens".to_owned()));
    probed(&mut sim, 1, Health::Up(upstream()));
    assert_eq!(state(&sim), InstanceState::Starting);
    probed(&mut sim, 1, Health::Fit);
    assert_eq!(sim.take_log(), ["0 spawn a-1", "100 serve a-1 127.0.0.1:20000", "100 ready a-1"]);
    assert_eq!(sim.instances(A)[0].upstream, upstream());
    probed(&mut sim, 1, Health::Unfit("404".to_owned()));
    assert_eq!((state(&sim), sim.instances(A)[0].reason.as_deref()), (InstanceState::Unready, Some("404")));
    probed(&mut sim, 1, Health::Fit);
    assert_eq!(sim.take_log(), ["100 unready a-1", "100 ready a-1"]);
    assert_eq!(sim.instances(A)[0].reason, None);
}

#[test]
fn a_start_that_takes_too_long_fails_with_what_its_probe_found() {
    let startup = Probe {
        check: Check::Tcp(Target::Own),
        timeout: Some(Duration::from_secs(3)),
        interval: None,
        failures: 3,
    };
    let mut sim = sim(vec![program("a", |command| command.startup = Some(startup))]);
    sim.pass(100);
    probed(&mut sim, 1, Health::NotYet("nothing listens on its port 20000".to_owned()));
    sim.pass(3_000);
    let log = sim.take_log();
    let why = "not started within 3 s: nothing listens on its port 20000 (killed by SIGKILL)";
    assert_eq!(
        log[1..4],
        ["3000 kill a-1".to_owned(), format!("3001 gone a-1: {why}"), "3001 kill a-1".into()]
    );
}

#[test]
fn a_program_whose_live_probe_fails_is_killed_and_started_again() {
    let mut sim = ready(program("a", |_| ()));
    probed(&mut sim, 1, Health::Dead("its live probe fails: no answer".to_owned()));
    sim.pass(200);
    let log = sim.take_log();
    assert_eq!(log[..2], ["10 kill a-1", "11 gone a-1: its live probe fails: no answer (killed by SIGKILL)"]);
    assert_eq!(log.last().unwrap(), "111 spawn a-1");
    probed(&mut sim, 1, Health::Fit);
    assert_eq!(state(&sim), InstanceState::Starting, "the word of its predecessor does not count");
}

#[test]
fn a_server_drains_before_its_signal_and_a_program_on_its_own_does_not() {
    let mut server = ready(program("a", |_| ()));
    server.tell(Event::Shutdown);
    server.pass(100);
    let log = server.take_log();
    assert_eq!(log[..3], ["10 drain a-1", "10 terminate a-1", "11 gone a-1: killed by SIGTERM"]);
    let mut loner = ready(program("a", |command| command.serving = Serving::Nothing));
    loner.tell(Event::Shutdown);
    assert_eq!(loner.take_log(), ["10 terminate a-1"]);
}

#[test]
fn what_depends_on_a_oneshot_starts_when_it_has_completed() {
    let mut sim =
        sim(vec![oneshot("a", RestartPolicy::Never), needs(program("b", |_| ()), "a", Until::Completed)]);
    sim.ask(1, |ticket| Event::AwaitReady { ticket });
    sim.pass(120_000);
    assert_eq!(sim.take_log(), ["0 spawn a-1"], "it may take as long as it takes");
    assert_eq!(state(&sim), InstanceState::Running);
    sim.dies(first(A, 1), "exit status 0");
    assert_eq!(state(&sim), InstanceState::Completed);
    sim.pass(100_000);
    let log = sim.take_log();
    assert_eq!(log[..3], ["120000 gone a-1: exit status 0", "120000 kill a-1", "120000 spawn b-1"]);
    assert!(!log.iter().any(|line| line.contains("spawn a")), "{log:?}");
}

#[test]
fn a_oneshot_that_fails_holds_up_what_depends_on_it_until_it_is_run_again() {
    let mut sim =
        sim(vec![oneshot("a", RestartPolicy::Never), needs(program("b", |_| ()), "a", Until::Completed)]);
    let waits = sim.ask(1, |ticket| Event::AwaitReady { ticket });
    sim.dies(first(A, 1), "exit status 1");
    let failure = sim.replies[&waits].clone().unwrap_err();
    assert_eq!(failure.to_string(), "a-1 did not stay up: exit status 1");
    assert_eq!(state(&sim), InstanceState::Failed);
    sim.pass(100_000);
    assert!(!sim.take_log().iter().any(|line| line.contains("spawn b")));
    let again = sim.restart(2, false);
    sim.pass(10);
    sim.dies(first(A, 2), "exit status 0");
    assert_eq!(sim.replies[&again], Ok(()));
    assert!(sim.take_log().contains(&"100010 spawn b-1".to_owned()));
}

#[test]
fn a_restart_of_a_completed_oneshot_runs_it_again_and_tells_how_it_went() {
    let mut sim = sim(vec![oneshot("a", RestartPolicy::Never)]);
    sim.dies(first(A, 1), "exit status 0");
    let again = sim.restart(1, false);
    assert_eq!(state(&sim), InstanceState::Running);
    sim.dies(first(A, 2), "exit status 3");
    assert_eq!(sim.replies[&again].clone().unwrap_err().to_string(), "a-1 did not stay up: exit status 3");
}

#[test]
fn the_restart_policy_decides_what_follows_an_end() {
    for (restart, status, shown) in [
        (RestartPolicy::Always, "exit status 0", InstanceState::Backoff),
        (RestartPolicy::Always, "exit status 1", InstanceState::Backoff),
        (RestartPolicy::OnFailure, "exit status 0", InstanceState::Completed),
        (RestartPolicy::OnFailure, "exit status 1", InstanceState::Backoff),
        (RestartPolicy::Never, "exit status 0", InstanceState::Completed),
        (RestartPolicy::Never, "exit status 1", InstanceState::Failed),
    ] {
        let mut sim = ready(program("a", |command| command.restart = restart));
        sim.dies(first(A, 1), status);
        assert_eq!(state(&sim), shown, "{restart:?} {status}");
    }
}

#[test]
fn an_end_that_was_not_its_own_is_made_good_whatever_the_policy() {
    let mut sim = sim(vec![program("a", |command| command.restart = RestartPolicy::Never)]);
    let waits = sim.ask(1, |ticket| Event::AwaitReady { ticket });
    let fall = Fall { is_excused: true, ..Fall::new("its port was taken", Vec::new()) };
    sim.falls(first(A, 1), fall);
    assert_eq!(state(&sim), InstanceState::Backoff);
    sim.pass(200);
    probed(&mut sim, 2, Health::Up(upstream()));
    probed(&mut sim, 2, Health::Fit);
    assert_eq!(sim.replies[&waits], Ok(()));
}

#[test]
fn a_dependency_may_be_on_the_start_alone() {
    let mut sim = sim(vec![program("a", |_| ()), needs(program("b", |_| ()), "a", Until::Started)]);
    sim.pass(1);
    assert_eq!(sim.take_log(), ["0 spawn a-1", "0 spawn b-1"]);
}

#[test]
fn a_restart_of_a_program_that_is_not_balanced_never_has_two_of_it() {
    let mut sim = ready(program("a", |command| command.serving = Serving::Nothing));
    let restarted = sim.restart(1, false);
    sim.pass(100);
    assert_eq!(sim.take_log(), ["10 terminate a-1", "11 gone a-1: killed by SIGTERM", "11 spawn a-1"]);
    probed(&mut sim, 2, Health::Up(None));
    probed(&mut sim, 2, Health::Fit);
    sim.pass(3_000);
    assert_eq!(sim.replies[&restarted], Ok(()));
    let again = sim.restart(2, false);
    sim.pass(100);
    sim.dies(first(A, 3), "exit status 1");
    assert_eq!(sim.replies[&again].clone().unwrap_err().to_string(), "a-1 did not stay up: exit status 1");
}

#[test]
fn a_rolling_restart_of_a_server_keeps_the_old_one_until_the_new_one_is_ready() {
    let mut sim = ready(program("a", |_| ()));
    let rolled = sim.restart(1, false);
    let new = InstanceId { service: A, number: 2, generation: Generation(2) };
    sim.tell(Event::Probed { instance: new, health: Health::Up(upstream()) });
    sim.tell(Event::Probed { instance: new, health: Health::Fit });
    sim.pass(3_000);
    assert_eq!(sim.replies[&rolled], Ok(()));
    let log = sim.take_log();
    let order = ["10 spawn a-2", "10 serve a-2 127.0.0.1:20000", "10 ready a-2", "2010 drain a-1"];
    assert_eq!(log[..4], order);
}
