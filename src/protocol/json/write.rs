//! Value → JSON.

use rmp::Marker;
use serde::Serialize;

use super::array::Array;
use super::{ARRAY, COLUMN, DEPTH_MAX, EXT_BIG_INT, INDEX};

// Extension types of `docs/protocol.md`, "Values", that need more than their content.
const TIMEDELTA: i8 = 8;
const ENUM: i8 = 11;
const NAMED_TUPLE: i8 = 13;
const BYTEARRAY: i8 = 15;
const STRUCT: i8 = 16;
const MODEL: i8 = 17;
const SCALAR: i8 = 19;
const FRAME: i8 = 20;
const SERIES: i8 = 21;
const MOMENT: i8 = 24;

/// What the arrays and tables of a value may take as JSON: their elements are shorter as bytes.
const ROOM_BYTES: usize = 128 << 20;

/// Why a payload cannot be shown as JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the value ends too early")]
    End,
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    #[error("the value is nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("a text is not UTF-8")]
    Utf8,
    #[error("a value has the unknown extension type {0}")]
    Extension(i8),
    #[error("an array of the dtype {0} has no form in JSON: convert it with `.astype(…)`")]
    Dtype(String),
    #[error("its arrays and tables take more than {} MiB as JSON: return a part of them", ROOM_BYTES >> 20)]
    Room,
    #[error("a value is not {0}")]
    Malformed(&'static str),
}

/// Appends the JSON form of one value to `out`. After an error `out` holds a part of it.
pub fn to_json(payload: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut writer = JsonWriter { rest: payload, out, room: ROOM_BYTES };
    writer.value(0)?;
    writer.end()
}

pub(super) struct JsonWriter<'a, 'o> {
    pub(super) rest: &'a [u8],
    pub(super) out: &'o mut Vec<u8>,
    /// What is left of `ROOM_BYTES`.
    pub(super) room: usize,
}

impl<'a> JsonWriter<'a, '_> {
    pub(super) fn value(&mut self, depth: u32) -> Result<(), DecodeError> {
        if depth == DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        match Marker::from_u8(self.byte()?) {
            Marker::Null => self.out.extend_from_slice(b"null"),
            Marker::False => self.out.extend_from_slice(b"false"),
            Marker::True => self.out.extend_from_slice(b"true"),
            Marker::FixPos(number) => scalar(self.out, &number),
            Marker::FixNeg(number) => scalar(self.out, &number),
            Marker::U8 => self.number(u8::from_be_bytes)?,
            Marker::U16 => self.number(u16::from_be_bytes)?,
            Marker::U32 => self.number(u32::from_be_bytes)?,
            Marker::U64 => self.number(u64::from_be_bytes)?,
            Marker::I8 => self.number(i8::from_be_bytes)?,
            Marker::I16 => self.number(i16::from_be_bytes)?,
            Marker::I32 => self.number(i32::from_be_bytes)?,
            Marker::I64 => self.number(i64::from_be_bytes)?,
            // NaN and infinity are written as null by serde_json.
            Marker::F32 => self.number(f32::from_be_bytes)?,
            Marker::F64 => self.number(f64::from_be_bytes)?,
            Marker::FixStr(len) => self.text(len.into())?,
            Marker::Str8 => self.length8().and_then(|len| self.text(len))?,
            Marker::Str16 => self.length16().and_then(|len| self.text(len))?,
            Marker::Str32 => self.length32().and_then(|len| self.text(len))?,
            Marker::Bin8 => self.length8().and_then(|len| self.binary(len))?,
            Marker::Bin16 => self.length16().and_then(|len| self.binary(len))?,
            Marker::Bin32 => self.length32().and_then(|len| self.binary(len))?,
            Marker::FixArray(len) => self.items(len.into(), depth)?,
            Marker::Array16 => self.length16().and_then(|len| self.items(len, depth))?,
            Marker::Array32 => self.length32().and_then(|len| self.items(len, depth))?,
            Marker::FixMap(len) => self.entries(len.into(), depth)?,
            Marker::Map16 => self.length16().and_then(|len| self.entries(len, depth))?,
            Marker::Map32 => self.length32().and_then(|len| self.entries(len, depth))?,
            Marker::FixExt1 => self.extension(1, depth)?,
            Marker::FixExt2 => self.extension(2, depth)?,
            Marker::FixExt4 => self.extension(4, depth)?,
            Marker::FixExt8 => self.extension(8, depth)?,
            Marker::FixExt16 => self.extension(16, depth)?,
            Marker::Ext8 => self.length8().and_then(|len| self.extension(len, depth))?,
            Marker::Ext16 => self.length16().and_then(|len| self.extension(len, depth))?,
            Marker::Ext32 => self.length32().and_then(|len| self.extension(len, depth))?,
            Marker::Reserved => return Err(DecodeError::Malformed("MessagePack")),
        }
        Ok(())
    }

    fn number<const N: usize, T: Serialize>(&mut self, read: fn([u8; N]) -> T) -> Result<(), DecodeError> {
        let number = read(self.array()?);
        scalar(self.out, &number);
        Ok(())
    }

    fn items(&mut self, len: usize, depth: u32) -> Result<(), DecodeError> {
        self.out.push(b'[');
        for index in 0..len {
            self.comma(index);
            self.value(depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn entries(&mut self, len: usize, depth: u32) -> Result<(), DecodeError> {
        self.out.push(b'{');
        for index in 0..len {
            self.comma(index);
            self.key(depth + 1)?;
            self.out.push(b':');
            self.value(depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, depth: u32) -> Result<(), DecodeError> {
        let start = self.out.len();
        self.value(depth)?;
        self.quote(start)
    }

    /// A key is written like any value; what did not become text is then put into quotes.
    pub(super) fn quote(&mut self, start: usize) -> Result<(), DecodeError> {
        if self.out.get(start) != Some(&b'"') {
            let written = self.out.split_off(start);
            let text = std::str::from_utf8(&written).map_err(|_| DecodeError::Utf8)?;
            scalar(self.out, text);
        }
        Ok(())
    }

    fn text(&mut self, len: usize) -> Result<(), DecodeError> {
        let text = self.utf8(len)?;
        scalar(self.out, text);
        Ok(())
    }

    fn binary(&mut self, len: usize) -> Result<(), DecodeError> {
        base64_text(self.take(len)?, self.out);
        Ok(())
    }

    fn extension(&mut self, len: usize, depth: u32) -> Result<(), DecodeError> {
        let [tag] = self.array()?;
        let mut content = JsonWriter { rest: self.take(len)?, out: &mut *self.out, room: self.room };
        match i8::from_be_bytes([tag]) {
            EXT_BIG_INT => content.big_int()?,
            TIMEDELTA => content.seconds()?,
            ENUM..=NAMED_TUPLE | STRUCT | MODEL => content.named(depth + 1)?,
            ARRAY | SCALAR => Array::read(&mut content)?.write(content.out, &mut content.room)?,
            FRAME => content.frame(depth + 1)?,
            SERIES => content.series(depth + 1)?,
            tag @ (INDEX | COLUMN) => content.column(tag, depth + 1)?,
            MOMENT => content.moment(depth + 1)?,
            // The rest say in their content what they are in JSON: an array, a text, bytes.
            1..=BYTEARRAY => content.value(depth + 1)?,
            unknown => return Err(DecodeError::Extension(unknown)),
        }
        content.end()?;
        self.room = content.room;
        Ok(())
    }

    /// `["module:Qual.Name", value, …]`: JSON shows the value alone.
    fn named(&mut self, depth: u32) -> Result<(), DecodeError> {
        let is_pair = self.list().is_ok_and(|len| len == 2 || len == 4);
        if !is_pair {
            return Err(DecodeError::Malformed("a pair of type name and value"));
        }
        self.short_text()?;
        self.value(depth)?;
        // What a pydantic model has besides: which fields were given, and its private ones.
        self.rest = &[];
        Ok(())
    }

    fn big_int(&mut self) -> Result<(), DecodeError> {
        let text = self.short_text()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || digits.is_empty() || (digits.starts_with('0') && digits.len() > 1) {
            return Err(DecodeError::Malformed("an integer"));
        }
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// `[days, seconds, microseconds]` as one exact decimal number of seconds.
    fn seconds(&mut self) -> Result<(), DecodeError> {
        if Marker::from_u8(self.byte()?) != Marker::FixArray(3) {
            return Err(DecodeError::Malformed("a timedelta"));
        }
        let (days, seconds_of_day, micros) = (self.integer()?, self.integer()?, self.integer()?);
        seconds((days * 86_400 + seconds_of_day) * 1_000_000 + micros, 6, self.out);
        Ok(())
    }

    /// An integer of at most 64 bits, wide enough for the arithmetic that follows.
    pub(super) fn integer(&mut self) -> Result<i128, DecodeError> {
        Ok(match Marker::from_u8(self.byte()?) {
            Marker::FixPos(number) => number.into(),
            Marker::FixNeg(number) => number.into(),
            Marker::U8 => u8::from_be_bytes(self.array()?).into(),
            Marker::U16 => u16::from_be_bytes(self.array()?).into(),
            Marker::U32 => u32::from_be_bytes(self.array()?).into(),
            Marker::U64 => u64::from_be_bytes(self.array()?).into(),
            Marker::I8 => i8::from_be_bytes(self.array()?).into(),
            Marker::I16 => i16::from_be_bytes(self.array()?).into(),
            Marker::I32 => i32::from_be_bytes(self.array()?).into(),
            Marker::I64 => i64::from_be_bytes(self.array()?).into(),
            _ => return Err(DecodeError::Malformed("an integer")),
        })
    }

    pub(super) fn short_text(&mut self) -> Result<&'a str, DecodeError> {
        let len = match Marker::from_u8(self.byte()?) {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.length8()?,
            Marker::Str16 => self.length16()?,
            _ => return Err(DecodeError::Malformed("a short text")),
        };
        self.utf8(len)
    }

    pub(super) fn comma(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    /// The length of a list that comes next.
    pub(super) fn list(&mut self) -> Result<usize, DecodeError> {
        match Marker::from_u8(self.byte()?) {
            Marker::FixArray(len) => Ok(len.into()),
            Marker::Array16 => self.length16(),
            Marker::Array32 => self.length32(),
            _ => Err(DecodeError::Malformed("a list")),
        }
    }

    /// The bytes that come next.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = match Marker::from_u8(self.byte()?) {
            Marker::Bin8 => self.length8()?,
            Marker::Bin16 => self.length16()?,
            Marker::Bin32 => self.length32()?,
            _ => return Err(DecodeError::Malformed("bytes")),
        };
        self.take(len)
    }

    /// Type and content of an extension, if one comes next.
    pub(super) fn extension_if_any(&mut self) -> Result<Option<(i8, &'a [u8])>, DecodeError> {
        let before = self.rest;
        let len = match Marker::from_u8(self.byte()?) {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.length8()?,
            Marker::Ext16 => self.length16()?,
            Marker::Ext32 => self.length32()?,
            _ => {
                self.rest = before;
                return Ok(None);
            }
        };
        let [tag] = self.array()?;
        Ok(Some((i8::from_be_bytes([tag]), self.take(len)?)))
    }

    fn utf8(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::Utf8)
    }

    fn length8(&mut self) -> Result<usize, DecodeError> {
        self.byte().map(usize::from)
    }

    fn length16(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::End)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::End)?;
        self.rest = rest;
        Ok(head)
    }

    fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// Takes so much of the room that is left.
pub(super) fn charge(room: &mut usize, bytes: usize) -> Result<(), DecodeError> {
    *room = room.checked_sub(bytes).ok_or(DecodeError::Room)?;
    Ok(())
}

/// Units of 10⁻ⁿ seconds as one exact decimal number of seconds.
pub(super) fn seconds(units: i128, digits: u32, out: &mut Vec<u8>) {
    let second = 10u128.pow(digits);
    let sign = if units < 0 { "-" } else { "" };
    let (whole, part) = (units.unsigned_abs() / second, units.unsigned_abs() % second);
    out.extend_from_slice(format!("{sign}{whole}").as_bytes());
    if part > 0 {
        let width = digits as usize;
        out.extend_from_slice(format!(".{part:0width$}").trim_end_matches('0').as_bytes());
    }
}

pub(super) fn scalar<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("numbers and texts can always be written to memory");
}

pub(super) fn base64_text(content: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    base64(content, out);
    out.push(b'"');
}

fn base64(content: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(content.len().div_ceil(3) * 4);
    for chunk in content.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let sextet = (bits >> (18 - 6 * position)) as usize & 63;
            out.push(if position <= chunk.len() { ALPHABET[sextet] } else { b'=' });
        }
    }
}
