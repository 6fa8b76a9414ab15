//! The failure of a call, as it travels: the error map of `docs/protocol.md`.
//!
//! An exception that only passes through the hub stays bytes. It is read where a person is told of it (gateway,
//! CLI, logs), and made here where the hub itself is what failed.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

/// Causes nest at most this deep in what the hub reads.
const DEPTH_MAX: usize = 128;

/// One exception. What the other side left out is empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteError {
    /// `module.QualName` of the exception: `builtins.ValueError`, `msx.InstanceDied`.
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    /// Names of its base classes, most derived first.
    #[serde(deserialize_with = "nil_as_default")]
    pub mro: Vec<String>,
    /// Canonical name of the service where it was raised.
    #[serde(deserialize_with = "nil_as_default")]
    pub service: String,
    #[serde(deserialize_with = "nil_as_default")]
    pub traceback: String,
    pub cause: Option<Box<RemoteError>>,
    /// Services that it passed through on its way, the innermost first.
    #[serde(deserialize_with = "nil_as_default", skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// What `add_note` has added.
    #[serde(deserialize_with = "nil_as_default", skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RemoteError {
    /// The call did not end in time.
    pub const TIMEOUT: &str = "msx.TimeoutError";
    /// The process in which the call ran is gone.
    pub const INSTANCE_DIED: &str = "msx.InstanceDied";
    /// No instance could take the call.
    pub const UNAVAILABLE: &str = "msx.ServiceUnavailable";
    /// Somebody ended the call before it had an answer.
    pub const USAGE: &str = "msx.UsageError";
    pub const CANCELLED: &str = "msx.Cancelled";

    /// One idempotency key for two different calls.
    pub const IDEMPOTENCY_CONFLICT: &str = "msx.IdempotencyConflict";
    /// The function says that another attempt would fail as well.
    pub const FATAL: &str = "msx.Fatal";

    pub fn instance_died(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub(Self::INSTANCE_DIED, &["builtins.Exception"], service, message)
    }

    /// `stack` is the Python stack of the code that ran too long, or empty.
    pub fn timeout(service: &str, message: impl Into<String>, stack: impl Into<String>) -> Self {
        let mro = ["builtins.TimeoutError", "builtins.OSError", "builtins.Exception"];
        Self { traceback: stack.into(), ..Self::of_hub(Self::TIMEOUT, &mro, service, message) }
    }

    pub fn service_unavailable(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub(Self::UNAVAILABLE, &["builtins.Exception"], service, message)
    }

    pub fn non_determinism(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub("msx.NonDeterminismError", &["builtins.Exception"], service, message)
    }

    /// The worker does not keep to the protocol.
    pub fn broken(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub("msx.RemoteError", &["builtins.Exception"], service, message)
    }

    pub fn limit_exceeded(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub("msx.LimitExceeded", &["builtins.Exception"], service, message)
    }

    pub fn idempotency_conflict(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub(Self::IDEMPOTENCY_CONFLICT, &["builtins.Exception"], service, message)
    }

    pub fn usage(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub(Self::USAGE, &["builtins.RuntimeError", "builtins.Exception"], service, message)
    }

    pub fn cancelled(service: &str, message: impl Into<String>) -> Self {
        Self::of_hub(Self::CANCELLED, &["builtins.BaseException"], service, message)
    }

    fn of_hub(kind: &str, mro: &[&str], service: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
            mro: mro.iter().map(|&name| name.to_owned()).collect(),
            service: service.to_owned(),
            ..Self::default()
        }
    }

    /// The payload of an error.
    pub fn encode(&self) -> Bytes {
        rmp_serde::to_vec_named(self).expect("texts can always be written to memory").into()
    }

    /// Reads a payload. One that cannot be read is a failure of the call all the same, and says so.
    pub fn decode(payload: &[u8]) -> Self {
        let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
        reader.set_max_depth(DEPTH_MAX);
        Self::deserialize(&mut reader).unwrap_or_else(|error| Self {
            kind: "msx.RemoteError".to_owned(),
            message: format!("the call failed, and its error cannot be read: {error}"),
            ..Self::default()
        })
    }
}

fn nil_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    source: D,
) -> Result<T, D::Error> {
    Option::deserialize(source).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hubs_errors_are_maps_with_all_keys() {
        let payload = RemoteError::timeout("a.a", "ran for 30 s", "File \"a.py\", line 3").encode();
        let shown: serde_json::Value = rmp_serde::from_slice(&payload).unwrap();
        let expected = json!({
            "type": "msx.TimeoutError",
            "message": "ran for 30 s",
            "mro": ["builtins.TimeoutError", "builtins.OSError", "builtins.Exception"],
            "service": "a.a",
            "traceback": "File \"a.py\", line 3",
            "cause": null,
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let cause = RemoteError::instance_died("b.b", "killed by signal 9");
        let error = RemoteError {
            cause: Some(Box::new(cause)),
            ..RemoteError::service_unavailable("a.a", "its instances keep ending")
        };
        assert_eq!(RemoteError::decode(&error.encode()), error);
    }

    #[test]
    fn a_partial_map_is_enough_and_unknown_keys_are_ignored() {
        let map = json!({"type": "builtins.KeyError", "message": "'k'", "service": null, "args": ["k"], "later": [{}]});
        let error = RemoteError::decode(&rmp_serde::to_vec(&map).unwrap());
        let expected =
            RemoteError { kind: "builtins.KeyError".into(), message: "'k'".into(), ..Default::default() };
        assert_eq!(error, expected);
    }

    #[test]
    fn arguments_with_extensions_are_skipped() {
        let mut payload = vec![0x82, 0xa4];
        payload.extend_from_slice(b"args\x91\xc7\x03\x01\x92\x01\x02\xa7message\xa2no");
        assert_eq!(RemoteError::decode(&payload).message, "no");
    }

    #[test]
    fn damage_is_told_and_depth_is_bounded() {
        for damage in [&[][..], &[0xc1], &[0x81, 0xa4], b"\x81\xa7message\x07"] {
            let error = RemoteError::decode(damage);
            assert_eq!(error.kind, "msx.RemoteError");
            assert!(error.message.contains("its error cannot be read"), "{}", error.message);
        }
        let deep = b"\x81\xa5cause".repeat(100_000);
        assert_eq!(RemoteError::decode(&deep).kind, "msx.RemoteError");
    }

    fn error() -> impl Strategy<Value = RemoteError> {
        let names = || prop::collection::vec(".{0,6}", 0..3);
        let parts = (".{0,9}", ".{0,9}", names(), ".{0,9}", ".{0,9}", names(), names());
        let single = parts.prop_map(|(kind, message, mro, service, traceback, via, notes)| RemoteError {
            kind,
            message,
            mro,
            service,
            traceback,
            cause: None,
            via,
            notes,
        });
        prop::collection::vec(single, 1..5).prop_map(|chain| {
            let link =
                |cause: Option<Box<RemoteError>>, error| Some(Box::new(RemoteError { cause, ..error }));
            chain.into_iter().fold(None, link).map(|error| *error).unwrap_or_default()
        })
    }

    proptest! {
        #[test]
        fn errors_arrive_as_sent(error in error()) {
            prop_assert_eq!(RemoteError::decode(&error.encode()), error);
        }

        /// What is read of damage, if only that it cannot be read, is the same once more.
        #[test]
        fn damage_is_an_error_all_the_same(
            error in error(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = error.encode().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for bytes in [bytes, noise] {
                let read = RemoteError::decode(&bytes);
                prop_assert_eq!(RemoteError::decode(&read.encode()), read);
            }
        }
    }
}
