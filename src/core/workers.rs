//! What the core does with the messages of workers.

use std::sync::Arc;
use std::time::Instant;

use super::paused::call_text;
use super::{Core, Effect};
use crate::calls::{Admission, Asked, Child, Fault, Place, Suspension};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId, ServiceName};
use crate::protocol::calls::Described;
use crate::protocol::worker::{Entry, FromWorker, Memo, ToWorker, Wait};
use crate::registry::NameError;

/// Memos of one call that may be in the making while later calls are made.
const UNTOLD_MAX: usize = 10_000;

/// Characters of a summary; what is longer is cut.
const SUMMARY_MAX: usize = 200;

/// On one line, and without what a terminal would obey.
fn shown(summary: &str) -> String {
    summary.chars().take(SUMMARY_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A sender: the call of this attempt, on this lane of this instance.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) instance: InstanceId,
    pub(super) lane: u32,
    pub(super) call: CallKey,
    pub(super) attempt: u32,
}

impl Core {
    pub(super) fn on_worker(
        &mut self,
        now: Instant,
        instance: InstanceId,
        lane: u32,
        message: FromWorker,
        out: &mut Vec<Effect>,
    ) {
        let sender = |call, attempt| Sender { instance, lane, call, attempt };
        let (call, attempt) = message.head();
        if self.calls.get(call).is_some_and(|call| call.attempt != attempt) {
            return;
        }
        match message {
            FromWorker::Return { call, attempt, value, run } => {
                self.dispatcher(instance.service).pace.ran(run);
                self.on_done(now, sender(call, attempt), Outcome::Value(value), out)
            }
            FromWorker::Answers { call, attempt, outcomes } => {
                self.on_answers(now, sender(call, attempt), outcomes, out)
            }
            FromWorker::Raise { call, attempt, error } => {
                self.on_done(now, sender(call, attempt), Outcome::Error(error), out)
            }
            FromWorker::Differs { call, attempt, error, difference } => {
                self.note_difference(sender(call, attempt), *difference, &error);
                self.on_done(now, sender(call, attempt), Outcome::Error(error), out)
            }
            FromWorker::Calls { call, attempt, entries, wait } => {
                self.on_calls(now, sender(call, attempt), entries, wait, out)
            }
            FromWorker::Evicted { call, attempt } => self.on_evicted(now, sender(call, attempt), out),
            FromWorker::GiveBack { call, attempt } => self.on_given_back(now, sender(call, attempt)),
            FromWorker::Summary { call, attempt, text } => self.on_summary(sender(call, attempt), &text),
            FromWorker::Memo { call, attempt, memo } => self.on_memo(now, sender(call, attempt), memo, out),
            FromWorker::Item { call, attempt, index, item } => {
                self.on_item(now, sender(call, attempt), index, item, out)
            }
            FromWorker::Close { call, attempt, seq } => self.on_close(now, sender(call, attempt), seq, out),
            FromWorker::Alarm { call, attempt, alarm } => self.on_alarm(now, sender(call, attempt), alarm),
            FromWorker::Listen { call, attempt, seqs } => {
                self.on_listen(now, sender(call, attempt), seqs, out)
            }
        }
    }

    /// Whether the sender is the attempt that counts. Any other is the rest of a call that was answered or cancelled.
    pub(super) fn is_current(&self, sender: Sender) -> bool {
        self.calls.get(sender.call).is_some_and(|call| {
            call.attempt == sender.attempt
                && match call.place {
                    Place::Running(instance) | Place::Parked { instance, .. } => instance == sender.instance,
                    _ => false,
                }
        })
    }

    /// Whether the sender was told to unwind, and has not acknowledged it yet.
    pub(super) fn is_unwinding(&self, sender: Sender) -> bool {
        self.calls.get(sender.call).is_some_and(|call| {
            call.attempt == sender.attempt && call.place == Place::Unwinding(sender.instance)
        })
    }

    fn on_summary(&mut self, sender: Sender, text: &str) {
        if let Some(call) = self.calls.get(sender.call).filter(|_| self.is_current(sender)) {
            self.history.summarise(call.record, &shown(text));
        }
    }

    fn on_done(&mut self, now: Instant, sender: Sender, outcome: Outcome, out: &mut Vec<Effect>) {
        // An answer may cross the request to unwind: then it is complete all the same.
        let is_current = self.is_current(sender) || self.is_unwinding(sender);
        let running = self.dispatcher(sender.instance.service).instance(sender.instance);
        let running = running.and_then(|instance| instance.running_mut(sender.call));
        let was_interrupted = running.is_some_and(|running| running.interrupted.is_some());
        self.free(now, sender);
        match outcome {
            _ if !is_current => (),
            _ if self.differs(sender.call) => self.pause(now, sender.call, out),
            // What it raised is how it took the interrupt; its stack was on its way, and came too late.
            Outcome::Error(_) if was_interrupted => {
                self.time_out(now, sender.instance, sender.call, String::new(), out);
            }
            Outcome::Error(error) => self.retry_or_end(now, sender.call, error, out),
            Outcome::Value(_) if self.is_batch(sender.call) => {
                let fault = Fault::Answers { expected: self.members(sender.call).len(), got: 1 };
                self.fail(now, sender.call, fault, out);
            }
            outcome => self.end(now, sender.call, outcome, out),
        }
    }

    fn on_evicted(&mut self, now: Instant, sender: Sender, out: &mut Vec<Effect>) {
        // Nobody told it to unwind: no worker that keeps to the protocol says so, and the call must not be lost with it.
        if self.is_current(sender) {
            return;
        }
        self.free(now, sender);
        if self.is_unwinding(sender) && self.differs(sender.call) {
            self.pause(now, sender.call, out);
        } else {
            self.unwound(sender);
        }
    }

    /// The worker is done with this attempt: its slot and lane are free, or go to the call that was sent ahead.
    pub(super) fn free(&mut self, now: Instant, sender: Sender) {
        let service = sender.instance.service;
        let next = self.dispatcher(service).end(sender.instance, sender.call, now);
        self.runs_next(now, sender.instance, next);
        self.touch(service);
    }

    /// A call that was sent ahead has its slot now.
    fn runs_next(&mut self, now: Instant, instance: InstanceId, next: Option<CallKey>) {
        let Some(next) = next else { return };
        if let Some(call) = self.calls.get_mut(next) {
            call.place = Place::Running(instance);
            self.note_started(next, instance, now);
        }
    }

    /// A call has not begun and will not: it waits again where it did.
    fn on_given_back(&mut self, now: Instant, sender: Sender) {
        let Sender { instance, call: key, .. } = sender;
        let dispatcher = &mut self.services[instance.service.0 as usize].dispatcher;
        let given_back = dispatcher.instance(instance).and_then(|i| i.give_back(key, now));
        let Some((rank, next)) = given_back else { return };
        // Otherwise it was cancelled.
        if let Some(call) = self.calls.get_mut(key) {
            call.unbegin_attempt();
            call.place = Place::Queued(rank);
            dispatcher.put_back(rank, key, call.accepted);
            self.let_inner_pass(key);
        }
        self.runs_next(now, instance, next);
        self.touch(instance.service);
    }

    /// An evicted call has left the instance: replay it as soon as its wait is over.
    fn unwound(&mut self, sender: Sender) {
        if !self.is_unwinding(sender) {
            return;
        }
        let Some(call) = self.calls.get_mut(sender.call) else { return };
        call.place = Place::Evicted;
        if call.suspension() == Suspension::Over {
            self.queue_replay(sender.call);
        } else {
            self.set_alarm(sender.call);
        }
    }

    fn on_calls(
        &mut self,
        now: Instant,
        sender: Sender,
        entries: Vec<Entry>,
        wait: Option<Wait>,
        out: &mut Vec<Effect>,
    ) {
        if !self.is_current(sender) {
            return self.on_late_calls(sender, wait.is_some(), out);
        }
        if !entries.is_empty() {
            self.dispatcher(sender.instance.service).pace.saw_child();
        }
        for entry in entries {
            if let Err(fault) = self.add_entry(now, sender.call, entry, out) {
                self.misbehaves(now, sender.call, fault, out);
                return self.on_late_calls(sender, wait.is_some(), out);
            }
        }
        if let Some(wait) = wait {
            self.on_wait(now, sender, &wait, out);
        }
    }

    /// A call that was answered already wants to wait: nothing will come, so it unwinds.
    fn on_late_calls(&mut self, sender: Sender, waits: bool, out: &mut Vec<Effect>) {
        if waits && self.differs(sender.call) {
            return self.leaves(sender, out);
        }
        let Sender { instance, lane, call, attempt } = sender;
        let holds_slot =
            self.dispatcher(instance.service).instance(instance).and_then(|i| i.running_mut(call)).is_some();
        if waits && holds_slot {
            out.push(Effect::Send { instance, lane, message: ToWorker::Evict { call, attempt } });
        }
    }

    fn on_wait(&mut self, now: Instant, sender: Sender, wait: &Wait, out: &mut Vec<Effect>) {
        let Sender { instance, lane, call: key, .. } = sender;
        let Some(call) = self.calls.get_mut(key) else { return };
        let (suspension, place, root_age) = (call.wait_for(wait), call.place, call.root_age);
        if place == Place::Running(instance) {
            if suspension == Suspension::Over {
                if let Some(message) = self.resume_message(key) {
                    self.dispatcher(instance.service).count_resumed(instance, key);
                    out.push(Effect::Send { instance, lane, message });
                    // Its lane has nothing behind it any more.
                    self.touch(instance.service);
                }
                return;
            }
            self.park(now, instance, key, root_age, out);
        } else if suspension == Suspension::Over {
            self.wake(now, key);
        }
    }

    /// Threads beside the call's own wait for results: it goes on running, and is told them.
    fn on_listen(&mut self, now: Instant, sender: Sender, seqs: Vec<u32>, out: &mut Vec<Effect>) {
        let wait = Wait { all: false, seqs };
        if !self.is_current(sender) {
            return self.on_late_calls(sender, true, out);
        }
        let Some(call) = self.calls.get_mut(sender.call) else { return };
        if !matches!(call.place, Place::Running(_)) {
            return self.on_wait(now, sender, &wait, out);
        }
        let suspension = call.wait_for(&wait);
        call.listens = true;
        if suspension == Suspension::Over {
            self.tell(sender.call, out);
        }
    }

    /// What a running call listens for is there.
    pub(super) fn tell(&mut self, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Place::Running(instance) = call.place else { return };
        if !std::mem::take(&mut call.listens) {
            return;
        }
        let Some(message) = self.resume_message(key) else { return };
        if let Some((lane, _)) = self.dispatcher(instance.service).count_told(instance, key) {
            out.push(Effect::Send { instance, lane, message });
        }
    }

    fn park(&mut self, now: Instant, id: InstanceId, key: CallKey, root_age: u64, out: &mut Vec<Effect>) {
        self.dispatcher(id.service).park(id, key, root_age, now);
        self.touch(id.service);
        if let Some(call) = self.calls.get_mut(key) {
            call.place = Place::Parked { instance: id, resuming: false };
            self.history.parked(call.record, now);
        }
        if let Some(victim) = self.victim(id, key) {
            self.evict(now, id, victim, out);
        }
    }

    /// Which call gives way now that `parked` is parked here.
    fn victim(&mut self, id: InstanceId, parked: CallKey) -> Option<CallKey> {
        let replays_always = self.replays_always;
        let instance = self.dispatcher(id.service).instance(id)?;
        if replays_always {
            return Some(parked);
        }
        (instance.parked.len() > instance.max_parked as usize).then(|| instance.victim()).flatten()
    }

    fn add_entry(
        &mut self,
        now: Instant,
        parent: CallKey,
        entry: Entry,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        match super::streams::asked_for(&entry) {
            Some(asked) => self.add_awaited(now, parent, &entry, asked, out),
            None => self.add_child(now, parent, entry, out),
        }
    }

    /// Makes the child of this entry, or attaches to the one that has its seq.
    fn add_child(
        &mut self,
        now: Instant,
        parent: CallKey,
        entry: Entry,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let found = self.find_service(&entry.service);
        let asked = match &found {
            Ok(service) => Asked::Service(*service),
            Err(_) => Asked::Unknown(ServiceName::new(entry.service)),
        };
        let (seq, ident) = (entry.seq, entry.ident);
        let line = self.lines.share(entry.line);
        let text = || call_text(self.name_of(&asked).as_str(), &entry.arguments, ident);
        if self.attaches(parent, seq, &asked, ident, &|| described(text(), &line))? {
            return Ok(());
        }
        let fault = match found {
            Ok(service) => match self.calls.add_child((parent, seq), service, ident, entry.arguments, now) {
                Admission::Admitted(child) => {
                    self.note_line(parent, seq, line);
                    self.note_queued(child, now);
                    self.open_stream((parent, seq), entry.options.as_deref());
                    self.give_options(now, child, entry.options);
                    self.admit_child(now, child, service, out);
                    return Ok(());
                }
                Admission::Refused(fault) => fault,
            },
            Err(error) => Fault::ServiceUnavailable(unknown(&error)),
        };
        let outcome = Outcome::Error(fault.payload(&self.name_of(&asked)));
        let Some(root) = self.calls.get(parent).map(|call| call.root) else { return Ok(()) };
        self.calls.count_recorded(root, &outcome);
        if let Some(call) = self.calls.get_mut(parent) {
            call.add_refused(seq, asked, ident, outcome);
        }
        self.note_line(parent, seq, line);
        Ok(())
    }

    /// A program says the canonical name of what it imports, and may say a short one of what it does not (`msx.services`).
    fn find_service(&self, name: &str) -> Result<ServiceId, NameError> {
        self.by_name.get(name).map_or_else(|| self.names.resolve(name), |service| Ok(*service))
    }

    fn admit_child(&mut self, now: Instant, child: CallKey, id: ServiceId, out: &mut Vec<Effect>) {
        match self.hopeless(id) {
            Some(refusal) => self.fail(now, child, refusal.fault(), out),
            None => self.begin(now, child, out),
        }
    }

    /// Whether the call made this child already, in an earlier attempt. It must have been the same.
    pub(super) fn attaches(
        &self,
        parent: CallKey,
        seq: u32,
        asked: &Asked,
        ident: u32,
        described: &dyn Fn() -> Described,
    ) -> Result<bool, Fault> {
        let Some(call) = self.calls.get(parent) else { return Ok(true) };
        let child = call.child(seq);
        let (asked_before, ident_before) = match child {
            None if call.would_skip(seq, UNTOLD_MAX) => {
                return Err(Fault::LimitExceeded(format!(
                    "more than {UNTOLD_MAX} functions given to msx.run would be running at once; run them in portions"
                )));
            }
            None | Some(Child::Untold) => return Ok(false),
            Some(Child::Pending { service, ident, .. }) => (Asked::Service(*service), *ident),
            Some(Child::Awaited { asked, ident, .. } | Child::Recorded { asked, ident, .. }) => {
                (asked.clone(), *ident)
            }
        };
        if asked_before == *asked && ident_before == ident {
            return Ok(true);
        }
        let before = child.unwrap_or(&Child::Untold);
        Err(self.difference(seq, before, described()))
    }

    fn note_line(&mut self, call: CallKey, seq: u32, line: Option<Arc<str>>) {
        if let Some(call) = self.calls.get_mut(call) {
            call.note_line(seq, line);
        }
    }

    /// Records a memo, also of a call that unwinds: what was done once must not be done again.
    fn on_memo(&mut self, now: Instant, sender: Sender, memo: Memo, out: &mut Vec<Effect>) {
        if !self.is_current(sender) && !self.is_unwinding(sender) {
            return;
        }
        let Memo { seq, ident, outcome, known, line } = memo;
        // What an attempt does that counts for nothing is not recorded, unless it began before it differed.
        if self.differs_before(sender.call, seq) {
            return;
        }
        let line = self.lines.share(line);
        let name = || format!("{}(…)", self.memo_name);
        let fault = match self.attaches(sender.call, seq, &Asked::Memo, ident, &|| described(name(), &line)) {
            Ok(true) => return,
            Ok(false) => {
                let Some(root) = self.calls.get(sender.call).map(|call| call.root) else { return };
                self.calls.count_recorded(root, &outcome);
                if let Some(call) = self.calls.get_mut(sender.call) {
                    call.add_memo(seq, ident, outcome, known);
                    call.note_line(seq, line);
                }
                self.calls.holds_too_much(root).map(|fault| (root, fault))
            }
            Err(fault) => Some((sender.call, fault)),
        };
        if let Some((call, fault)) = fault {
            self.misbehaves(now, call, fault, out);
        }
    }
}

pub(super) fn described(call: String, line: &Option<Arc<str>>) -> Described {
    Described { call, line: line.as_deref().map(str::to_owned) }
}

fn unknown(error: &NameError) -> String {
    let help = error.help();
    match error {
        NameError::Ambiguous { .. } => format!("{error}; {help}"),
        NameError::Unknown { .. } => {
            format!("{error} ({help}); the module of a service must be among `modules` in services.toml")
        }
    }
}
