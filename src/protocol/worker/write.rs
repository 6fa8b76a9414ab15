//! How messages are written: MessagePack behind a length and a tag.

use rmp::encode;

use super::Recorded;
use crate::model::{CallKey, Outcome};

/// Writes one message: its length is filled in once the fields are written.
pub fn message(out: &mut Vec<u8>, tag: u8, fields: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, tag]);
    array(out, fields);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

pub fn head(out: &mut Vec<u8>, call: CallKey, attempt: u32) {
    uint(out, call.0);
    uint(out, u64::from(attempt));
}

pub fn outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    let (is_value, payload) = match outcome {
        Outcome::Value(payload) => (true, payload),
        Outcome::Error(payload) => (false, payload),
    };
    ok(encode::write_bool(out, is_value));
    bin(out, payload);
}

/// With what is known of how it was asked for; most often nothing comes behind the outcome of one that is not.
pub fn recorded(out: &mut Vec<u8>, result: &Recorded) {
    let known = match (&result.line, result.arguments.is_empty()) {
        (None, true) => 0,
        (_, true) => 1,
        (_, false) => 2,
    };
    array(out, 5 + known);
    uint(out, u64::from(result.seq));
    text(out, result.service.as_str());
    uint(out, u64::from(result.ident));
    outcome(out, &result.outcome);
    if known > 0 {
        match &result.line {
            Some(line) => text(out, line),
            None => ok(encode::write_nil(out)),
        }
    }
    if known > 1 {
        bin(out, &result.arguments);
    }
}

pub fn uint(out: &mut Vec<u8>, value: u64) {
    ok(encode::write_uint(out, value));
}

pub fn text(out: &mut Vec<u8>, value: &str) {
    ok(encode::write_str(out, value));
}

pub fn bin(out: &mut Vec<u8>, value: &[u8]) {
    ok(encode::write_bin(out, value));
}

pub fn array(out: &mut Vec<u8>, length: usize) {
    ok(encode::write_array_len(out, u32::try_from(length).unwrap_or(u32::MAX)));
}

/// Writing to a `Vec` cannot fail; the encoder's signature cannot say so.
pub fn ok<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok());
}
