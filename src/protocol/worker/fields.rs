//! The fields of a message, read one by one from bytes that may be anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rmp::decode;

use super::{Alarm, DecodeError, Entry, Memo, TaskStack, Wait};
use crate::model::{CallKey, Outcome};
use crate::protocol::calls::{Described, Difference};

/// Characters of where a call is made, and of what it is described by.
const LINE_MAX: usize = 200;
const DESCRIBED_MAX: usize = 400;

/// Reads the fields of one message from left to right.
pub struct Fields<'a> {
    pub tag: u8,
    pub rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn malformed(&self) -> DecodeError {
        DecodeError::Malformed { tag: self.tag }
    }

    pub fn array(&mut self) -> Result<u32, DecodeError> {
        decode::read_array_len(&mut self.rest).map_err(|_| self.malformed())
    }

    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        decode::read_int(&mut self.rest).map_err(|_| self.malformed())
    }

    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.uint()?).map_err(|_| self.malformed())
    }

    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        decode::read_bool(&mut self.rest).map_err(|_| self.malformed())
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length as usize).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn text(&mut self) -> Result<String, DecodeError> {
        let length = decode::read_str_len(&mut self.rest).map_err(|_| self.malformed())?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.malformed())
    }

    pub fn payload(&mut self, keep: &dyn Fn(&[u8]) -> Bytes) -> Result<Bytes, DecodeError> {
        let length = decode::read_bin_len(&mut self.rest).map_err(|_| self.malformed())?;
        self.take(length).map(keep)
    }

    fn outcome(&mut self, keep: &dyn Fn(&[u8]) -> Bytes) -> Result<Outcome, DecodeError> {
        let is_value = self.boolean()?;
        let payload = self.payload(keep)?;
        Ok(if is_value { Outcome::Value(payload) } else { Outcome::Error(payload) })
    }

    pub fn outcomes(&mut self, keep: &dyn Fn(&[u8]) -> Bytes) -> Result<Vec<Outcome>, DecodeError> {
        let count = self.count()?;
        let mut outcomes = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            if self.array()? < 2 {
                return Err(self.malformed());
            }
            outcomes.push(self.outcome(keep)?);
        }
        Ok(outcomes)
    }

    /// A count that the remaining bytes can hold (each element takes at least one), so that it bounds an allocation.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.array()? as usize;
        if count > self.rest.len() { Err(self.malformed()) } else { Ok(count) }
    }

    pub fn entries(&mut self, keep: &dyn Fn(&[u8]) -> Bytes) -> Result<Vec<Entry>, DecodeError> {
        let count = self.count()?;
        let mut entries = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let fields = self.array()?;
            if fields < 4 {
                return Err(self.malformed());
            }
            entries.push(Entry {
                seq: self.uint32()?,
                service: self.text()?,
                ident: self.uint32()?,
                arguments: self.payload(keep)?,
                options: if fields > 4 { self.options()? } else { None },
                line: self.line(fields > 5)?,
            });
        }
        Ok(entries)
    }

    pub fn stacks(&mut self) -> Result<Vec<TaskStack>, DecodeError> {
        let count = self.count()?;
        let mut stacks = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            if self.array()? < 5 {
                return Err(self.malformed());
            }
            let (name, call, attempt) = (self.text()?, CallKey(self.uint()?), self.uint32()?);
            let call = (attempt > 0).then_some((call, attempt));
            stacks.push(TaskStack { name, call, state: self.text()?, text: self.text()? });
        }
        Ok(stacks)
    }

    /// Takes a nil, if it is the next field.
    fn is_nil(&mut self) -> bool {
        let is_nil = self.rest.first() == Some(&0xc0);
        if is_nil {
            self.rest = &self.rest[1..];
        }
        is_nil
    }

    /// Where something is asked for, if the message has that field. What is longer than a line is cut.
    fn line(&mut self, is_there: bool) -> Result<Option<Arc<str>>, DecodeError> {
        if !is_there || self.is_nil() {
            return Ok(None);
        }
        let text = self.text()?;
        let end = text.char_indices().nth(LINE_MAX).map_or(text.len(), |(at, _)| at);
        Ok(Some(text[..end].into()))
    }

    pub fn difference(&mut self, is_there: bool) -> Result<Option<Box<Difference>>, DecodeError> {
        if !is_there || self.is_nil() {
            return Ok(None);
        }
        if self.array()? < 3 {
            return Err(self.malformed());
        }
        let (seq, before) = (self.uint32()?, self.described()?);
        let now = if self.is_nil() { None } else { Some(self.described()?) };
        Ok(Some(Box::new(Difference { seq, before, now })))
    }

    fn described(&mut self) -> Result<Described, DecodeError> {
        if self.array()? < 2 {
            return Err(self.malformed());
        }
        let call = self.text()?.chars().take(DESCRIBED_MAX).collect();
        Ok(Described { call, line: self.line(true)?.map(|line| line.to_string()) })
    }

    pub fn memo(&mut self, keep: &dyn Fn(&[u8]) -> Bytes, has_line: bool) -> Result<Memo, DecodeError> {
        Ok(Memo {
            seq: self.uint32()?,
            ident: self.uint32()?,
            outcome: self.outcome(keep)?,
            known: self.uint32()?,
            line: self.line(has_line)?,
        })
    }

    pub fn wait(&mut self) -> Result<Option<Wait>, DecodeError> {
        if self.is_nil() {
            return Ok(None);
        }
        if self.array()? < 2 {
            return Err(self.malformed());
        }
        let all = self.uint()? == 0;
        Ok(Some(Wait { all, seqs: self.seqs()? }))
    }

    pub fn alarm(&mut self, keep: &dyn Fn(&[u8]) -> Bytes, has_line: bool) -> Result<Alarm, DecodeError> {
        let (seq, ident, value) = (self.uint32()?, self.uint32()?, self.payload(keep)?);
        let after = Duration::from_millis(self.uint()?);
        Ok(Alarm { seq, ident, value, after, line: self.line(has_line)? })
    }

    pub fn seqs(&mut self) -> Result<Vec<u32>, DecodeError> {
        let count = self.count()?;
        (0..count).map(|_| self.uint32()).collect()
    }
}
