//! Errors that the hub itself answers a call with.

use std::fmt::Write;

use bytes::Bytes;
use rmp::encode;

use crate::model::ServiceName;

/// Why a call fails without its function having raised.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It ran longer than `run_timeout`; the Python stack of the running code, if the worker gave it.
    RunTimeout {
        seconds: f64,
        stack: String,
    },
    ServiceUnavailable(String),
    InstanceDied(String),
    NonDeterminism(String),
    LimitExceeded(String),
}

impl Fault {
    fn class(&self) -> &'static str {
        match self {
            Self::RunTimeout { .. } => "msx.TimeoutError",
            Self::ServiceUnavailable(_) => "msx.ServiceUnavailable",
            Self::InstanceDied(_) => "msx.InstanceDied",
            Self::NonDeterminism(_) => "msx.NonDeterminismError",
            Self::LimitExceeded(_) => "msx.LimitExceeded",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::RunTimeout { seconds, .. } => {
                format!("ran for more than {seconds} s (run_timeout) without waiting for another call")
            }
            Self::ServiceUnavailable(text)
            | Self::InstanceDied(text)
            | Self::NonDeterminism(text)
            | Self::LimitExceeded(text) => text.clone(),
        }
    }

    fn traceback(&self) -> String {
        match self {
            Self::RunTimeout { stack, .. } if !stack.is_empty() => {
                let mut text = String::from("Stack of the running code (most recent call last):\n");
                let _ = text.write_str(stack);
                text
            }
            _ => String::new(),
        }
    }

    /// The error payload of docs/protocol.md, as if `service` had raised it.
    pub fn payload(&self, service: &ServiceName) -> Bytes {
        let fields = [
            ("type", self.class().to_owned()),
            ("message", self.message()),
            ("service", service.to_string()),
            ("traceback", self.traceback()),
        ];
        let mut out = Vec::with_capacity(256);
        // Writing to a `Vec` cannot fail.
        let _ = encode::write_map_len(&mut out, fields.len() as u32);
        for (key, value) in &fields {
            let _ = encode::write_str(&mut out, key);
            let _ = encode::write_str(&mut out, value);
        }
        out.into()
    }
}
