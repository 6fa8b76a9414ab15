//! What a caller asks for beside the arguments: the options of one call, a map that plain calls do not have.

use std::time::Duration;

use rmp::decode::RmpRead;

use super::{DecodeError, Fields};

/// Options of one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// How long the caller waits for it, from the moment it is made.
    pub timeout: Option<Duration>,
    /// How often it is tried again after it has failed; otherwise its service's setting.
    pub retries: Option<u32>,
    /// Names of the exceptions, or of their base classes, after which it is; none: all.
    pub retry_on: Vec<String>,
}

impl CallOptions {
    /// A call that is to end within this time, if one is given.
    pub fn within(timeout: Option<Duration>) -> Option<Box<Self>> {
        timeout.map(|timeout| Box::new(Self { timeout: Some(timeout), ..Self::default() }))
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
