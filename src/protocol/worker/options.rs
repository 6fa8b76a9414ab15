//! What a caller asks for beside the arguments: the options of one call, a map that plain calls do not have.

use std::sync::Arc;
use std::time::Duration;

use rmp::decode::RmpRead;

use super::{DecodeError, Fields};

/// Bytes of an idempotency key; each is kept for a day.
pub const IDEMPOTENCY_KEY_MAX: usize = 256;

/// Options of one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// How long the caller waits for it, from the moment it is made.
    pub timeout: Option<Duration>,
    /// How often it is tried again after it has failed; otherwise its service's setting.
    pub retries: Option<u32>,
    /// Names of the exceptions, or of their base classes, after which it is; none: all.
    pub retry_on: Vec<String>,
    /// Calls of a service with the same key are one call.
    pub idempotency_key: Option<Arc<str>>,
    /// Of calls of a service with the same key only so many run at once as its `concurrency_key` says.
    pub key: Option<Arc<str>>,
    /// It is a stream: its caller takes its items one after another.
    pub stream: bool,
    /// It is no call, but asks for the next items of the stream of this seq.
    pub next: Option<u32>,
}

impl CallOptions {
    /// Those of a stream from outside.
    pub fn of_stream(timeout: Option<Duration>) -> Option<Box<Self>> {
        Some(Box::new(Self { timeout, stream: true, ..Self::default() }))
    }

    /// Those of a call from outside; most have none.
    pub fn of_root(timeout: Option<Duration>, idempotency_key: Option<Arc<str>>) -> Option<Box<Self>> {
        let has_some = timeout.is_some() || idempotency_key.is_some();
        has_some.then(|| Box::new(Self { timeout, idempotency_key, ..Self::default() }))
    }
}

impl Fields<'_> {
    /// Options or nil. Unknown keys are a broken peer: what they ask for would not be done.
    pub(super) fn options(&mut self) -> Result<Option<Box<CallOptions>>, DecodeError> {
        if self.rest.first() == Some(&0xc0) {
            self.rest.read_u8().map_err(|_| self.malformed())?;
            return Ok(None);
        }
        let count = rmp::decode::read_map_len(&mut self.rest).map_err(|_| self.malformed())?;
        let mut options = CallOptions::default();
        for _ in 0..count {
            match self.text()?.as_str() {
                "timeout" => options.timeout = Some(Duration::from_millis(self.uint()?)),
                "retries" => options.retries = Some(self.uint32()?),
                "retry_on" => options.retry_on = self.texts()?,
                "idempotency_key" => options.idempotency_key = Some(self.text()?.into()),
                "key" => options.key = Some(self.text()?.into()),
                "stream" => options.stream = self.boolean()?,
                "next" => options.next = Some(self.uint32()?),
                _ => return Err(self.malformed()),
            }
        }
        Ok(Some(Box::new(options)))
    }

    fn texts(&mut self) -> Result<Vec<String>, DecodeError> {
        let count = self.count()?;
        (0..count).map(|_| self.text()).collect()
    }
}
