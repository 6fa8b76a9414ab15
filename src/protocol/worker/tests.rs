mod bytes;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::protocol::calls::Described;
use crate::protocol::golden_bytes;

/// Messages with their bytes, shared with the SDK's tests.
const VECTORS: &str = include_str!("../../../tests/conformance/messages.json");

fn vectors(channel: &str) -> Vec<(String, Value, Vec<u8>)> {
    let all: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let chosen = all.into_iter().filter(|vector| vector["channel"] == channel);
    let chosen: Vec<_> = chosen
        .map(|vector| (text_of(&vector["name"]), vector["fields"].clone(), golden_bytes(&vector["hex"])))
        .collect();
    assert!(!chosen.is_empty(), "there are vectors for {channel}");
    chosen
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn payload_of(value: &Value) -> Bytes {
    golden_bytes(&value["hex"]).into()
}

fn number_of(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn call_of(fields: &Value) -> (CallKey, u32) {
    (CallKey(fields["call"].as_u64().unwrap()), number_of(&fields["attempt"]))
}

fn outcome_of(is_value: &Value, payload: &Value) -> Outcome {
    match is_value.as_bool().unwrap() {
        true => Outcome::Value(payload_of(payload)),
        false => Outcome::Error(payload_of(payload)),
    }
}

fn list<T>(value: &Value, each: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(each).collect()
}

fn options_of(value: &Value) -> Option<Box<CallOptions>> {
    let options = value.as_object()?;
    let texts = |name| options.get(name).map_or(Vec::new(), |texts| list(texts, text_of));
    Some(Box::new(CallOptions {
        timeout: options.get("timeout").map(|time| Duration::from_millis(time.as_u64().unwrap())),
        retries: options.get("retries").map(number_of),
        retry_on: texts("retry_on"),
        key: options.get("key").map(|key| text_of(key).into()),
        idempotency_key: options.get("idempotency_key").map(|key| text_of(key).into()),
        stream: options.get("stream").is_some_and(|stream| stream == true),
        next: options.get("next").map(number_of),
    }))
}

fn line_of(value: &Value) -> Option<Arc<str>> {
    value.as_str().map(Arc::from)
}

fn difference_of(value: &Value) -> Option<Box<Difference>> {
    let described =
        |asked: &Value| Described { call: text_of(&asked[0]), line: asked[1].as_str().map(str::to_owned) };
    (!value.is_null()).then(|| {
        let now = (!value[2].is_null()).then(|| described(&value[2]));
        Box::new(Difference { seq: number_of(&value[0]), before: described(&value[1]), now })
    })
}

/// The message that a vector is of: what stands before the comma of its name.
fn kind(name: &str) -> &str {
    name.split(',').next().unwrap()
}

fn expected_from_worker(name: &str, fields: &Value) -> FromWorker {
    let (call, attempt) = call_of(fields);
    match kind(name) {
        "return" => FromWorker::Return {
            call,
            attempt,
            value: payload_of(&fields["value"]),
            run: Duration::from_micros(number_of(&fields["micros"]).into()),
        },
        "giveback" => FromWorker::GiveBack { call, attempt },
        "raise" => match difference_of(&fields["difference"]) {
            None => FromWorker::Raise { call, attempt, error: payload_of(&fields["error"]) },
            Some(difference) => {
                FromWorker::Differs { call, attempt, error: payload_of(&fields["error"]), difference }
            }
        },
        "evicted" => FromWorker::Evicted { call, attempt },
        "answers" => FromWorker::Answers {
            call,
            attempt,
            outcomes: list(&fields["outcomes"], |outcome| outcome_of(&outcome[0], &outcome[1])),
        },
        "summary" => FromWorker::Summary { call, attempt, text: text_of(&fields["text"]) },
        "memo" => FromWorker::Memo {
            call,
            attempt,
            memo: Memo {
                seq: number_of(&fields["seq"]),
                ident: number_of(&fields["ident"]),
                outcome: outcome_of(&fields["ok"], &fields["value"]),
                known: number_of(&fields["known"]),
                line: line_of(&fields["line"]),
            },
        },
        "alarm" => FromWorker::Alarm {
            call,
            attempt,
            alarm: Alarm {
                seq: number_of(&fields["seq"]),
                ident: number_of(&fields["ident"]),
                value: payload_of(&fields["value"]),
                after: Duration::from_millis(fields["after"].as_u64().unwrap()),
                line: line_of(&fields["line"]),
            },
        },
        "item" => FromWorker::Item {
            call,
            attempt,
            index: fields["index"].as_u64().unwrap(),
            item: payload_of(&fields["item"]),
        },
        "close" => FromWorker::Close { call, attempt, seq: number_of(&fields["seq"]) },
        "listen" => FromWorker::Listen { call, attempt, seqs: list(&fields["seqs"], number_of) },
        _ => FromWorker::Calls {
            call,
            attempt,
            entries: list(&fields["entries"], |entry| Entry {
                seq: number_of(&entry[0]),
                service: text_of(&entry[1]),
                ident: number_of(&entry[2]),
                arguments: payload_of(&entry[3]),
                options: entry.get(4).and_then(options_of),
                line: line_of(&entry[5]),
            }),
            wait: (!fields["wait"].is_null())
                .then(|| Wait { all: fields["wait"][0] == 0, seqs: list(&fields["wait"][1], number_of) }),
        },
    }
}

#[test]
fn messages_of_workers_are_read_as_the_vectors_say() {
    for (name, fields, bytes) in vectors("worker lane") {
        assert_eq!(whole_message(&bytes), Ok(Some(bytes.len())), "{name}");
        let read = FromWorker::decode(&bytes, &Bytes::copy_from_slice);
        assert_eq!(read, Ok(expected_from_worker(&name, &fields)), "{name}");
    }
}

#[test]
fn control_messages_of_workers_are_read_as_the_vectors_say() {
    for (name, fields, bytes) in vectors("worker control") {
        let expected = match kind(&name) {
            "hello" => FromControl::Hello {
                version: number_of(&fields["protocol"]),
                sdk: text_of(&fields["sdk"]),
                python: text_of(&fields["python"]),
                pid: number_of(&fields["pid"]),
                service: text_of(&fields["service"]),
                kind: text_of(&fields["kind"]),
                signature: payload_of(&fields["signature"]),
            },
            "stacks" => FromControl::Stacks {
                nonce: fields["nonce"].as_u64().unwrap(),
                stacks: list(&fields["stacks"], |stack| TaskStack {
                    name: text_of(&stack[0]),
                    call: (stack[2] != 0)
                        .then(|| (CallKey(stack[1].as_u64().unwrap()), number_of(&stack[2]))),
                    state: text_of(&stack[3]),
                    text: text_of(&stack[4]),
                }),
            },
            "pong" => FromControl::Pong(fields["nonce"].as_u64().unwrap()),
            _ => {
                let (call, attempt) = call_of(&fields);
                FromControl::Stack { call, attempt, text: text_of(&fields["text"]) }
            }
        };
        assert_eq!(FromControl::decode(&bytes), Ok(expected), "{name}");
    }
}

#[test]
fn messages_to_workers_are_written_as_the_vectors_say() {
    for (name, fields, bytes) in vectors("hub lane") {
        let (call, attempt) = call_of(&fields);
        let message = match kind(&name) {
            "evict" => ToWorker::Evict { call, attempt },
            "resume" => ToWorker::Resume {
                call,
                attempt,
                results: list(&fields["results"], |r| (number_of(&r[0]), outcome_of(&r[1], &r[2]))),
            },
            _ => ToWorker::Run {
                call,
                attempt,
                arguments: payload_of(&fields["arguments"]),
                via: fields["via"].as_str().map(ServiceName::new),
                results: list(&fields["results"], |r| Recorded {
                    seq: number_of(&r[0]),
                    service: ServiceName::new(text_of(&r[1])),
                    ident: number_of(&r[2]),
                    outcome: outcome_of(&r[3], &r[4]),
                    line: line_of(&r[5]),
                    arguments: if r[6].is_null() { Bytes::new() } else { payload_of(&r[6]) },
                }),
                id: text_of(&fields["id"]),
                remaining: fields["remaining"].as_u64().map(Duration::from_millis),
                batch: fields.get("batch").map(number_of),
                yielded: fields.get("yielded").and_then(Value::as_u64),
            },
        };
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(written, bytes, "{name}");
    }
}

#[test]
fn control_messages_to_workers_are_written_as_the_vectors_say() {
    for (name, fields, bytes) in vectors("hub control") {
        let message = match kind(&name) {
            "lane" => ToControl::Lane(number_of(&fields["lane"])),
            "ping" => ToControl::Ping(fields["nonce"].as_u64().unwrap()),
            "drain" => ToControl::Drain,
            "askback" => ToControl::AskBack(number_of(&fields["lane"])),
            "tally" => ToControl::Tally,
            "askstacks" => ToControl::Stacks(fields["nonce"].as_u64().unwrap()),
            _ => {
                let (call, attempt) = call_of(&fields);
                ToControl::Interrupt { call, attempt, reason: text_of(&fields["reason"]) }
            }
        };
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(written, bytes, "{name}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let copy = Bytes::copy_from_slice;
    assert_eq!(whole_message(&[0, 0, 0]), Ok(None));
    assert_eq!(whole_message(&[2, 0, 0, 0, 49]), Ok(None));
    assert_eq!(whole_message(&[0, 0, 0, 0]), Err(DecodeError::Malformed { tag: 0 }));
    assert_eq!(whole_message(&[255; 4]), Err(DecodeError::TooLarge(u32::MAX as usize)));
    let decode = |bytes: &[u8]| FromWorker::decode(bytes, &copy);
    assert_eq!(decode(&[4, 0, 0, 0, 99, 0x92, 1, 1]), Err(DecodeError::UnknownTag(99)));
    assert_eq!(decode(&[4, 0, 0, 0, 49, 0x92, 1, 1]), Err(DecodeError::Malformed { tag: 49 }));
    assert_eq!(decode(&[4, 0, 0, 0, 51, 0x92, 1, 0xc0]), Err(DecodeError::Malformed { tag: 51 }));
    // A later version may add fields.
    assert!(decode(&[5, 0, 0, 0, 51, 0x93, 1, 1, 0xc0]).is_ok());
}
