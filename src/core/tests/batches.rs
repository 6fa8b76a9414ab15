//! Calls that one run takes together. The callee takes up to three, and waits for 5 ms.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::core::Filter;
use crate::protocol::worker::CallOptions;

const WITHIN: Duration = Duration::from_millis(5);
const POLICY: BatchPolicy = BatchPolicy { size: 3, within: WITHIN };

/// A batch that was sent to the callee.
#[derive(Clone, Debug)]
struct Sent {
    call: CallKey,
    attempt: u32,
    size: usize,
    arguments: Bytes,
    remaining: Option<Duration>,
    recorded: usize,
}

impl Bench {
    fn gathering() -> Self {
        Self::with_batches(256, Some(POLICY))
    }

    /// A root call of the callee; its answer carries this token, and its argument is that number.
    fn wants(&mut self, token: u64, options: Option<CallOptions>) -> CallKey {
        let (arguments, options) = (Bytes::from(vec![token as u8]), options.map(Box::new));
        let asked = self.core.ask(self.now, CALLEE, arguments, options, token, &mut self.effects);
        asked.expect("there is room in the queue")
    }

    fn want_all(&mut self, tokens: std::ops::RangeInclusive<u64>) {
        for token in tokens {
            self.wants(token, None);
        }
    }

    /// The batches that were sent, which are taken from the effects.
    fn sent_batches(&mut self) -> Vec<Sent> {
        let (sent, rest) = self.effects.drain(..).partition::<Vec<Effect>, _>(|effect| {
            matches!(effect, Effect::Send { message: ToWorker::Run { .. }, .. })
        });
        self.effects = rest;
        let batch = |effect| match effect {
            Effect::Send {
                message: ToWorker::Run { call, attempt, arguments, batch, remaining, results, .. },
                ..
            } => {
                let (size, recorded) = (batch.expect("it is a batch") as usize, results.len());
                Sent { call, attempt, size, arguments, remaining, recorded }
            }
            other => panic!("{other:?}"),
        };
        sent.into_iter().map(batch).collect()
    }

    /// The only one.
    fn one(&mut self) -> Sent {
        let sent = self.sent_batches();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    }

    fn waits(&mut self, time: Duration) {
        self.now += time;
        self.event(Event::Timer);
    }

    fn answer_batch(&mut self, batch: &Sent, outcomes: Vec<Outcome>) {
        let (call, attempt) = (batch.call, batch.attempt);
        self.says(CALLEE, FromWorker::Answers { call, attempt, outcomes });
    }

    /// What was answered to whom, which is taken: the token, and the value or the kind of the error.
    fn answered(&mut self) -> BTreeMap<u64, String> {
        let mut answers = BTreeMap::new();
        self.effects.retain(|effect| {
            let Effect::Answer { token, answer } = effect else { return true };
            let text = match answer {
                Answer::Done(Outcome::Value(value)) => format!("{value:?}"),
                Answer::Done(Outcome::Error(error)) => RemoteError::decode(error).kind,
                other => format!("{other:?}"),
            };
            assert!(answers.insert(*token, text).is_none(), "{token} is answered once");
            false
        });
        answers
    }

    fn rests(&mut self) {
        assert_eq!((self.core.unfinished(), self.core.next_timer()), (0, None));
        assert!(self.core.history.is_idle() && self.core.deserted.is_empty());
        let report = &self.core.report(self.now)[CALLEE.0 as usize];
        assert_eq!((report.queued, report.busy, report.suspended), (0, 0, 0));
    }
}

fn value(text: &'static str) -> Outcome {
    Outcome::Value(Bytes::from_static(text.as_bytes()))
}

fn told(pairs: &[(u64, &str)]) -> BTreeMap<u64, String> {
    pairs.iter().map(|(token, text)| (*token, (*text).to_owned())).collect()
}

#[test]
fn a_full_batch_goes_at_once() {
    let mut bench = Bench::gathering();
    bench.want_all(1..=2);
    assert!(bench.sent_batches().is_empty(), "more may come");
    bench.wants(3, None);
    let batch = bench.one();
    // An array of three, and the arguments as they came.
    assert_eq!((batch.size, batch.arguments.as_ref()), (3, &[0x93, 1, 2, 3][..]));
    bench.answer_batch(&batch, vec![value("a"), Outcome::Error(error("builtins.ValueError")), value("c")]);
    let expected = told(&[(1, "b\"a\""), (2, "builtins.ValueError"), (3, "b\"c\"")]);
    assert_eq!(bench.answered(), expected);
    bench.rests();
}

#[test]
fn what_waits_goes_when_the_first_has_waited_long_enough() {
    let mut bench = Bench::gathering();
    bench.wants(1, None);
    assert_eq!(bench.core.next_timer(), Some(bench.now + WITHIN));
    bench.waits(WITHIN / 2);
    bench.wants(2, None);
    assert!(bench.sent_batches().is_empty());
    bench.waits(WITHIN / 2);
    assert_eq!(bench.one().size, 2);
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn while_the_slots_are_busy_calls_gather_without_a_timer() {
    let mut bench = Bench::gathering();
    bench.wants(1, None);
    bench.waits(WITHIN);
    let first = bench.one();
    bench.want_all(2..=5);
    assert_eq!(bench.core.next_timer(), None);
    bench.waits(10 * WITHIN);
    assert!(bench.sent_batches().is_empty());
    bench.answer_batch(&first, vec![value("a")]);
    let second = bench.one();
    assert_eq!(second.size, 3);
    bench.answer_batch(&second, vec![value("a"), value("b"), value("c")]);
    assert_eq!(bench.one().size, 1, "it has waited long enough");
}

#[test]
fn a_batch_fits_into_one_message() {
    let mut bench = Bench::gathering();
    let large = Bytes::from(vec![0; 20 << 20]);
    for token in 1..=3 {
        bench.core.ask(bench.now, CALLEE, large.clone(), None, token, &mut bench.effects).unwrap();
    }
    let first = bench.one();
    assert_eq!(first.size, 1);
    bench.answer_batch(&first, vec![value("a")]);
    assert_eq!(bench.answered(), told(&[(1, "b\"a\"")]));
}

#[test]
fn who_leaves_keeps_its_place_and_gets_no_answer() {
    let mut bench = Bench::gathering();
    let calls = [1, 2, 3].map(|token| bench.wants(token, None));
    let batch = bench.one();
    bench.event(Event::Cancel(calls[1]));
    assert!(bench.interrupts().is_empty(), "the others wait");
    bench.answer_batch(&batch, vec![value("a"), value("b"), value("c")]);
    assert_eq!(bench.answered(), told(&[(1, "b\"a\""), (3, "b\"c\"")]));
    bench.rests();
}

#[test]
fn when_all_have_left_the_run_is_cancelled() {
    let mut bench = Bench::gathering();
    let within = CallOptions { timeout: Some(Duration::from_secs(1)), ..CallOptions::default() };
    let (first, _, third) = (bench.wants(1, None), bench.wants(2, Some(within)), bench.wants(3, None));
    let batch = bench.one();
    assert_eq!(batch.remaining, None, "two have no deadline");
    [first, third].into_iter().for_each(|call| bench.event(Event::Cancel(call)));
    bench.waits(Duration::from_secs(1));
    assert_eq!(bench.answered(), told(&[(2, "Expired")]));
    assert_eq!(bench.interrupts(), ["cancelled"]);
    assert_eq!(bench.core.unfinished(), 0);
    bench.says(CALLEE, FromWorker::Raise { call: batch.call, attempt: 1, error: error("msx.Cancelled") });
    bench.rests();
}

#[test]
fn a_batch_has_as_much_time_as_the_most_patient_of_its_callers() {
    let mut bench = Bench::gathering();
    for (token, seconds) in [(1, 1), (2, 3), (3, 2)] {
        let timeout = Some(Duration::from_secs(seconds));
        bench.wants(token, Some(CallOptions { timeout, ..CallOptions::default() }));
    }
    assert_eq!(bench.one().remaining, Some(Duration::from_secs(3)));
}

#[test]
fn an_error_of_the_run_is_one_of_each_call_and_each_may_try_again() {
    for by_death in [false, true] {
        let mut bench = Bench::gathering();
        let twice = CallOptions { retries: Some(1), ..CallOptions::default() };
        bench.wants(1, None);
        bench.wants(2, Some(twice.clone()));
        bench.wants(3, Some(twice));
        let batch = bench.one();
        match by_death {
            true => {
                let gone = instance(CALLEE);
                bench.event(Event::Gone { instance: gone, reason: "killed".into(), begun: vec![] });
            }
            false => {
                let error = error("builtins.OSError");
                bench.says(CALLEE, FromWorker::Raise { call: batch.call, attempt: 1, error });
            }
        }
        let kind = if by_death { RemoteError::INSTANCE_DIED } else { "builtins.OSError" };
        assert_eq!(bench.answered(), told(&[(1, kind)]));
        if by_death {
            let id = InstanceId { generation: Generation(1), ..instance(CALLEE) };
            bench.event(Event::Attached { instance: id, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
            bench.event(Event::Ready(id));
        }
        bench.waits(Duration::from_secs(1));
        bench.waits(WITHIN);
        let again = bench.one();
        assert_eq!((again.size, again.arguments.len()), (2, 3));
        assert_ne!(again.call, batch.call);
    }
}

#[test]
fn a_batch_that_had_not_begun_runs_elsewhere() {
    let mut bench = Bench::gathering();
    bench.want_all(1..=3);
    let first = bench.one();
    bench.event(Event::Gone { instance: instance(CALLEE), reason: "killed".into(), begun: vec![0] });
    let id = InstanceId { generation: Generation(1), ..instance(CALLEE) };
    bench.event(Event::Attached { instance: id, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
    bench.event(Event::Ready(id));
    let again = bench.one();
    assert_eq!((again.call, again.attempt, again.size), (first.call, 2, 3));
    assert!(bench.answered().is_empty());
}

/// Two batches wait for their calls in an instance that dies; each is replayed with the same arguments.
#[test]
fn a_batch_that_waits_is_replayed_as_it_was() {
    let mut bench = Bench::gathering();
    let member = bench.wants(1, None);
    bench.waits(WITHIN);
    let batch = bench.one();
    let entry = Entry {
        seq: 0,
        service: "s.caller".into(),
        ident: 0,
        arguments: Bytes::new(),
        options: None,
        line: None,
    };
    let wait = Some(Wait { all: true, seqs: vec![0] });
    bench.says(CALLEE, FromWorker::Calls { call: batch.call, attempt: 1, entries: vec![entry], wait });
    let child = bench.started().unwrap();
    bench.event(Event::Gone { instance: instance(CALLEE), reason: "killed".into(), begun: vec![1] });
    bench.says(
        CALLER,
        FromWorker::Return { call: child, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    let id = InstanceId { generation: Generation(1), ..instance(CALLEE) };
    bench.event(Event::Attached { instance: id, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
    bench.event(Event::Ready(id));
    let again = bench.one();
    assert_eq!((again.call, again.attempt, again.recorded), (batch.call, 2, 1));
    assert_eq!(again.arguments, batch.arguments);
    let infos = bench.core.list(bench.now, &FILTER, &|_, number| format!("callee-{number}")).live;
    let shown: Vec<_> = infos.iter().map(|info| (info.status.as_str(), info.instance.as_deref())).collect();
    assert_eq!(shown, [("batched", Some("callee-1")), ("running", Some("callee-1"))]);
    let id_of_member = bench.core.id_of(member).unwrap();
    let why = bench.core.why(bench.now, &id_of_member, &|_, _| String::new()).unwrap();
    assert_eq!(why.chain.len(), 2);
    assert_eq!(why.chain[0].call.batch.as_ref().unwrap().id.as_ref(), Some(&why.chain[1].call.id));
}

const FILTER: Filter = Filter { status: None, service: None, limit: 10 };

#[test]
fn a_worker_that_does_not_answer_call_by_call_fails_them_all() {
    let mut bench = Bench::gathering();
    bench.want_all(1..=3);
    let batch = bench.one();
    bench.answer_batch(&batch, vec![value("a")]);
    assert_eq!(bench.answered(), (1..=3).map(|token| (token, "msx.RemoteError".to_owned())).collect());
    bench.wants(4, None);
    bench.waits(WITHIN);
    let (call, attempt) = (bench.one().call, 1);
    bench.says(CALLEE, FromWorker::Return { call, attempt, value: Bytes::new(), run: Duration::ZERO });
    assert_eq!(bench.answered(), told(&[(4, "msx.RemoteError")]));
    let call = bench.ask();
    bench.says(CALLER, FromWorker::Answers { call, attempt, outcomes: vec![value("a")] });
    assert_eq!(bench.answered(), told(&[(TOKEN, "msx.RemoteError")]));
    bench.rests();
}

#[test]
fn a_run_that_takes_too_long_fails_each_call() {
    let mut bench = Bench::gathering();
    bench.want_all(1..=3);
    let batch = bench.one();
    bench.passes(RUN_TIMEOUT);
    assert_eq!(bench.interrupts(), ["run_timeout"]);
    let stack =
        Event::Stack { instance: instance(CALLEE), call: batch.call, attempt: 1, text: "here".into() };
    bench.event(stack);
    assert_eq!(bench.answered(), (1..=3).map(|token| (token, RemoteError::TIMEOUT.to_owned())).collect());
}

#[test]
fn to_cancel_a_batch_by_its_id_cancels_its_calls() {
    let mut bench = Bench::gathering();
    bench.want_all(1..=3);
    let batch = bench.one();
    let id = bench.core.id_of(batch.call).unwrap();
    bench.core.cancel_call(bench.now, &id, &|_, _| String::new(), &mut bench.effects).unwrap();
    assert_eq!(bench.answered(), (1..=3).map(|token| (token, RemoteError::CANCELLED.to_owned())).collect());
    assert_eq!(bench.interrupts(), ["cancelled"]);
}

#[test]
fn what_a_batch_is_waited_for_by_cannot_be_asked_under_its_own_key() {
    let mut bench = Bench::gathering();
    let keyed = CallOptions { idempotency_key: Some("k".into()), ..CallOptions::default() };
    bench.wants(1, Some(keyed.clone()));
    bench.waits(WITHIN);
    let batch = bench.one();
    let (arguments, options) = (Bytes::from_static(&[1]), Some(Box::new(keyed)));
    let entry = Entry { seq: 0, service: "s.callee".into(), ident: 0, arguments, options, line: None };
    let wait = Some(Wait { all: true, seqs: vec![0] });
    bench.says(CALLEE, FromWorker::Calls { call: batch.call, attempt: 1, entries: vec![entry], wait });
    let resumed = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Send { message: ToWorker::Resume { mut results, .. }, .. } => Some(results.remove(0).1),
        _ => None,
    });
    let Some(Outcome::Error(payload)) = resumed else { panic!("{resumed:?}") };
    assert_eq!(RemoteError::decode(&payload).kind, RemoteError::IDEMPOTENCY_CONFLICT);
}

#[test]
fn work_is_counted_by_what_a_slot_could_take() {
    let mut bench = Bench::gathering();
    bench.wants(1, None);
    bench.waits(WITHIN);
    let batch = bench.one();
    bench.now += Duration::from_secs(3);
    bench.answer_batch(&batch, vec![value("a")]);
    let report = &bench.core.report(bench.now)[CALLEE.0 as usize];
    let work = report.meter.busy.as_millis();
    assert_eq!((report.meter.completed, work, report.instances[0].completed), (1, 1000, 1));
    bench.want_all(1..=3);
    let batch = bench.one();
    bench.now += Duration::from_secs(3);
    bench.answer_batch(&batch, vec![value("a"), value("b"), value("c")]);
    let report = &bench.core.report(bench.now)[CALLEE.0 as usize];
    let work = report.meter.busy.as_millis();
    assert_eq!((report.meter.completed, work, report.instances[0].completed), (4, 4000, 4));
}

#[derive(Clone, Debug)]
enum Step {
    Ask { retries: u32, timeout_ms: u64 },
    Wait(u64),
    Leave(prop::sample::Index),
    Answer { fails: bool },
    Raise,
    Crash { begun: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..3, 5u64..200).prop_map(|(retries, timeout_ms)| Step::Ask { retries, timeout_ms }),
        4 => (0u64..30).prop_map(Step::Wait),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        4 => any::<bool>().prop_map(|fails| Step::Answer { fails }),
        1 => Just(Step::Raise),
        1 => any::<bool>().prop_map(|begun| Step::Crash { begun }),
    ]
}

/// Whoever asked, and did not leave, is answered once; and then nothing is left.
struct World {
    bench: Bench,
    /// The batch that the only slot has.
    runs: Option<Sent>,
    generation: u32,
    asked: Vec<(u64, CallKey)>,
    waiting: std::collections::BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let bench = Bench::gathering();
        Self { bench, runs: None, generation: 0, asked: vec![], waiting: Default::default() }
    }

    fn instance(&self) -> InstanceId {
        InstanceId { generation: Generation(self.generation), ..instance(CALLEE) }
    }

    fn says(&mut self, message: FromWorker) {
        let instance = self.instance();
        self.bench.event(Event::Worker { instance, lane: 0, message });
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask { retries, timeout_ms } => {
                let token = self.asked.len() as u64;
                let timeout = Some(Duration::from_millis(*timeout_ms));
                let options = CallOptions { retries: Some(*retries), timeout, ..CallOptions::default() };
                let (now, arguments) = (self.bench.now, Bytes::from_static(b"x"));
                let effects = &mut self.bench.effects;
                let asked =
                    self.bench.core.ask(now, CALLEE, arguments, Some(Box::new(options)), token, effects);
                if let Ok(call) = asked {
                    self.asked.push((token, call));
                    self.waiting.insert(token);
                }
            }
            Step::Wait(ms) => {
                self.bench.now += Duration::from_millis(*ms);
                self.bench.event(Event::Timer);
            }
            Step::Leave(index) if !self.asked.is_empty() => {
                let (token, call) = *index.get(&self.asked);
                if self.waiting.remove(&token) {
                    self.bench.event(Event::Cancel(call));
                }
            }
            Step::Leave(_) => (),
            Step::Answer { fails } => {
                let Some(batch) = self.runs.take() else { return };
                let one = if *fails { Outcome::Error(error("builtins.OSError")) } else { value("a") };
                let (call, attempt) = (batch.call, batch.attempt);
                self.says(FromWorker::Answers { call, attempt, outcomes: vec![one; batch.size] });
            }
            Step::Raise => {
                let Some(batch) = self.runs.take() else { return };
                let error = error("builtins.OSError");
                self.says(FromWorker::Raise { call: batch.call, attempt: batch.attempt, error });
            }
            Step::Crash { begun } => {
                self.runs = None;
                let (instance, begun) = (self.instance(), if *begun { vec![] } else { vec![0] });
                self.bench.event(Event::Gone { instance, reason: "killed".into(), begun });
                self.generation += 1;
                let (instance, kind) = (self.instance(), WorkerKind::Def);
                self.bench.event(Event::Attached { instance, kind, slots: 1, max_parked: 1 });
                self.bench.event(Event::Ready(instance));
            }
        }
        self.look();
    }

    fn look(&mut self) {
        for batch in self.bench.sent_batches() {
            assert!(self.runs.is_none() && (1..=3).contains(&batch.size), "one slot, one batch");
            self.runs = Some(batch);
        }
        for token in self.bench.answered().into_keys() {
            assert!(self.waiting.remove(&token), "{token} waits");
        }
    }
}

proptest! {
    #[test]
    fn each_call_is_answered_once(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
        for _ in 0..200 {
            world.take(&Step::Wait(20));
            world.take(&Step::Answer { fails: false });
        }
        prop_assert!(world.waiting.is_empty(), "{:?}", world.waiting);
        prop_assert!(world.runs.is_none());
        world.bench.rests();
    }
}
