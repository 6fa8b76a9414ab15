//! What a program that is no worker asks for: its head, which the payload of the arguments follows.

use super::{CallOptions, DecodeError, Fields, IDEMPOTENCY_KEY_MAX};

/// What is asked for, and with which options.
#[derive(Debug, PartialEq)]
pub struct AskHead {
    /// A canonical name or an alias.
    pub service: String,
    pub options: Option<Box<CallOptions>>,
}

impl AskHead {
    /// Reads the head, and says at which byte the arguments begin.
    pub fn decode(body: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut fields = Fields { tag: 0, rest: body };
        if fields.array()? != 2 {
            return Err(fields.malformed());
        }
        let head = Self { service: fields.text()?, options: fields.options()? };
        // It belongs to a stream of a call, and there is none here.
        if head.options.as_ref().is_some_and(|options| options.next.is_some()) {
            return Err(fields.malformed());
        }
        Ok((head, body.len() - fields.rest.len()))
    }
}

impl CallOptions {
    /// The name of a key that is not as long as keys are. The SDK sees to it before; others may not.
    pub fn key_out_of_bounds(&self) -> Option<&'static str> {
        let keys = [("idempotency_key", &self.idempotency_key), ("key", &self.key)];
        let is_wrong = |key: &str| !(1..=IDEMPOTENCY_KEY_MAX).contains(&key.len());
        keys.into_iter().find(|(_, key)| key.as_deref().is_some_and(is_wrong)).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_follows_the_head_are_the_arguments() {
        let body = b"\x92\xa3a.a\xc0\x92\x91\x01\x80";
        let head = AskHead { service: "a.a".into(), options: None };
        assert_eq!(AskHead::decode(body).unwrap(), (head, 6));
        let body = b"\x92\xa3a.a\x83\xa7timeout\xcd\x05\xdc\xa7retries\x02\xa3key\xa1k\x92\x91\x01\x80";
        let (head, at) = AskHead::decode(body).unwrap();
        let timeout = Some(Duration::from_millis(1500));
        let options =
            CallOptions { timeout, retries: Some(2), key: Some("k".into()), ..CallOptions::default() };
        assert_eq!((head.options, &body[at..]), (Some(Box::new(options)), &b"\x92\x91\x01\x80"[..]));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let unknown_option = b"\x92\xa3a.a\x81\xa5later\x01";
        let of_a_stream = b"\x92\xa3a.a\x81\xa4next\x01";
        let with_more = b"\x93\xa3a.a\xc0\xc0";
        for body in [&unknown_option[..], of_a_stream, with_more, b"\x91\xa3a.a", b"{}", b""] {
            assert_eq!(AskHead::decode(body), Err(DecodeError::Malformed { tag: 0 }), "{body:?}");
        }
    }

    #[test]
    fn keys_have_their_bounds() {
        let wrong = |text: &str| {
            let options = CallOptions { key: Some(text.into()), ..CallOptions::default() };
            options.key_out_of_bounds()
        };
        assert_eq!((wrong("k"), wrong(&"k".repeat(IDEMPOTENCY_KEY_MAX))), (None, None));
        assert_eq!((wrong(""), wrong(&"k".repeat(IDEMPOTENCY_KEY_MAX + 1))), (Some("key"), Some("key")));
    }

    proptest! {
        /// Whatever stands behind a head are the arguments, and any other bytes are refused or have a head.
        #[test]
        fn any_bytes_are_split_or_refused(
            service in ".{0,9}",
            payload in prop::collection::vec(any::<u8>(), 0..60),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut body = rmp_serde::to_vec(&(&service, ())).unwrap();
            let length = body.len();
            body.extend_from_slice(&payload);
            let (head, begins) = AskHead::decode(&body).unwrap();
            prop_assert_eq!((head.service, head.options, begins), (service, None, length));
            body[at.index(length)] = byte;
            for bytes in [body, payload] {
                prop_assert!(AskHead::decode(&bytes).map_or(0, |(_, at)| at) <= bytes.len());
            }
        }
    }
}
