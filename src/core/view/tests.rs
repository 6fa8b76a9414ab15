//! What is told of calls, message by message.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{Answer, Core, Effect, Event, ServiceSetup};
use super::NotFound;
use super::list::Filter;
use crate::config::spec::{OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::model::{CallKey, Generation, InstanceId, Outcome, ServiceId, ServiceName, WorkerKind};
use crate::protocol::calls::{CallStatus, CallsAnswer, Trace, Why};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{Entry, FromWorker, Wait};

const CALLER: ServiceId = ServiceId(0);
const CALLEE: ServiceId = ServiceId(1);
const ALL: Filter = Filter { status: None, service: None, limit: 100 };

fn labels(service: ServiceId, number: u32) -> String {
    format!("{}-{number}", ["caller", "callee"][service.0 as usize])
}

fn instance(service: ServiceId) -> InstanceId {
    InstanceId { service, number: 1, generation: Generation(0) }
}

/// Two services with one ready instance of one slot each. Each step takes a second.
struct Bench {
    core: Core,
    now: Instant,
    effects: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        let setup = |name: &str| ServiceSetup {
            name: ServiceName::new(name),
            queue: QueuePolicy { max: 10, timeout: Duration::from_secs(1000) },
            run_timeout: Duration::from_secs(1000),
            retries: RetryPolicy::NONE,
            per_key: None,
            batch: None,
            on_nondeterminism: OnNondeterminism::Fail,
            is_hub: false,
        };
        let core = Core::new(vec![setup("s.caller"), setup("s.callee")], false).with_id_salt(42);
        let mut bench = Self { core, now: Instant::now(), effects: Vec::new() };
        for service in [CALLER, CALLEE] {
            let instance = instance(service);
            bench.event(Event::Attached { instance, kind: WorkerKind::Def, slots: 1, max_parked: 256 });
            bench.event(Event::Ready(instance));
        }
        bench
    }

    fn event(&mut self, event: Event) {
        self.now += Duration::from_secs(1);
        self.core.handle(self.now, event, &mut self.effects);
    }

    fn ask(&mut self, service: ServiceId) -> CallKey {
        self.core.ask(self.now, service, Bytes::new(), None, 7, &mut self.effects).unwrap()
    }

    /// `call` makes so many calls of the callee, and waits for all of them, or for one.
    fn calls(&mut self, call: CallKey, count: u32, all: bool) {
        let entry = |seq| Entry {
            seq,
            service: "s.callee".into(),
            ident: 0,
            arguments: Bytes::new(),
            options: None,
            line: None,
        };
        let (entries, seqs) = ((0..count).map(entry).collect(), (0..count).collect());
        let message = FromWorker::Calls { call, attempt: 1, entries, wait: Some(Wait { all, seqs }) };
        self.event(Event::Worker { instance: instance(CALLER), lane: 0, message });
    }

    fn returns(&mut self, service: ServiceId, call: CallKey) {
        let message = FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO };
        self.event(Event::Worker { instance: instance(service), lane: 0, message });
    }

    fn key(&self, id: &str) -> CallKey {
        self.core.whereabouts(self.now, id).unwrap().key
    }

    fn list(&self) -> CallsAnswer {
        self.core.list(self.now, &ALL, &labels)
    }

    fn why(&self, id: &str) -> Why {
        self.core.why(self.now, id, &labels).unwrap()
    }

    fn trace(&self, id: &str) -> Trace {
        self.core.trace(self.now, id, &labels).unwrap()
    }

    fn cancel(&mut self, id: &str) -> Result<(), NotFound> {
        self.core.cancel_call(self.now, id, &labels, &mut self.effects).map(drop)
    }
}

#[test]
fn roots_are_listed_before_their_children_and_ended_ones_apart() {
    let mut bench = Bench::new();
    let first = bench.ask(CALLER);
    bench.calls(first, 2, true);
    let second = bench.ask(CALLER);
    bench.returns(CALLER, second);
    let listed = bench.list();
    let id = &listed.live[0].id;
    let ids: Vec<&str> = listed.live.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, [id.clone(), format!("{id}.0"), format!("{id}.1")]);
    let statuses: Vec<CallStatus> = listed.live.iter().map(|call| call.status).collect();
    assert_eq!(statuses, [CallStatus::Parked, CallStatus::Running, CallStatus::Queued]);
    assert_eq!(listed.live[0].instance.as_deref(), Some("caller-1"));
    assert_eq!((listed.live[0].children, listed.live[0].unfinished), (2, 2));
    assert_eq!(listed.ended.len(), 1);
    assert_eq!((listed.ended[0].status, listed.ended[0].took_s), (CallStatus::Returned, Some(1.0)));

    let one = Filter { limit: 1, ..ALL };
    let listed = bench.core.list(bench.now, &one, &labels);
    assert_eq!((listed.live.len(), listed.more_live, listed.more_ended), (1, 2, 0));
}

#[test]
fn the_chain_of_waiting_ends_where_something_runs() {
    let mut bench = Bench::new();
    let call = bench.ask(CALLER);
    bench.calls(call, 3, false);
    let id = bench.list().live[0].id.clone();
    let why = bench.why(&id);
    let waits = why.chain[0].waits_for.clone().unwrap();
    assert_eq!((waits.calls, waits.all), (3, false));
    assert_eq!(waits.by_status, [(CallStatus::Queued, 2), (CallStatus::Running, 1)]);
    assert_eq!((&why.chain[1].call.id, why.chain.len()), (&format!("{id}.0"), 2));

    let queue = bench.why(&format!("{id}.2")).chain[0].queue.clone().unwrap();
    assert_eq!((queue.position, queue.queued, queue.busy, queue.slots), (2, 2, 1, 1));
    assert_eq!(queue.holders[0].id, Some(format!("{id}.0")));
}

#[test]
fn what_has_its_answers_waits_for_a_slot_of_its_instance() {
    let mut bench = Bench::new();
    let parked = bench.ask(CALLER);
    bench.calls(parked, 1, true);
    let id = bench.list().live[0].id.clone();
    let holder = bench.ask(CALLER);
    bench.returns(CALLEE, bench.key(&format!("{id}.0")));
    let why = bench.why(&id);
    assert_eq!(why.chain[0].call.status, CallStatus::Resuming);
    let queue = why.chain[0].queue.clone().unwrap();
    assert_eq!((queue.position, queue.queued, queue.busy), (1, 1, 1));
    assert_eq!(queue.holders[0].id, bench.core.id_of(holder));
}

#[test]
fn a_trace_is_the_same_after_the_end() {
    let mut bench = Bench::new();
    let call = bench.ask(CALLER);
    bench.calls(call, 2, true);
    let id = bench.list().live[0].id.clone();
    bench.returns(CALLEE, bench.key(&format!("{id}.0")));
    let live = bench.trace(&id);
    let statuses = |trace: &Trace| trace.calls.iter().map(|call| call.status).collect::<Vec<_>>();
    assert_eq!(statuses(&live), [CallStatus::Parked, CallStatus::Returned, CallStatus::Running]);
    bench.returns(CALLEE, bench.key(&format!("{id}.1")));
    bench.returns(CALLER, call);
    let trace = bench.trace(&id);
    assert_eq!(statuses(&trace), [CallStatus::Returned; 3]);
    let [root, first, second] = trace.calls.as_slice() else { panic!("{trace:?}") };
    let wait = &root.waits[0];
    assert_eq!((wait.parked_s, wait.over_s, wait.resumed_s), (1.0, Some(3.0), Some(3.0)));
    assert_eq!((first.queued_s, first.started_s, first.ended_s), (1.0, Some(1.0), Some(2.0)));
    assert_eq!((second.started_s, second.ended_s, trace.took_s), (Some(2.0), Some(3.0), 4.0));
    assert_eq!(bench.trace(&second.id).calls[0].queued_s, 0.0, "times count from the call that was named");
}

#[test]
fn a_cancelled_call_answers_and_frees_everything() {
    let mut bench = Bench::new();
    let call = bench.ask(CALLER);
    bench.calls(call, 3, true);
    let id = bench.list().live[0].id.clone();
    bench.effects.clear();
    bench.cancel(&id).unwrap();
    let answer = bench.effects.iter().find_map(|effect| match effect {
        Effect::Answer { token: 7, answer: Answer::Done(Outcome::Error(payload)) } => Some(payload),
        _ => None,
    });
    assert_eq!(RemoteError::decode(answer.unwrap()).kind, "msx.Cancelled");
    assert_eq!(bench.core.unfinished(), 0);
    assert!(matches!(bench.cancel(&id), Err(NotFound::Ended { how: "was cancelled", .. })));
    assert!(bench.trace(&id).calls.iter().all(|call| call.status == CallStatus::Cancelled));
    // The slot of what ran is held until its worker is done with it, and nobody is named as its holder.
    bench.ask(CALLEE);
    let queued = bench.list().live[0].id.clone();
    let queue = bench.why(&queued).chain[0].queue.clone().unwrap();
    assert_eq!((queue.position, queue.holders.len()), (1, 1));
    assert_eq!(queue.holders[0].id, None);
}

#[test]
fn ids_are_found_by_their_beginning() {
    let mut bench = Bench::new();
    let keys: Vec<CallKey> = (0..9).map(|_| bench.ask(CALLER)).collect();
    for key in &keys {
        let id = bench.core.id_of(*key).unwrap();
        assert_eq!(bench.key(&id), *key);
        assert_eq!(bench.key(&id[..6]), *key);
    }
    let id = bench.core.id_of(keys[0]).unwrap();
    let found = |text: &str| bench.core.why(bench.now, text, &labels).unwrap_err();
    assert_eq!(found(&format!("{id}.0")), NotFound::Unknown(format!("{id}.0")));
    assert_eq!(found("s.caller"), NotFound::Malformed("s.caller".into()));
}

#[test]
fn a_call_that_was_not_written_down_is_found_while_it_lives() {
    let mut bench = Bench::new();
    let call = bench.ask(CALLER);
    bench.calls(call, 5_000, true);
    let root = bench.list().live[0].id.clone();
    let id = format!("{root}.4999");
    let why = bench.why(&id);
    assert_eq!((why.chain[0].call.status, why.chain[0].call.age_s), (CallStatus::Queued, 0.0));
    let trace = bench.trace(&root);
    assert_eq!((trace.calls.len(), trace.lost), (4_096, 905));
    let not_kept = bench.core.trace(bench.now, &id, &labels).unwrap_err();
    assert_eq!(not_kept, NotFound::NotKept(id));
}
