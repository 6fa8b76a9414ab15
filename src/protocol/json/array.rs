//! numpy's arrays → JSON: nested lists, or a bare element of a scalar.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::write::{DecodeError, JsonWriter, base64_text, charge, scalar, seconds};

/// As in numpy.
const DIMENSIONS_MAX: usize = 64;

/// `[dtype, shape, order, bytes]`
pub(super) struct Array<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    is_fortran: bool,
    data: &'a [u8],
}

/// What numpy writes as `<f8`: byte order, kind and bytes of an element, and the unit of a time.
struct Dtype {
    is_big_endian: bool,
    kind: u8,
    size: usize,
    unit: String,
}

impl Dtype {
    fn parse(name: &str) -> Result<Self, DecodeError> {
        let unknown = || DecodeError::Dtype(name.to_owned());
        let (head, unit) = name.split_once('[').unwrap_or((name, ""));
        let (order, kind, size) = match head.as_bytes() {
            [order, kind, ..] => (*order, *kind, head.get(2..).and_then(|size| size.parse::<usize>().ok())),
            _ => return Err(unknown()),
        };
        let size = size.filter(|size| *size <= u32::MAX as usize).ok_or_else(unknown)?;
        let size = if kind == b'U' { size * 4 } else { size };
        let is_known = match kind {
            b'b' => size == 1,
            b'i' | b'u' => [1, 2, 4, 8].contains(&size),
            b'f' => [2, 4, 8].contains(&size),
            b'c' => [8, 16].contains(&size),
            b'm' | b'M' => size == 8,
            b'S' | b'U' => true,
            _ => false,
        };
        let unit = unit.trim_end_matches(']').to_owned();
        if is_known { Ok(Self { is_big_endian: order == b'>', kind, size, unit }) } else { Err(unknown()) }
    }
}

impl<'a> Array<'a> {
    pub(super) fn read(content: &mut JsonWriter<'a, '_>) -> Result<Self, DecodeError> {
        if content.list()? != 4 {
            return Err(DecodeError::Malformed("an array"));
        }
        let dtype = Dtype::parse(content.short_text()?)?;
        let dimensions = content.list()?;
        if dimensions > DIMENSIONS_MAX {
            return Err(DecodeError::Malformed("a shape"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(usize::try_from(content.integer()?).map_err(|_| DecodeError::Malformed("a shape"))?);
        }
        let is_fortran = content.short_text()? == "F";
        let data = content.bytes()?;
        let count = shape.iter().try_fold(dtype.size, |count, length| count.checked_mul(*length));
        // With no bytes to an element the data does not say how many there are.
        if count != Some(data.len()) || dtype.size == 0 {
            return Err(DecodeError::Malformed("an array: its shape is not that of its bytes"));
        }
        Ok(Self { dtype, shape, is_fortran, data })
    }

    /// Nested lists.
    pub(super) fn write(&self, out: &mut Vec<u8>, room: &mut usize) -> Result<(), DecodeError> {
        let mut strides = vec![1; self.shape.len()];
        let mut step = 1usize;
        let axes: Vec<usize> =
            if self.is_fortran { (0..strides.len()).collect() } else { (0..strides.len()).rev().collect() };
        for axis in axes {
            strides[axis] = step;
            step = step.wrapping_mul(self.shape[axis]); // too much only where there are no elements
        }
        self.axis(&strides, 0, 0, out, room)
    }

    fn axis(
        &self,
        strides: &[usize],
        axis: usize,
        at: usize,
        out: &mut Vec<u8>,
        room: &mut usize,
    ) -> Result<(), DecodeError> {
        let Some(length) = self.shape.get(axis) else { return self.element(at, out, room) };
        charge(room, 3)?;
        out.push(b'[');
        for index in 0..*length {
            if index > 0 {
                out.push(b',');
            }
            self.axis(strides, axis + 1, at.wrapping_add(index.wrapping_mul(strides[axis])), out, room)?;
        }
        out.push(b']');
        Ok(())
    }

    /// How many elements an array of one dimension has.
    pub(super) fn len(&self) -> Result<usize, DecodeError> {
        match self.shape.as_slice() {
            [length] => Ok(*length),
            _ => Err(DecodeError::Malformed("a column")),
        }
    }

    /// An element, by its place in the bytes.
    pub(super) fn element(&self, at: usize, out: &mut Vec<u8>, room: &mut usize) -> Result<(), DecodeError> {
        let start = out.len();
        self.bare(at, out)?;
        charge(room, out.len() - start + 1)
    }

    fn bare(&self, at: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let size = self.dtype.size;
        let bytes = self.data.get(at * size..(at + 1) * size).ok_or(DecodeError::End)?;
        match self.dtype.kind {
            b'S' => base64_text(trimmed(bytes, 1), out),
            b'U' => self.text(bytes, out)?,
            b'c' => {
                out.push(b'[');
                self.float(&bytes[..size / 2], out);
                out.push(b',');
                self.float(&bytes[size / 2..], out);
                out.push(b']');
            }
            b'f' => self.float(bytes, out),
            b'b' => scalar(out, &(bytes[0] != 0)),
            b'u' => scalar(out, &self.unsigned(bytes)),
            b'i' => scalar(out, &self.signed(bytes)),
            _ => match self.signed(bytes) {
                i64::MIN => out.extend_from_slice(b"null"),
                count if self.dtype.kind == b'M' => self.moment(count, out)?,
                count => self.duration(count, out)?,
            },
        }
        Ok(())
    }

    /// The number in `bytes`, of at most eight.
    fn unsigned(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.dtype.is_big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        }
    }

    fn signed(&self, bytes: &[u8]) -> i64 {
        let unused = 64 - 8 * bytes.len() as u32;
        (self.unsigned(bytes) << unused).cast_signed() >> unused
    }

    fn float(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let bits = self.unsigned(bytes);
        match bytes.len() {
            2 => scalar(out, &half(bits as u16)),
            4 => scalar(out, &f32::from_bits(bits as u32)),
            _ => scalar(out, &f64::from_bits(bits)),
        }
    }

    fn text(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let chars = trimmed(bytes, 4).chunks(4).map(|char| char::from_u32(self.unsigned(char) as u32));
        let text: String = chars.collect::<Option<_>>().ok_or(DecodeError::Utf8)?;
        scalar(out, text.as_str());
        Ok(())
    }

    /// ISO 8601, without a zone.
    fn moment(&self, count: i64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let unshown = || DecodeError::Malformed("a time that can be shown");
        let (factor, unit) = split_unit(&self.dtype.unit);
        let months = match unit {
            "Y" => 12,
            "M" => 1,
            _ => {
                let nanos = i128::from(count) * factor * nanoseconds(unit).ok_or_else(unshown)?;
                let time = Offset::UTC.to_datetime(Timestamp::from_nanosecond(nanos).map_err(|_| unshown())?);
                let text = if matches!(unit, "W" | "D") { time.date().to_string() } else { time.to_string() };
                scalar(out, text.as_str());
                return Ok(());
            }
        };
        let months = i128::from(count) * factor * months;
        let year = i16::try_from(1970 + months.div_euclid(12)).map_err(|_| unshown())?;
        let date = Date::new(year, months.rem_euclid(12) as i8 + 1, 1).map_err(|_| unshown())?;
        scalar(out, date.to_string().as_str());
        Ok(())
    }

    /// Seconds, as of a timedelta; a count where the unit has no length.
    fn duration(&self, count: i64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let (factor, unit) = split_unit(&self.dtype.unit);
        match (nanoseconds(unit), unit) {
            (Some(length), _) => seconds(i128::from(count) * factor * length, 9, out),
            (None, "" | "Y" | "M") => scalar(out, &count),
            (None, _) => return Err(DecodeError::Malformed("a duration that can be shown")),
        }
        Ok(())
    }
}

/// Without the zeros at the end, by which numpy fills up texts.
fn trimmed(bytes: &[u8], width: usize) -> &[u8] {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last / width + 1);
    &bytes[..used * width]
}

/// `25s` → 25 and `s`
fn split_unit(unit: &str) -> (i128, &str) {
    let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor: u32 = unit[..digits].parse().unwrap_or(1);
    (factor.into(), &unit[digits..])
}

fn nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "W" => 7 * 86_400 * 1_000_000_000,
        "D" => 86_400 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// A float of 16 bits: sign, 5 bits of exponent, 10 of fraction.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 => {
            if fraction == 0.0 {
                f32::INFINITY
            } else {
                f32::NAN
            }
        }
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}
