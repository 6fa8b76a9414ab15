//! What travels between processes, and its bytes: worker messages, guard messages, the control API's types.
//! Pure: no sockets here.

pub mod call_id;
pub mod calls;
pub mod control;
pub mod error;
pub mod events;
pub mod guard;
pub mod json;
pub mod progress;
pub mod signature;
pub mod worker;

/// Bytes of the golden vectors in `tests/conformance/`, which are written in hexadecimal.
#[cfg(test)]
fn golden_bytes(hex: &serde_json::Value) -> Vec<u8> {
    let hex = hex.as_str().expect("a text");
    let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}
