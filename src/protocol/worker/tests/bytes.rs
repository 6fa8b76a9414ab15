//! Any bytes: what a worker sends is read or refused, and what is read is the same when it is written and read again.

use super::super::write::{array, bin, head, message, ok, outcome, text, uint};
use std::sync::Arc;

use super::*;
use crate::protocol::calls::{Described, Difference};

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// As a worker writes it.
fn written(sent: &FromWorker) -> Vec<u8> {
    let mut out = Vec::new();
    let (call, attempt) = sent.head();
    let mut write = |tag, fields, rest: &dyn Fn(&mut Vec<u8>)| {
        message(&mut out, tag, fields, |out| {
            head(out, call, attempt);
            rest(out);
        });
    };
    match sent {
        FromWorker::Calls { entries, wait, .. } => write(48, 4, &|out| {
            array(out, entries.len());
            entries.iter().for_each(|entry| write_entry(out, entry));
            match wait {
                None => ok(rmp::encode::write_nil(out)),
                Some(Wait { all, seqs }) => {
                    array(out, 2);
                    uint(out, u64::from(!all));
                    write_seqs(out, seqs);
                }
            }
        }),
        FromWorker::Return { value, run, .. } => write(49, 4, &|out| {
            bin(out, value);
            uint(out, u64::try_from(run.as_micros()).unwrap());
        }),
        FromWorker::Raise { error, .. } => write(50, 3, &|out| bin(out, error)),
        FromWorker::Evicted { .. } => write(51, 2, &|_| ()),
        FromWorker::Differs { error, difference, .. } => write(50, 4, &|out| {
            bin(out, error);
            write_difference(out, difference);
        }),
        FromWorker::Memo { memo, .. } => write(52, 8, &|out| {
            uint(out, memo.seq.into());
            uint(out, memo.ident.into());
            outcome(out, &memo.outcome);
            uint(out, memo.known.into());
            write_line(out, memo.line.as_deref());
        }),
        FromWorker::GiveBack { .. } => write(53, 2, &|_| ()),
        FromWorker::Summary { text: summary, .. } => write(54, 3, &|out| text(out, summary)),
        FromWorker::Listen { seqs, .. } => write(56, 3, &|out| write_seqs(out, seqs)),
        FromWorker::Alarm { alarm, .. } => write(57, 7, &|out| {
            uint(out, alarm.seq.into());
            uint(out, alarm.ident.into());
            bin(out, &alarm.value);
            uint(out, millis(alarm.after));
            write_line(out, alarm.line.as_deref());
        }),
        FromWorker::Item { index, item, .. } => write(58, 4, &|out| {
            uint(out, *index);
            bin(out, item);
        }),
        FromWorker::Close { seq, .. } => write(59, 3, &|out| uint(out, (*seq).into())),
        FromWorker::Answers { outcomes, .. } => write(60, 3, &|out| {
            array(out, outcomes.len());
            for one in outcomes {
                array(out, 2);
                outcome(out, one);
            }
        }),
    }
    out
}

fn write_line(out: &mut Vec<u8>, line: Option<&str>) {
    match line {
        Some(line) => text(out, line),
        None => ok(rmp::encode::write_nil(out)),
    }
}

fn write_difference(out: &mut Vec<u8>, difference: &Difference) {
    array(out, 3);
    uint(out, difference.seq.into());
    for described in [Some(&difference.before), difference.now.as_ref()] {
        match described {
            None => ok(rmp::encode::write_nil(out)),
            Some(Described { call, line }) => {
                array(out, 2);
                text(out, call);
                write_line(out, line.as_deref());
            }
        }
    }
}

fn write_seqs(out: &mut Vec<u8>, seqs: &[u32]) {
    array(out, seqs.len());
    seqs.iter().for_each(|seq| uint(out, (*seq).into()));
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    array(out, 6);
    uint(out, entry.seq.into());
    text(out, &entry.service);
    uint(out, entry.ident.into());
    bin(out, &entry.arguments);
    match &entry.options {
        None => ok(rmp::encode::write_nil(out)),
        Some(options) => write_options(out, options),
    }
    write_line(out, entry.line.as_deref());
}

fn write_options(out: &mut Vec<u8>, options: &CallOptions) {
    let CallOptions { timeout, retries, retry_on, idempotency_key, key, stream, next } = options;
    let names = [idempotency_key.is_some(), key.is_some(), true];
    let given = [timeout.is_some(), retries.is_some(), *stream, next.is_some()].into_iter().chain(names);
    ok(rmp::encode::write_map_len(out, given.map(u32::from).sum()));
    let number = |out: &mut Vec<u8>, name, value: u64| {
        text(out, name);
        uint(out, value);
    };
    timeout.iter().for_each(|timeout| number(out, "timeout", millis(*timeout)));
    retries.iter().for_each(|retries| number(out, "retries", (*retries).into()));
    next.iter().for_each(|stream| number(out, "next", (*stream).into()));
    if *stream {
        text(out, "stream");
        ok(rmp::encode::write_bool(out, true).map_err(rmp::encode::ValueWriteError::InvalidDataWrite));
    }
    for (name, value) in [("idempotency_key", idempotency_key), ("key", key)] {
        if let Some(value) = value {
            text(out, name);
            text(out, value);
        }
    }
    text(out, "retry_on");
    array(out, retry_on.len());
    retry_on.iter().for_each(|name| text(out, name));
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    (any::<bool>(), payload()).prop_map(|(is_value, payload)| match is_value {
        true => Outcome::Value(payload),
        false => Outcome::Error(payload),
    })
}

fn options() -> impl Strategy<Value = CallOptions> {
    let timeout = prop::option::of(any::<u64>().prop_map(Duration::from_millis));
    let name = || prop::option::of(".{0,8}".prop_map(|text: String| text.into()));
    let of_stream = any::<(bool, Option<u32>)>();
    let retry_on = prop::collection::vec(".{0,8}", 0..3);
    let parts = (timeout, any::<Option<u32>>(), retry_on, name(), name(), of_stream);
    parts.prop_map(|(timeout, retries, retry_on, idempotency_key, key, (stream, next))| CallOptions {
        stream,
        next,
        timeout,
        retries,
        retry_on,
        idempotency_key,
        key,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let parts = (any::<u32>(), ".{0,8}", any::<u32>(), payload(), prop::option::of(options()), line());
    parts.prop_map(|(seq, service, ident, arguments, options, line)| Entry {
        line,
        seq,
        service,
        ident,
        arguments,
        options: options.map(Box::new),
    })
}

fn line() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of(".{0,8}".prop_map(|text: String| text.into()))
}

fn difference() -> impl Strategy<Value = Box<Difference>> {
    let described = || {
        let line = prop::option::of(".{0,8}");
        (".{0,8}", line).prop_map(|(call, line)| Described { call, line })
    };
    let parts = (any::<u32>(), described(), prop::option::of(described()));
    parts.prop_map(|(seq, before, now)| Box::new(Difference { seq, before, now }))
}

fn from_worker() -> impl Strategy<Value = FromWorker> {
    let seqs = || prop::collection::vec(any::<u32>(), 0..4);
    let wait = prop::option::of((any::<bool>(), seqs()).prop_map(|(all, seqs)| Wait { all, seqs }));
    let time = any::<u64>().prop_map(Duration::from_micros);
    let memo = (any::<u32>(), any::<u32>(), outcomes(), any::<u32>(), line());
    let after = any::<u64>().prop_map(Duration::from_millis);
    let alarm = (any::<u32>(), any::<u32>(), payload(), after, line());
    let (call, attempt) = (CallKey(7), 1);
    let sent = prop_oneof![
        (prop::collection::vec(entry(), 0..4), wait).prop_map(move |(entries, wait)| FromWorker::Calls {
            call,
            attempt,
            entries,
            wait
        }),
        (payload(), time).prop_map(move |(value, run)| FromWorker::Return { call, attempt, value, run }),
        payload().prop_map(move |error| FromWorker::Raise { call, attempt, error }),
        Just(FromWorker::Evicted { call, attempt }),
        Just(FromWorker::GiveBack { call, attempt }),
        memo.prop_map(move |(seq, ident, outcome, known, line)| {
            FromWorker::Memo { call, attempt, memo: Memo { seq, ident, outcome, known, line } }
        }),
        alarm.prop_map(move |(seq, ident, value, after, line)| {
            FromWorker::Alarm { call, attempt, alarm: Alarm { seq, ident, value, after, line } }
        }),
        (payload(), difference()).prop_map(move |(error, difference)| FromWorker::Differs {
            call,
            attempt,
            error,
            difference
        }),
        (any::<u64>(), payload()).prop_map(move |(index, item)| FromWorker::Item {
            call,
            attempt,
            index,
            item
        }),
        any::<u32>().prop_map(move |seq| FromWorker::Close { call, attempt, seq }),
        prop::collection::vec(outcomes(), 0..4).prop_map(move |outcomes| FromWorker::Answers {
            call,
            attempt,
            outcomes
        }),
        seqs().prop_map(move |seqs| FromWorker::Listen { call, attempt, seqs }),
        ".{0,12}".prop_map(move |text| FromWorker::Summary { call, attempt, text }),
    ];
    sent.boxed()
}

fn read(bytes: &[u8]) -> Result<FromWorker, DecodeError> {
    FromWorker::decode(bytes, &Bytes::copy_from_slice)
}

/// Reads a message that may be damaged. What can be read is the same once more, and takes no more than it came in.
fn read_or_refuse(bytes: &[u8]) {
    let _ = whole_message(bytes);
    let _ = FromControl::decode(bytes);
    if let Ok(message) = read(bytes) {
        let again = written(&message);
        assert_eq!(whole_message(&again), Ok(Some(again.len())));
        assert_eq!(read(&again), Ok(message));
    }
}

proptest! {
    #[test]
    fn messages_arrive_as_sent(message in from_worker()) {
        let bytes = written(&message);
        prop_assert_eq!(whole_message(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(read(&bytes), Ok(message));
    }

    #[test]
    fn noise_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), tag in 0u8..64) {
        if let Some(place) = bytes.get_mut(PREFIX_BYTES - 1) {
            *place = tag;
        }
        read_or_refuse(&bytes);
    }

    /// Damage in a message that was right gets further into the decoder than noise does.
    #[test]
    fn damage_is_read_or_refused(
        message in from_worker(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end: prop::sample::Index,
    ) {
        let mut bytes = written(&message);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_or_refuse(&bytes);
        read_or_refuse(&bytes[..end.index(bytes.len())]);
    }

    #[test]
    fn damage_on_the_control_channel_is_read_or_refused(
        which: prop::sample::Index,
        at: prop::sample::Index,
        byte: u8,
    ) {
        let vectors = vectors("worker control");
        let mut bytes = vectors[which.index(vectors.len())].2.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_or_refuse(&bytes);
        read_or_refuse(&bytes[..at]);
    }
}

/// A length that says more than there is reserves nothing for it.
#[test]
fn a_count_beyond_the_message_is_refused_before_anything_is_reserved() {
    let claims: [&[u8]; 4] = [
        b"\x00\x00\x00\x00\x30\x94\x01\x01\xdd\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x30\x94\x01\x01\x90\x92\x00\xdd\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x38\x93\x01\x01\xdd\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x32\x93\x01\x01\xc6\xff\xff\xff\xff",
    ];
    for claim in claims {
        assert_eq!(read(claim), Err(DecodeError::Malformed { tag: claim[4] }));
    }
    let stacks = b"\x00\x00\x00\x00\x04\x92\x01\xdd\xff\xff\xff\xff";
    assert_eq!(FromControl::decode(stacks), Err(DecodeError::Malformed { tag: 4 }));
}

/// docs/protocol.md and the vectors know the same messages, by tag and name.
#[test]
fn every_message_of_the_document_has_a_vector() {
    let document = include_str!("../../../../docs/protocol.md");
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (tag, name, way) = (cells.next()?.parse::<u8>().ok()?, cells.next()?, cells.next()?);
        way.contains('→').then(|| (tag, name.to_owned()))
    });
    let rows: std::collections::BTreeSet<(u8, String)> = rows.collect();
    let channels = ["worker lane", "worker control", "hub lane", "hub control"];
    let vectors = channels.into_iter().flat_map(vectors);
    let known = vectors.map(|(name, _, bytes)| (bytes[PREFIX_BYTES - 1], kind(&name).to_owned())).collect();
    assert!(rows.len() > 20, "the tables were found: {rows:?}");
    assert_eq!(rows, known);
}
