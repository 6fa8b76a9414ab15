//! The rolling restart of a service: how it begins, is overtaken by another one, fails and ends. Pure.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Service;
use crate::supervisor::event::{Effect, Failure, Happening};
use crate::supervisor::roll::{Next, Roll};
use crate::supervisor::state::State;

impl Service {
    /// When the new instances of a rolling restart have proven themselves, if all of them are ready: until then there
    /// is nothing to do about it at any time.
    pub(super) fn next_proof(&self) -> Option<Instant> {
        let roll = self.rolls.current.as_ref()?;
        let proving = self.places.values().filter(|place| roll.is_proving(place.id.number));
        let proofs = proving
            .map(|place| Some(place.ready_at.filter(|_| place.state == State::Ready)? + roll.stable()));
        proofs.collect::<Option<Vec<Instant>>>()?.into_iter().max()
    }

    pub(super) fn begin_roll(&mut self, now: Instant, asked: Next, out: &mut Vec<Effect>) {
        let with = |wanted: &[State]| {
            let places = self.places.values().filter(|place| wanted.contains(&place.state));
            places.map(|place| place.id).collect::<Vec<_>>()
        };
        let old = with(&[State::Starting, State::Ready, State::Unready])
            .into_iter()
            .map(|id| id.generation)
            .collect();
        let vacant = with(&[State::Backoff, State::Crashloop, State::Completed, State::Failed]);
        let fresh: BTreeSet<u32> = vacant.into_iter().map(|id| id.number).collect();
        for number in &fresh {
            self.start(now, *number, out);
        }
        let roll = Roll::new(asked.askers, asked.replay_now, old, fresh);
        let in_turn = self.manner.part.is_alone();
        self.rolls.current = Some(if in_turn { roll.in_turn() } else { roll });
    }

    /// Another restart was asked for: the new instance of this one is out of date. While it is not ready, which it may
    /// never be, nothing is lost by starting over at once.
    pub(super) fn supersede(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(roll) = self.rolls.current.as_ref().filter(|roll| roll.extra() > 0) else { return };
        let mut unready = self.places.values().filter(|place| !place.state.is_well());
        let Some(number) =
            unready.find(|place| roll.is_proving(place.id.number)).map(|place| place.id.number)
        else {
            return;
        };
        self.retire(now, number, out);
        if let Some(next) = self.rolls.take_both() {
            self.begin_roll(now, next, out);
        }
    }

    /// A new instance of the rolling restart fell: the old ones stay.
    pub(super) fn fail_roll(&mut self, now: Instant, number: u32, failure: &Failure, out: &mut Vec<Effect>) {
        let Some(roll) = self.rolls.current.as_ref().filter(|roll| roll.is_proving(number)) else { return };
        if roll.extra() > 0 {
            self.retire(now, number, out);
        }
        self.end_roll(now, Err(failure.clone()), out);
    }

    pub(super) fn end_roll(&mut self, now: Instant, outcome: Result<(), Failure>, out: &mut Vec<Effect>) {
        let what = match &outcome {
            Ok(()) => Happening::Rolled,
            Err(failure) => Happening::RollFailed { why: failure.to_string() },
        };
        self.tell(None, what, out);
        if let Some(next) = self.rolls.end(&outcome, out) {
            self.begin_roll(now, next, out);
        }
    }
}
