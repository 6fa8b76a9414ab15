//! JSON → value.

use bytes::Bytes;
use rmp::encode::{ByteBuf, write_array_len, write_bool, write_f64, write_map_len, write_nil};
use rmp::encode::{write_ext_meta, write_sint, write_str, write_uint};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, DIGITS_MAX, EXT_BIG_INT};

/// Why a JSON text cannot become a value.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    #[error("the value is nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("the number {0} is out of range")]
    Range(String),
    #[error("an integer has more than {DIGITS_MAX} digits")]
    Digits,
}

/// Reads one JSON text, which may be followed by nothing but white space. Of equal keys the last one wins in Python.
pub fn from_json(text: &[u8]) -> Result<Bytes, JsonError> {
    let mut out = ByteBuf::new();
    transcode(serde_json::from_slice(text)?, &mut out)?;
    Ok(out.into_vec().into())
}

/// Appends the value of a JSON text that serde_json has read.
pub fn transcode(text: &RawValue, out: &mut ByteBuf) -> Result<(), JsonError> {
    PayloadWriter { rest: text.get(), out }.value(0)
}

/// Walks over JSON that is known to be well formed, so it looks at nothing but what decides the value:
/// commas and colons are skipped like white space.
struct PayloadWriter<'a, 'o> {
    rest: &'a str,
    out: &'o mut ByteBuf,
}

impl<'a> PayloadWriter<'a, '_> {
    fn value(&mut self, depth: u32) -> Result<(), JsonError> {
        if depth == DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        match self.peek() {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => self.string()?,
            b'n' => {
                self.take(4);
                let Ok(()) = write_nil(self.out);
            }
            b't' => {
                self.take(4);
                let Ok(()) = write_bool(self.out, true);
            }
            b'f' => {
                self.take(5);
                let Ok(()) = write_bool(self.out, false);
            }
            _ => self.number()?,
        }
        Ok(())
    }

    fn array(&mut self, depth: u32) -> Result<(), JsonError> {
        let start = self.open();
        let mut len = 0;
        while !self.close(b']') {
            self.value(depth + 1)?;
            len += 1;
        }
        let mut header = ByteBuf::new();
        let Ok(_) = write_array_len(&mut header, len);
        self.put_header(start, &header);
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), JsonError> {
        let start = self.open();
        let mut len = 0;
        while !self.close(b'}') {
            self.string()?;
            self.value(depth + 1)?;
            len += 1;
        }
        let mut header = ByteBuf::new();
        let Ok(_) = write_map_len(&mut header, len);
        self.put_header(start, &header);
        Ok(())
    }

    /// Leaves one byte for the header: the length is known at the end, and most are small.
    fn open(&mut self) -> usize {
        self.take(1);
        self.out.as_mut_vec().push(0);
        self.out.as_slice().len() - 1
    }

    fn put_header(&mut self, start: usize, header: &ByteBuf) {
        self.out.as_mut_vec().splice(start..=start, header.as_slice().iter().copied());
    }

    /// Whether the container ends here.
    fn close(&mut self, bracket: u8) -> bool {
        let end = self.peek() == bracket;
        if end {
            self.take(1);
        }
        end
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.peek();
        let token = self.take(string_len(self.rest.as_bytes()));
        if token.contains('\\') {
            let text: String = serde_json::from_str(token)?;
            let Ok(()) = write_str(self.out, &text);
        } else {
            let Ok(()) = write_str(self.out, token.trim_matches('"'));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let token = self.take(self.rest.bytes().take_while(in_number).count());
        if let Ok(number) = token.parse() {
            let Ok(_) = write_sint(self.out, number);
        } else if let Ok(number) = token.parse() {
            let Ok(_) = write_uint(self.out, number);
        } else if token.contains(['.', 'e', 'E']) {
            let number = token.parse().ok().filter(|number: &f64| number.is_finite());
            let Ok(_) = write_f64(self.out, number.ok_or_else(|| JsonError::Range(token.to_owned()))?);
        } else if (1..=DIGITS_MAX).contains(&token.len()) {
            self.big_int(token);
        } else {
            return Err(JsonError::Digits);
        }
        Ok(())
    }

    fn big_int(&mut self, digits: &str) {
        let mut content = ByteBuf::new();
        let Ok(()) = write_str(&mut content, digits);
        let Ok(_) = write_ext_meta(self.out, content.as_slice().len() as u32, EXT_BIG_INT);
        self.out.as_mut_vec().extend_from_slice(content.as_slice());
    }

    /// The byte that decides what comes next; 0 at the end.
    fn peek(&mut self) -> u8 {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        self.rest.bytes().next().unwrap_or(0)
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (token, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        token
    }
}

/// Length of the string that the text begins with, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}
