//! Streams: calls of generators, whose items go to the caller one after another.
//!
//! Both ends wait as for a call, by a seq of their own: the caller for `msx.next` (items), the generator for `msx.room`
//! (that there are fewer). So parking, eviction and replay need to know nothing of streams. The caller has its items
//! recorded; of the generator only their number is kept, and a replay does not send them again.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::paused::call_text;
use super::workers::{Sender, described};
use super::{Core, Effect};
use crate::calls::stream::{Stream, answer};
use crate::calls::{Asked, Call, Ended, Fault, Suspension};
use crate::model::{CallKey, Outcome, ServiceName};
use crate::protocol::worker::{CallOptions, Entry};

/// What is asked for instead of a service.
const NEXT: &str = "msx.next";
const ROOM: &str = "msx.room";

/// Nil: there is room.
const NIL: &[u8] = b"\xc0";

/// The same as names of services, as a replay is told them.
pub struct Names {
    pub next: ServiceName,
    pub room: ServiceName,
}

impl Default for Names {
    fn default() -> Self {
        Self { next: ServiceName::new(NEXT), room: ServiceName::new(ROOM) }
    }
}

/// Who takes the items: a call, as the child of this seq, or whoever asked for this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Consumer {
    Call(CallKey, u32),
    Root(CallKey),
}

/// The streams whose items are not all taken.
#[derive(Debug, Default)]
pub struct Streams(BTreeMap<Consumer, Stream>);

impl Streams {
    /// A call is taken out, and nobody wants its items.
    pub fn forget(&mut self, key: CallKey, call: &Call) {
        self.0.remove(&consumer_of(key, call));
    }

    /// A call has left that had taken items, or given them to whoever asked.
    pub fn forget_those_for(&mut self, key: CallKey) {
        self.retain(key, |_| false);
    }

    fn closed_for(&self, consumer: CallKey) -> Vec<u32> {
        let range = Consumer::Call(consumer, 0)..=Consumer::Call(consumer, u32::MAX);
        let closed = self.0.range(range).filter(|(_, stream)| stream.is_closed);
        let seqs = closed.filter_map(|(of, _)| match of {
            Consumer::Call(_, seq) => Some(*seq),
            Consumer::Root(_) => None,
        });
        seqs.collect()
    }

    fn retain(&mut self, consumer: CallKey, keep: impl Fn(u32) -> bool) {
        let range = Consumer::Call(consumer, 0)..=Consumer::Call(consumer, u32::MAX);
        let gone: Vec<Consumer> = self.0.range(range).map(|(of, _)| *of).collect();
        for of in gone {
            if !matches!(of, Consumer::Call(_, seq) if keep(seq)) {
                self.0.remove(&of);
            }
        }
    }
}

fn consumer_of(key: CallKey, call: &Call) -> Consumer {
    call.parent.map_or(Consumer::Root(key), |(parent, seq)| Consumer::Call(parent, seq))
}

/// What an entry asks for that is no call.
pub fn asked_for(entry: &Entry) -> Option<Asked> {
    match entry.options.as_ref().and_then(|options| options.next) {
        Some(stream) => Some(Asked::Next(stream)),
        None => (entry.service == ROOM).then_some(Asked::Room),
    }
}

impl Core {
    /// A call that was just made is a stream, if its options say so.
    pub(super) fn open_stream(&mut self, (parent, seq): (CallKey, u32), options: Option<&CallOptions>) {
        if !options.is_some_and(|options| options.stream) {
            return;
        }
        // A caller that is tried again has some of them from before.
        let received = self.calls.get(parent).map_or(0, |call| call.items_of(seq));
        self.streams.0.insert(Consumer::Call(parent, seq), Stream::new(received, None));
    }

    pub(super) fn open_root_stream(&mut self, key: CallKey, token: u64, options: Option<&CallOptions>) {
        if options.is_some_and(|options| options.stream) {
            self.streams.0.insert(Consumer::Root(key), Stream::new(0, Some(token)));
        }
    }

    fn consumer(&self, key: CallKey) -> Option<Consumer> {
        self.calls.get(key).map(|call| consumer_of(key, call))
    }

    /// Of a stream: how many items have come.
    pub(super) fn yielded(&self, key: CallKey) -> Option<u64> {
        if self.streams.0.is_empty() {
            return None;
        }
        self.streams.0.get(&self.consumer(key)?).map(|stream| stream.received)
    }

    pub(super) fn on_item(
        &mut self,
        now: Instant,
        sender: Sender,
        index: u64,
        item: Bytes,
        out: &mut Vec<Effect>,
    ) {
        let (Some(consumer), true) = (self.consumer(sender.call), self.is_current(sender)) else { return };
        self.dispatcher(sender.instance.service).goes_on(sender.instance, sender.call, now);
        match self.take_item(consumer, index, item, out) {
            Ok(()) => self.serve_stream(now, consumer, out),
            Err(fault) => self.fail(now, sender.call, fault, out),
        }
    }

    fn take_item(
        &mut self,
        consumer: Consumer,
        index: u64,
        item: Bytes,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let Some(stream) = self.streams.0.get_mut(&consumer) else {
            let text = "it is a generator, and was called like a function: iterate over its items".to_owned();
            return Err(Fault::Usage(text));
        };
        if index != stream.received {
            return Err(Fault::Items { expected: stream.received, got: index });
        }
        if let Some(token) = stream.token {
            out.push(Effect::Item { token, item: item.clone() });
        }
        match stream.push(item) {
            true => Ok(()),
            false => Err(Fault::LimitExceeded(
                "its worker sends items without waiting until there is room for them".to_owned(),
            )),
        }
    }

    /// Gives out what can be given: items to pulls, and room to the generator.
    fn serve_stream(&mut self, now: Instant, consumer: Consumer, out: &mut Vec<Effect>) {
        if let Consumer::Call(caller, _) = consumer {
            while let Some((seq, items)) = self.streams.0.get_mut(&consumer).and_then(Stream::serve) {
                self.give(now, caller, seq, items, out);
            }
        }
        let producer = match consumer {
            Consumer::Root(key) => Some(key),
            Consumer::Call(caller, seq) => self.calls.get(caller).and_then(|call| call.pending_child(seq)),
        };
        let Some(stream) = self.streams.0.get_mut(&consumer).filter(|stream| stream.has_room()) else {
            return;
        };
        if let (Some(seq), Some(producer)) = (stream.room.take(), producer) {
            self.give(now, producer, seq, Outcome::Value(Bytes::from_static(NIL)), out);
        }
    }

    /// Answers an entry that is no call.
    fn give(&mut self, now: Instant, key: CallKey, seq: u32, outcome: Outcome, out: &mut Vec<Effect>) {
        if let Ended::Child { parent, suspension: Suspension::Over } =
            self.calls.record(key, seq, outcome, &Bytes::new())
        {
            self.wake(now, parent);
            self.tell(parent, out);
        }
        let Some(root) = self.calls.get(key).map(|call| call.root) else { return };
        if let Some(fault) = self.calls.holds_too_much(root) {
            self.fail(now, root, fault, out);
        }
    }

    /// An entry that asks for items, or for room for them.
    pub(super) fn add_awaited(
        &mut self,
        now: Instant,
        key: CallKey,
        entry: &Entry,
        asked: Asked,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let (seq, ident) = (entry.seq, entry.ident);
        let line = self.lines.share(entry.line.clone());
        let text = || call_text(&entry.service, &entry.arguments, ident);
        if self.attaches(key, seq, &asked, ident, &|| described(text(), &line))? {
            return Ok(());
        }
        let consumer = match asked {
            Asked::Next(stream) => Some(Consumer::Call(key, stream)),
            _ => self.consumer(key),
        };
        if let Some(call) = self.calls.get_mut(key) {
            call.add_awaited(seq, asked.clone(), ident);
            call.note_line(seq, line);
        }
        let stream = consumer.and_then(|consumer| Some((consumer, self.streams.0.get_mut(&consumer)?)));
        let Some((consumer, stream)) = stream else {
            // A stream that was refused, or that nobody takes anything of.
            self.give(now, key, seq, answer(true, &[]), out);
            return Ok(());
        };
        match asked {
            Asked::Next(_) => stream.pulls.push_back(seq),
            _ => stream.room = Some(seq),
        }
        self.serve_stream(now, consumer, out);
        Ok(())
    }

    /// Whoever asked for a root has taken one item more.
    pub(super) fn on_took(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let consumer = Consumer::Root(key);
        if let Some(stream) = self.streams.0.get_mut(&consumer) {
            stream.pop();
            self.serve_stream(now, consumer, out);
        }
    }

    /// A call has ended: of what it yielded, the rest is still to be taken.
    pub(super) fn end_stream(&mut self, now: Instant, key: CallKey, ended: &Call, out: &mut Vec<Effect>) {
        if self.streams.0.is_empty() {
            return;
        }
        let consumer = consumer_of(key, ended);
        if matches!(consumer, Consumer::Root(_)) {
            self.streams.0.remove(&consumer);
        } else if let Some(stream) = self.streams.0.get_mut(&consumer) {
            (stream.is_over, stream.room) = (true, None);
            self.serve_stream(now, consumer, out);
        }
    }

    /// The caller takes no more: what yields them is cancelled.
    pub(super) fn on_close(&mut self, now: Instant, sender: Sender, seq: u32, out: &mut Vec<Effect>) {
        if !self.is_current(sender) {
            return;
        }
        let stream = self.streams.0.get_mut(&Consumer::Call(sender.call, seq));
        let Some(pulls) = stream.map(Stream::close) else { return };
        for pull in pulls {
            self.give(now, sender.call, pull, answer(true, &[]), out);
        }
        let Some(producer) = self.calls.get(sender.call).and_then(|call| call.pending_child(seq)) else {
            return;
        };
        self.cancel(now, producer, out);
        self.give(now, sender.call, seq, Outcome::Value(Bytes::from_static(NIL)), out);
    }

    /// A call that is tried again begins those streams anew of which it has forgotten items, or has left some: an exception
    /// leaves a loop, too.
    pub(super) fn forget_dropped_streams(&mut self, key: CallKey) {
        for seq in self.streams.closed_for(key) {
            self.calls.drop_recorded(key, seq);
        }
        let Some(call) = self.calls.get(key) else { return };
        self.streams.retain(key, |seq| {
            call.pending_child(seq).is_some() || call.recorded().any(|(known, ..)| known == seq)
        });
    }
}
