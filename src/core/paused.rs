//! Calls whose replay has done something else than before. They fail, or, where their service says so, they are
//! *paused*: they hold no slot, keep what is recorded, and wait for somebody who has them replayed once more.
//!
//! The worker finds the difference where a result is recorded, and ends the attempt itself. Where the earlier call has no
//! result yet, the core finds it: then the attempt must first leave its worker, and what it does meanwhile counts for
//! nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timers::Due;
use super::view::{Found, NotFound};
use super::workers::Sender;
use super::{Core, Effect, Labels, Refusal, Stage};
use crate::calls::{Asked, Call, Child, Fault, Place};
use crate::config::spec::OnNondeterminism;
use crate::model::{CallKey, InstanceId, Outcome};
use crate::protocol::calls::{CallInfo, Described, Difference, PausedInfo};
use crate::protocol::json::to_json;
use crate::protocol::worker::ToWorker;

/// Calls that may be paused at once, and how long each may be.
const PAUSED_MAX: usize = 10_000;
const PAUSED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of arguments that are shown.
const SHOWN_BYTES_MAX: usize = 4_096;
const SHOWN_CHARS_MAX: usize = 120;
/// Calls that are named among those that are forgotten.
const DROPPED_MAX: usize = 20;

/// What is known of a call that is paused, or will be once it has left its worker.
#[derive(Debug)]
pub(super) struct Pause {
    difference: Difference,
    /// What it fails with if nobody sees to it.
    error: Bytes,
    /// When that is; `None`: it has not left its worker.
    until: Option<Instant>,
    /// Its worker was told to leave it.
    told: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Paused(HashMap<CallKey, Pause>);

/// Why a call cannot be retried.
#[derive(Debug, thiserror::Error)]
pub enum CannotRetry {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("the call {id} is not paused: it is {status}")]
    NotPaused { id: String, status: &'static str },
    #[error("the call {0} has differed somewhere else since")]
    Changed(String),
    #[error("the call {id} stays paused: {}", .refusal.message)]
    Hopeless { id: String, refusal: Refusal },
}

/// What a paused call does since it was retried.
#[derive(Debug, PartialEq)]
pub enum Progress {
    Paused(PausedInfo),
    /// It has come further than what was recorded.
    GoesOn,
    UnderWay,
    Ended,
}

impl Core {
    /// Whether this attempt counts for nothing any more, because it has done something else.
    pub(super) fn differs(&self, key: CallKey) -> bool {
        self.paused.0.contains_key(&key)
    }

    /// Whether it has, at this number or before.
    pub(super) fn differs_before(&self, key: CallKey, seq: u32) -> bool {
        self.paused.0.get(&key).is_some_and(|pause| pause.difference.seq <= seq)
    }

    /// The worker says what its attempt, which is about to end, did otherwise.
    pub(super) fn note_difference(&mut self, sender: Sender, difference: Difference, error: &Bytes) {
        if self.is_current(sender) || self.is_unwinding(sender) {
            self.will_pause(sender.call, difference, error.clone());
        }
    }

    fn will_pause(&mut self, key: CallKey, difference: Difference, error: Bytes) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let policy = self.service(call.service).setup.on_nondeterminism;
        if policy == OnNondeterminism::Fail || self.stage != Stage::Open {
            return false;
        }
        let has_room = self.paused.0.len() < PAUSED_MAX || self.differs(key);
        if has_room {
            self.paused.0.entry(key).or_insert(Pause { difference, error, until: None, told: false });
        }
        has_room
    }

    /// A call has done what it must not: it fails, or leaves its worker to be paused.
    pub(super) fn misbehaves(&mut self, now: Instant, key: CallKey, fault: Fault, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        let (place, service) = (call.place, call.service);
        let Fault::NonDeterminism(difference) = &fault else { return self.fail(now, key, fault, out) };
        let difference = (**difference).clone();
        let payload = fault.clone().payload(&self.service(service).setup.name);
        if !self.will_pause(key, difference, payload) {
            return self.fail(now, key, fault, out);
        }
        match place {
            // It holds its slot until its worker is done with it.
            Place::Running(instance) => self.set_place(key, Place::Unwinding(instance)),
            Place::Parked { instance, .. } => {
                self.evict(now, instance, key, out);
                self.mark_told(key);
            }
            _ => (),
        }
    }

    fn set_place(&mut self, key: CallKey, place: Place) {
        if let Some(call) = self.calls.get_mut(key) {
            call.place = place;
        }
    }

    /// Answers whether that is news.
    fn mark_told(&mut self, key: CallKey) -> bool {
        self.paused.0.get_mut(&key).is_some_and(|pause| !std::mem::replace(&mut pause.told, true))
    }

    /// The attempt waits: nothing will come. It is told so once, for later it has ended.
    pub(super) fn leaves(&mut self, sender: Sender, out: &mut Vec<Effect>) {
        if self.is_unwinding(sender) && self.mark_told(sender.call) {
            let Sender { instance, lane, call, attempt } = sender;
            out.push(Effect::Send { instance, lane, message: ToWorker::Evict { call, attempt } });
        }
    }

    /// The attempt has left its worker: the call is paused.
    pub(super) fn pause(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(pause) = self.paused.0.get_mut(&key) else { return };
        if self.stage != Stage::Open {
            let error = std::mem::take(&mut pause.error);
            return self.end(now, key, Outcome::Error(error), out);
        }
        let until = now + PAUSED_FOR;
        pause.until = Some(until);
        self.timers.set(until, key, Due::EndOfPause);
        let Some(call) = self.calls.get_mut(key) else { return };
        call.place = Place::Paused;
        self.history.parked(call.record, now);
        let Some(id) = self.id_of(key) else { return };
        let Some(call) = self.calls.get(key) else { return };
        let name = &self.service(call.service).setup.name;
        out.push(Effect::Log(format!(
            "the call {id} of {name} was run again and did something else than before: it is paused, and `msx why {id}` says more"
        )));
    }

    /// If a call of this instance, which is gone, was about to be paused, it is now.
    pub(super) fn pause_lost(
        &mut self,
        now: Instant,
        id: InstanceId,
        key: CallKey,
        out: &mut Vec<Effect>,
    ) -> bool {
        let was_here = self.calls.get(key).is_some_and(|call| call.place == Place::Unwinding(id));
        let is_it = was_here && self.differs(key);
        if is_it {
            self.pause(now, key, out);
        }
        is_it
    }

    /// Nobody has seen to it in time.
    pub(super) fn end_pause(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        if let Some(pause) = self.paused.0.get_mut(&key) {
            let error = std::mem::take(&mut pause.error);
            self.end(now, key, Outcome::Error(error), out);
        }
    }

    /// The hub ends, and its memory with it: what is paused fails.
    pub(super) fn end_pauses(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let paused = self.paused.0.iter().filter(|(_, pause)| pause.until.is_some());
        let mut paused: Vec<CallKey> = paused.map(|(key, _)| *key).collect();
        paused.sort_unstable();
        paused.into_iter().for_each(|key| self.end_pause(now, key, out));
    }

    pub(super) fn forget_pause(&mut self, key: CallKey) {
        if let Some(Pause { until: Some(until), .. }) = self.paused.0.remove(&key) {
            self.timers.clear(until, key, Due::EndOfPause);
        }
    }

    // ---- for those who see to it ----

    /// Replays a paused call. With `force` it forgets what is recorded from the difference on, which must be at this seq.
    pub fn retry_paused(
        &mut self,
        now: Instant,
        id: &str,
        force: Option<u32>,
        labels: Labels<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<CallInfo, CannotRetry> {
        let key = self.find_paused(now, id)?;
        let Some(call) = self.calls.get(key) else { return Err(NotFound::Unknown(id.to_owned()).into()) };
        let (info, service, record) = (self.info(now, call, labels), call.service, call.record);
        let differs_at = self.paused.0.get(&key).map(|pause| pause.difference.seq);
        if force.is_some() && force != differs_at {
            return Err(CannotRetry::Changed(info.id));
        }
        // It would fail at once.
        if let Some(refusal) = self.hopeless(service) {
            return Err(CannotRetry::Hopeless { id: info.id, refusal });
        }
        if let Some(seq) = force {
            let dropped = self.calls.drop_from(key, seq);
            self.forget_dropped_streams(key);
            dropped.into_iter().for_each(|child| self.cancel(now, child, out));
        }
        self.forget_pause(key);
        self.history.woken(record, now);
        self.queue_replay(key);
        self.pump(now, out);
        Ok(info)
    }

    fn find_paused(&self, now: Instant, id: &str) -> Result<CallKey, CannotRetry> {
        let key = match self.find(now, id)? {
            Found::Live(key) => key,
            Found::Ended(ended) => return Err(ended.into_not_found().into()),
        };
        match self.calls.get(key) {
            Some(call) if call.place == Place::Paused => Ok(key),
            Some(call) => Err(CannotRetry::NotPaused {
                id: self.calls.id_of(call).text(),
                status: super::view::status(call).as_str(),
            }),
            None => Err(NotFound::Unknown(id.to_owned()).into()),
        }
    }

    /// What has become of a call that was retried.
    pub fn progress(&self, now: Instant, id: &str) -> Progress {
        let Ok(Found::Live(key)) = self.find(now, id) else { return Progress::Ended };
        let Some(call) = self.calls.get(key) else { return Progress::Ended };
        match call.place {
            Place::Paused => self.paused_info(now, call).map_or(Progress::UnderWay, Progress::Paused),
            Place::Parked { .. } | Place::Evicted | Place::Backoff(_) => Progress::GoesOn,
            Place::Unwinding(_) if !self.differs(key) => Progress::GoesOn,
            _ => Progress::UnderWay,
        }
    }

    /// Why a call is paused.
    pub(super) fn paused_info(&self, now: Instant, call: &Call) -> Option<PausedInfo> {
        let is_it = |key: &CallKey| self.calls.get(*key).is_some_and(|known| std::ptr::eq(known, call));
        let found = (call.place == Place::Paused).then(|| self.paused.0.iter().find(|(key, _)| is_it(key)));
        let (_, pause) = found.flatten()?;
        let dropped: Vec<&Child> = call.asked_from(pause.difference.seq).collect();
        Some(PausedInfo {
            difference: pause.difference.clone(),
            dropped_count: dropped.len() as u64,
            dropped: dropped
                .into_iter()
                .take(DROPPED_MAX)
                .filter_map(|child| self.described(child))
                .collect(),
            left_s: pause.until.map_or(0.0, |until| until.saturating_duration_since(now).as_secs_f64()),
        })
    }

    // ---- what was asked for, in words ----

    /// The difference between a child and what is asked for under its number now.
    pub(super) fn difference(&self, seq: u32, before: &Child, now: Described) -> Fault {
        let unknown = || Described { call: "nothing".to_owned(), line: None };
        let before = self.described(before).unwrap_or_else(unknown);
        Fault::NonDeterminism(Box::new(Difference { seq, before, now: Some(now) }))
    }

    fn described(&self, child: &Child) -> Option<Described> {
        match child {
            Child::Untold => None,
            Child::Pending { call, service, ident, line, .. } => {
                let arguments = self.calls.get(*call).map_or(&[][..], |call| &call.arguments);
                let call = call_text(self.service(*service).setup.name.as_str(), arguments, *ident);
                Some(Described { call, line: line.as_deref().map(str::to_owned) })
            }
            Child::Awaited { asked, ident, line, .. } => {
                let call = call_text(self.name_of(asked).as_str(), &[], *ident);
                Some(Described { call, line: line.as_deref().map(str::to_owned) })
            }
            Child::Recorded { asked, ident, request, .. } => {
                let name = self.name_of(asked);
                let call = match *asked {
                    Asked::Memo => format!("{name}(…)"),
                    _ => call_text(name.as_str(), &request.arguments, *ident),
                };
                Some(Described { call, line: request.line.as_deref().map(str::to_owned) })
            }
        }
    }
}

/// `shop.charge("4000-1")`, or with a checksum where the arguments are not known or too long.
pub(super) fn call_text(service: &str, arguments: &[u8], ident: u32) -> String {
    match shown_arguments(arguments) {
        Some(arguments) => format!("{service}({arguments})"),
        None => format!("{service}(…) with arguments {ident:08x}"),
    }
}

fn shown_arguments(payload: &[u8]) -> Option<String> {
    if payload.is_empty() || payload.len() > SHOWN_BYTES_MAX {
        return None;
    }
    let mut json = Vec::new();
    to_json(payload, &mut json).ok()?;
    let (args, kwargs): (Vec<serde_json::Value>, serde_json::Map<String, serde_json::Value>) =
        serde_json::from_slice(&json).ok()?;
    let named = kwargs.iter().map(|(name, value)| format!("{name}={value}"));
    let parts: Vec<String> = args.iter().map(ToString::to_string).chain(named).collect();
    let text = parts.join(", ");
    Some(match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_as_they_are_written() {
        let payload = b"\x92\x92\x01\xa1a\x81\xa1n\xc0"; // [[1, "a"], {"n": None}]
        assert_eq!(call_text("a.a", payload, 7), r#"a.a(1, "a", n=null)"#);
        assert_eq!(call_text("a.a", b"", 7), "a.a(…) with arguments 00000007");
        assert_eq!(call_text("a.a", &[0xc1], 7), "a.a(…) with arguments 00000007");
    }
}
