//! A rolling restart of one service, step by step. Pure.
//!
//! ```text
//! prove what was restarted at once ─▶ is an old one left? ──no──▶ done
//!                                     ▲      │ yes
//!                        old one gone │      ▼
//!                                     └── one more instance ─▶ ready and stable ─▶ retire an old one
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::event::{Effect, Failure, Ticket};
use super::reconcile::Seen;
use crate::model::Generation;

/// How long a new instance must be ready before an old one goes.
const STABLE: Duration = Duration::from_secs(2);

/// What the service has to do for its rolling restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Start what is wanted, and ask again.
    Again,
    /// Start one instance more than wanted, and say which by [`Roll::surged`].
    Surge,
    /// Retire this old one; the new one takes its share.
    Retire(u32),
    Done,
}

#[derive(Debug)]
enum Phase {
    /// These new instances must be ready and stable before anything else is touched.
    Proving { fresh: BTreeSet<u32>, surge: bool },
    /// This old one is on its way out.
    Leaving { number: u32, generation: Generation },
    /// It is gone, and its place is to be filled.
    Filling,
}

/// Who is told when a rolling restart is over, or that it is not by then.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub ticket: Ticket,
    pub until: Instant,
}

/// A rolling restart under way.
#[derive(Debug)]
pub struct Roll {
    pub askers: Vec<Asker>,
    /// Parked calls of an old instance do not wait there (`--watch`); ready counts as stable.
    pub replay_now: bool,
    old: BTreeSet<Generation>,
    phase: Phase,
    /// Two at once would be in each other's way, so an old one goes before its successor comes.
    in_turn: bool,
}

impl Roll {
    /// `old` run the code that is to go; `fresh` had no process and were started again just now.
    pub fn new(
        askers: Vec<Asker>,
        replay_now: bool,
        old: BTreeSet<Generation>,
        fresh: BTreeSet<u32>,
    ) -> Self {
        Self { askers, replay_now, old, phase: Phase::Proving { fresh, surge: false }, in_turn: false }
    }

    /// Never has more instances than wanted.
    pub fn in_turn(self) -> Self {
        Self { in_turn: true, ..self }
    }

    /// How many instances are wanted now, of `desired`.
    pub fn target(&self, desired: u32) -> u32 {
        let is_making_room = self.in_turn && matches!(self.phase, Phase::Leaving { .. });
        (desired + self.extra()).saturating_sub(u32::from(is_making_room))
    }

    /// How long a new instance must be ready to count as proven.
    pub fn stable(&self) -> Duration {
        if self.replay_now { Duration::ZERO } else { STABLE }
    }

    /// Instances wanted beyond the target.
    pub fn extra(&self) -> u32 {
        u32::from(matches!(self.phase, Phase::Proving { surge: true, .. }))
    }

    pub fn is_old(&self, generation: Generation) -> bool {
        self.old.contains(&generation)
    }

    /// Whether the rolling restart stands or falls with this new instance.
    pub fn is_proving(&self, number: u32) -> bool {
        matches!(&self.phase, Phase::Proving { fresh, .. } if fresh.contains(&number))
    }

    /// Tells which instance [`Step::Surge`] started.
    pub fn surged(&mut self, number: u32) {
        self.phase = Phase::Proving { fresh: BTreeSet::from([number]), surge: true };
    }

    /// The next step, as things are now.
    pub fn next(&mut self, seen: &[Seen]) -> Step {
        self.old.retain(|generation| seen.iter().any(|one| one.active && one.generation == *generation));
        match &mut self.phase {
            Phase::Leaving { number, generation } => {
                match seen.iter().any(|one| one.number == *number && one.generation == *generation) {
                    true => Step::Wait,
                    false if self.in_turn => {
                        self.phase = Phase::Filling;
                        Step::Again
                    }
                    false => self.surge_or_end(seen),
                }
            }
            Phase::Filling => {
                let is_new = |one: &&Seen| one.active && !self.old.contains(&one.generation);
                let fresh = seen.iter().filter(is_new).map(|one| one.number).collect();
                self.phase = Phase::Proving { fresh, surge: false };
                self.next(seen)
            }
            Phase::Proving { fresh, surge } => {
                fresh.retain(|number| seen.iter().any(|one| one.active && one.number == *number));
                let is_proven = |number: &u32| seen.iter().any(|one| one.proven && one.number == *number);
                if !fresh.iter().all(is_proven) {
                    return Step::Wait;
                }
                // Without its new instance (scaled away) an old one keeps its place until the next one is there.
                match *surge && !fresh.is_empty() {
                    true => self.retire_one(seen),
                    false => self.surge_or_end(seen),
                }
            }
        }
    }

    fn surge_or_end(&mut self, seen: &[Seen]) -> Step {
        match (self.old.is_empty(), self.in_turn) {
            (true, _) => Step::Done,
            (false, true) => self.retire_one(seen),
            (false, false) => Step::Surge,
        }
    }

    fn retire_one(&mut self, seen: &[Seen]) -> Step {
        let candidates = seen.iter().filter(|one| self.old.contains(&one.generation));
        let Some(one) = candidates.min_by_key(|one| (one.ready, one.number)) else { return Step::Done };
        self.phase = Phase::Leaving { number: one.number, generation: one.generation };
        Step::Retire(one.number)
    }
}

/// The rolling restart of a service, and those who asked during it: theirs starts over when it has ended (or when
/// nothing of it is ready yet), because what is new by then may have been started too early for them.
#[derive(Debug, Default)]
pub struct Rolls {
    pub current: Option<Roll>,
    pub next: Option<Next>,
}

/// A rolling restart that waits for its turn.
#[derive(Debug, Default)]
pub struct Next {
    pub askers: Vec<Asker>,
    pub replay_now: bool,
}

impl Rolls {
    /// Joins the restart that waits for its turn.
    pub fn join_next(&mut self, asker: Asker, replay_now: bool) {
        let next = self.next.get_or_insert_default();
        next.askers.push(asker);
        next.replay_now |= replay_now;
    }

    /// When the first of those who wait gives up.
    pub fn next_deadline(&self) -> Option<Instant> {
        let current = self.current.iter().flat_map(|roll| &roll.askers);
        let next = self.next.iter().flat_map(|next| &next.askers);
        current.chain(next).map(|asker| asker.until).min()
    }

    /// Tells those who have waited long enough; the restart itself goes on.
    pub fn give_up(&mut self, now: Instant, failure: &Failure, out: &mut Vec<Effect>) {
        let current = self.current.iter_mut().map(|roll| &mut roll.askers);
        let next = self.next.iter_mut().map(|next| &mut next.askers);
        for askers in current.chain(next) {
            let late = askers.extract_if(.., |asker| asker.until <= now);
            out.extend(late.map(|asker| asker.told(Err(failure.clone()))));
        }
    }

    /// Ends the current restart; returns the one whose turn it is now.
    pub fn end(&mut self, outcome: &Result<(), Failure>, out: &mut Vec<Effect>) -> Option<Next> {
        let askers = self.current.take().map(|roll| roll.askers).unwrap_or_default();
        out.extend(askers.into_iter().map(|asker| asker.told(outcome.clone())));
        self.next.take()
    }

    /// Ends the current restart in favour of the next one, which answers for both.
    pub fn take_both(&mut self) -> Option<Next> {
        let mut next = self.next.take()?;
        if let Some(current) = self.current.take() {
            next.askers.splice(0..0, current.askers);
            next.replay_now |= current.replay_now;
        }
        Some(next)
    }

    /// Ends both.
    pub fn abandon(&mut self, failure: &Failure, out: &mut Vec<Effect>) {
        let next = self.end(&Err(failure.clone()), out).unwrap_or_default();
        out.extend(next.askers.into_iter().map(|asker| asker.told(Err(failure.clone()))));
    }
}

impl Asker {
    fn told(self, outcome: Result<(), Failure>) -> Effect {
        Effect::Reply { ticket: self.ticket, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u32, generation: u32, is: &str) -> Seen {
        let active = is != "leaving";
        let ready = matches!(is, "ready" | "proven");
        Seen { number, generation: Generation(generation), active, ready, proven: is == "proven", old: false }
    }

    fn roll(old: &[u32], fresh: &[u32]) -> Roll {
        let old = old.iter().copied().map(Generation).collect();
        Roll::new(Vec::new(), false, old, fresh.iter().copied().collect())
    }

    #[test]
    fn instances_are_replaced_one_at_a_time() {
        let mut roll = roll(&[1, 2], &[]);
        let (one, two) = (seen(1, 1, "proven"), seen(2, 2, "proven"));
        assert_eq!(roll.next(&[one, two]), Step::Surge);
        roll.surged(3);
        assert_eq!(roll.extra(), 1);
        assert_eq!(roll.next(&[one, two, seen(3, 3, "starting")]), Step::Wait);
        assert_eq!(roll.next(&[one, two, seen(3, 3, "ready")]), Step::Wait, "ready, but not long enough");
        let three = seen(3, 3, "proven");
        assert_eq!(roll.next(&[one, two, three]), Step::Retire(1));
        assert_eq!(roll.extra(), 0);
        assert_eq!(roll.next(&[seen(1, 1, "leaving"), two, three]), Step::Wait);
        assert_eq!(roll.next(&[two, three]), Step::Surge);
        roll.surged(1);
        let successor = seen(1, 4, "proven");
        assert_eq!(roll.next(&[successor, two, three]), Step::Retire(2));
        assert_eq!(roll.next(&[successor, three]), Step::Done);
    }

    #[test]
    fn instances_without_a_process_are_only_waited_for() {
        let mut roll = roll(&[], &[1]);
        assert!(roll.is_proving(1));
        assert_eq!(roll.next(&[seen(1, 2, "starting")]), Step::Wait);
        assert_eq!(roll.extra(), 0);
        assert_eq!(roll.next(&[seen(1, 2, "proven")]), Step::Done);
    }

    #[test]
    fn an_old_one_that_fell_meanwhile_needs_no_replacement() {
        let mut roll = roll(&[1], &[]);
        assert_eq!(roll.next(&[seen(1, 1, "proven")]), Step::Surge);
        roll.surged(2);
        assert_eq!(roll.next(&[seen(1, 5, "starting"), seen(2, 4, "proven")]), Step::Done);
    }

    #[test]
    fn a_new_one_that_is_scaled_away_is_started_again_before_an_old_one_goes() {
        let mut roll = roll(&[1], &[]);
        assert_eq!(roll.next(&[seen(1, 1, "proven")]), Step::Surge);
        roll.surged(2);
        assert_eq!(roll.next(&[seen(1, 1, "proven"), seen(2, 2, "leaving")]), Step::Surge);
    }

    #[test]
    fn an_old_one_that_does_not_serve_goes_first() {
        let mut roll = roll(&[1, 2], &[]);
        roll.surged(3);
        let instances = [seen(1, 1, "proven"), seen(2, 2, "starting"), seen(3, 3, "proven")];
        assert_eq!(roll.next(&instances), Step::Retire(2));
    }

    #[test]
    fn in_turn_an_old_one_is_gone_before_its_successor_comes() {
        let mut roll = roll(&[1, 2], &[]).in_turn();
        let two = seen(2, 2, "proven");
        assert_eq!(roll.next(&[seen(1, 1, "proven"), two]), Step::Retire(1));
        assert_eq!(roll.target(2), 1);
        assert_eq!(roll.next(&[seen(1, 1, "leaving"), two]), Step::Wait);
        assert_eq!(roll.next(&[two]), Step::Again, "now the wanted number counts again");
        assert_eq!(roll.target(2), 2);
        assert_eq!(roll.next(&[seen(1, 3, "starting"), two]), Step::Wait);
        let one = seen(1, 3, "proven");
        assert_eq!(roll.next(&[one, two]), Step::Retire(2));
        assert_eq!(roll.next(&[one]), Step::Again);
        assert_eq!(roll.next(&[one, seen(2, 4, "proven")]), Step::Done);
    }

    #[test]
    fn a_service_without_instances_is_done_at_once() {
        assert_eq!(roll(&[], &[]).next(&[]), Step::Done);
    }
}
