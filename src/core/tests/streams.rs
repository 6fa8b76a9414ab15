//! Streams, message by message.

use super::*;
use crate::calls::stream::answer;
use crate::protocol::worker::CallOptions;

fn entry(seq: u32, service: &str, options: Option<CallOptions>) -> Entry {
    let (service, options) = (service.to_owned(), options.map(Box::new));
    Entry { seq, service, ident: 0, arguments: Bytes::new(), options, line: None }
}

fn item(index: u64) -> Bytes {
    Bytes::from(vec![index as u8])
}

fn answered(is_over: bool, items: std::ops::Range<u64>) -> Outcome {
    answer(is_over, &items.map(item).collect::<Vec<_>>())
}

impl Bench {
    /// `call` asks for the next items of its stream 0, under this seq, and waits for them.
    fn pulls(&mut self, call: CallKey, attempt: u32, seq: u32) {
        let stream = CallOptions { stream: true, ..CallOptions::default() };
        let next = CallOptions { next: Some(0), ..CallOptions::default() };
        let entries = vec![entry(0, "s.callee", Some(stream)), entry(seq, "msx.next", Some(next))];
        let wait = Some(Wait { all: true, seqs: vec![seq] });
        self.says(CALLER, FromWorker::Calls { call, attempt, entries, wait });
    }

    fn yields(&mut self, call: CallKey, indexes: std::ops::Range<u64>) {
        for index in indexes {
            self.says(CALLEE, FromWorker::Item { call, attempt: 1, index, item: item(index) });
        }
    }

    /// What `resume` tells the caller, of all effects so far.
    fn resumed(&mut self, of: ServiceId) -> Vec<(u32, Outcome)> {
        let resumes = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Send { instance: id, message: ToWorker::Resume { results, .. }, .. }
                if id == instance(of) =>
            {
                Some(results)
            }
            _ => None,
        });
        resumes.flatten().collect()
    }

    /// The next `run`: its call, the results that it brings, and how many items were yielded before.
    fn run(&mut self) -> (CallKey, usize, Option<u64>) {
        let run = self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call, results, yielded, .. }, .. } => {
                Some((call, results.len(), yielded))
            }
            _ => None,
        });
        run.expect("a call is run")
    }

    fn asks_for_room(&mut self, call: CallKey, seq: u32) {
        let (entries, wait) = (vec![entry(seq, "msx.room", None)], Some(Wait { all: true, seqs: vec![seq] }));
        self.says(CALLEE, FromWorker::Calls { call, attempt: 1, entries, wait });
    }
}

#[test]
fn a_caller_gets_what_is_there_and_its_end() {
    let mut bench = Bench::new(256);
    let caller = bench.ask();
    bench.pulls(caller, 1, 1);
    let (callee, _, yielded) = bench.run();
    assert_eq!(yielded, Some(0));
    bench.yields(callee, 0..1);
    assert_eq!(bench.resumed(CALLER), [(1, answered(false, 0..1))]);
    bench.yields(callee, 1..4);
    bench.pulls(caller, 1, 2);
    assert_eq!(bench.resumed(CALLER), [(2, answered(false, 1..4))]);
    bench.pulls(caller, 1, 3);
    bench.says(CALLEE, FromWorker::Raise { call: callee, attempt: 1, error: error("a.Error") });
    let told = bench.resumed(CALLER);
    assert_eq!(told, [(0, Outcome::Error(error("a.Error"))), (3, answered(true, 0..0))]);
}

#[test]
fn a_generator_that_is_ahead_waits_until_half_is_taken() {
    let mut bench = Bench::new(256);
    let caller = bench.ask();
    bench.pulls(caller, 1, 1);
    let (callee, ..) = bench.run();
    bench.yields(callee, 0..66);
    bench.asks_for_room(callee, 0);
    assert_eq!(bench.resumed(CALLEE), [], "it is parked");
    bench.pulls(caller, 1, 2);
    assert_eq!(bench.resumed(CALLEE), [(0, Outcome::Value(Bytes::from_static(b"\xc0")))]);
}

#[test]
fn a_generator_that_is_evicted_does_not_yield_again_what_is_here() {
    let mut bench = Bench::new(0);
    let caller = bench.ask();
    bench.pulls(caller, 1, 1);
    bench.says(CALLER, FromWorker::Evicted { call: caller, attempt: 1 });
    let (callee, ..) = bench.run();
    bench.yields(callee, 0..66);
    bench.asks_for_room(callee, 0);
    bench.says(CALLEE, FromWorker::Evicted { call: callee, attempt: 1 });
    let (again, results, _) = bench.run();
    assert_eq!((again, results), (caller, 1));
    bench.pulls(caller, 2, 2);
    assert_eq!(bench.run(), (callee, 1, Some(66)));
}

#[test]
fn a_closed_stream_is_cancelled_and_frees_its_slot() {
    let mut bench = Bench::new(256);
    let caller = bench.ask();
    bench.pulls(caller, 1, 1);
    let (callee, ..) = bench.run();
    bench.yields(callee, 0..1);
    bench.says(CALLER, FromWorker::Close { call: caller, attempt: 1, seq: 0 });
    assert_eq!(bench.interrupts(), ["cancelled"]);
    bench.says(CALLEE, FromWorker::Raise { call: callee, attempt: 1, error: error("msx.Cancelled") });
    bench.says(
        CALLER,
        FromWorker::Return { call: caller, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    assert!(bench.answer().is_some());
    assert_eq!(bench.core.unfinished(), 0);
}

/// An exception leaves the loop, and closes a stream that had ended with some items not taken: the retry needs them.
#[test]
fn a_caller_that_is_tried_again_gets_what_it_had_left() {
    let mut bench = Bench::new(256);
    let options = CallOptions { retries: Some(1), ..CallOptions::default() };
    let asked =
        bench.core.ask(bench.now, CALLER, Bytes::new(), Some(Box::new(options)), TOKEN, &mut bench.effects);
    let caller = asked.unwrap();
    bench.effects.clear();
    bench.pulls(caller, 1, 1);
    let (callee, ..) = bench.run();
    bench.yields(callee, 0..3);
    bench.says(CALLEE, FromWorker::Return { call: callee, attempt: 1, value: item(9), run: Duration::ZERO });
    bench.says(CALLER, FromWorker::Close { call: caller, attempt: 1, seq: 0 });
    bench.says(CALLER, FromWorker::Raise { call: caller, attempt: 1, error: error("a.Error") });
    bench.passes(Duration::from_secs(60));
    assert_eq!(bench.run(), (caller, 1, None), "the first item is kept");
    bench.pulls(caller, 2, 2);
    let (again, _, yielded) = bench.run();
    assert!(again != callee);
    assert_eq!(yielded, Some(1));
}

#[test]
fn an_item_of_a_plain_call_and_one_out_of_order_end_the_call() {
    for (stream, index, kind) in [(false, 0, RemoteError::USAGE), (true, 1, "msx.RemoteError")] {
        let mut bench = Bench::new(256);
        let options = CallOptions { stream, ..CallOptions::default() };
        let asked = bench.core.ask(
            bench.now,
            CALLER,
            Bytes::new(),
            Some(Box::new(options)),
            TOKEN,
            &mut bench.effects,
        );
        let call = asked.unwrap();
        bench.says(CALLER, FromWorker::Item { call, attempt: 1, index, item: item(0) });
        assert_eq!(bench.error().kind, kind);
    }
}
