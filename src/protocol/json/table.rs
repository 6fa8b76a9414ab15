//! pandas' frames, series and indexes → JSON: a list of records, or a list of values.
//!
//! They travel by columns and are shown by rows, so the cells of each column are written aside first.

use super::array::Array;
use super::write::{DecodeError, JsonWriter, charge};
use super::{ARRAY, COLUMN, INDEX};

/// The JSON of values one by one.
#[derive(Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).map_or(b"null", |end| &self.text[start..*end])
    }

    /// Ends a cell that was written behind the last one.
    fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    fn push(&mut self, text: &[u8], room: &mut usize) -> Result<(), DecodeError> {
        charge(room, text.len() + 1)?;
        self.text.extend_from_slice(text);
        self.end();
        Ok(())
    }
}

impl JsonWriter<'_, '_> {
    /// `[columns, index, [column…]]` as a list of records; JSON has no place for the index.
    pub(super) fn frame(&mut self, depth: u32) -> Result<(), DecodeError> {
        self.parts(3)?;
        let names = self.cells(depth)?;
        let index = self.cells(depth)?;
        let mut columns = Vec::new();
        for _ in 0..self.list()? {
            columns.push(self.cells(depth)?);
        }
        self.out.push(b'[');
        for row in 0..index.ends.len() {
            let start_of_row = self.out.len();
            self.comma(row);
            self.out.push(b'{');
            for (at, column) in columns.iter().enumerate() {
                self.comma(at);
                let start = self.out.len();
                self.out.extend_from_slice(names.get(at));
                self.quote(start)?;
                self.out.push(b':');
                self.out.extend_from_slice(column.get(row));
            }
            self.out.push(b'}');
            charge(&mut self.room, self.out.len() - start_of_row)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// `[name, index, column]` as a list of its values.
    pub(super) fn series(&mut self, depth: u32) -> Result<(), DecodeError> {
        self.parts(3)?;
        self.cell(&mut Cells::default(), depth)?;
        self.cells(depth)?;
        let values = self.cells(depth)?;
        self.row(&values)
    }

    /// The content of an index or of a column as a list of its values.
    pub(super) fn column(&mut self, tag: i8, depth: u32) -> Result<(), DecodeError> {
        let values = if tag == INDEX { self.index(depth)? } else { self.typed(depth)? };
        self.row(&values)
    }

    /// A point in time, or none: the only value of a column.
    pub(super) fn moment(&mut self, depth: u32) -> Result<(), DecodeError> {
        if let Some(0xc0 | 0x90) = self.rest.first() {
            self.rest = &self.rest[1..];
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        let values = self.cells(depth)?;
        self.out.extend_from_slice(values.get(0));
        Ok(())
    }

    fn row(&mut self, values: &Cells) -> Result<(), DecodeError> {
        self.out.push(b'[');
        for at in 0..values.ends.len() {
            self.comma(at);
            self.out.extend_from_slice(values.get(at));
        }
        self.out.push(b']');
        Ok(())
    }

    fn parts(&mut self, count: usize) -> Result<(), DecodeError> {
        if self.list()? == count { Ok(()) } else { Err(DecodeError::Malformed("a table")) }
    }

    /// The values of a list, an array, a column or an index.
    fn cells(&mut self, depth: u32) -> Result<Cells, DecodeError> {
        let mut cells = Cells::default();
        let Some((tag, content)) = self.extension_if_any()? else {
            for _ in 0..self.list()? {
                self.cell(&mut cells, depth)?;
            }
            return Ok(cells);
        };
        if depth + 1 >= super::DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        let mut inner = JsonWriter { rest: content, out: &mut cells.text, room: self.room };
        let read = match tag {
            ARRAY => return elements(&Array::read(&mut inner)?, &mut self.room),
            INDEX => inner.index(depth + 1),
            COLUMN => inner.typed(depth + 1),
            _ => Err(DecodeError::Malformed("a column")),
        };
        self.room = inner.room;
        read
    }

    fn cell(&mut self, cells: &mut Cells, depth: u32) -> Result<(), DecodeError> {
        let mut one = JsonWriter { rest: self.rest, out: &mut cells.text, room: self.room };
        one.value(depth + 1)?;
        (self.rest, self.room) = (one.rest, one.room);
        cells.end();
        // Each cell has an end in memory, however short it is.
        charge(&mut self.room, 8)
    }

    /// `[kind, names, parts]`: the parts are of a range, of a MultiIndex, or the values and their frequency.
    fn index(&mut self, depth: u32) -> Result<Cells, DecodeError> {
        self.parts(3)?;
        let kind = self.short_text()?;
        self.cells(depth)?;
        match kind {
            "range" => self.range(),
            "multi" => self.multi(depth),
            "values" => {
                self.parts(2)?;
                let values = self.cells(depth)?;
                self.cell(&mut Cells::default(), depth)?; // its frequency
                Ok(values)
            }
            _ => Err(DecodeError::Malformed("an index")),
        }
    }

    /// `[start, stop, step]`
    fn range(&mut self) -> Result<Cells, DecodeError> {
        self.parts(3)?;
        let (mut at, stop, step) = (self.integer()?, self.integer()?, self.integer()?);
        let mut cells = Cells::default();
        while (step > 0 && at < stop) || (step < 0 && at > stop) {
            cells.push(at.to_string().as_bytes(), &mut self.room)?;
            at += step;
        }
        Ok(cells)
    }

    /// `[levels, codes]`: each value has one of each level.
    fn multi(&mut self, depth: u32) -> Result<Cells, DecodeError> {
        self.parts(2)?;
        let mut levels = Vec::new();
        for _ in 0..self.list()? {
            levels.push(self.cells(depth)?);
        }
        let mut parts = Vec::new();
        let count = self.list()?;
        for level in levels.iter().take(count) {
            parts.push(picked(level, &self.cells(depth)?, &mut self.room)?);
        }
        let mut cells = Cells::default();
        for at in 0..parts.first().map_or(0, |part| part.ends.len()) {
            let values: Vec<&[u8]> = parts.iter().map(|part| part.get(at)).collect();
            cells.push(&[b"[", values.join(&b","[..]).as_slice(), b"]"].concat(), &mut self.room)?;
        }
        Ok(cells)
    }

    /// `[dtype, data, extra]`, of a dtype that only pandas has.
    fn typed(&mut self, depth: u32) -> Result<Cells, DecodeError> {
        self.parts(3)?;
        let dtype = self.short_text()?;
        let data = self.cells(depth)?;
        if dtype == "category" {
            self.parts(2)?;
            return picked(&self.cells(depth)?, &data, &mut self.room);
        }
        if self.rest.first() == Some(&0xc0) {
            self.rest = &self.rest[1..];
            // Times with a zone travel as what they are in UTC.
            return if dtype.starts_with("datetime64[") { in_utc(&data, &mut self.room) } else { Ok(data) };
        }
        masked(&data, &self.cells(depth)?, &mut self.room)
    }
}

fn elements(array: &Array<'_>, room: &mut usize) -> Result<Cells, DecodeError> {
    let mut cells = Cells::default();
    for at in 0..array.len()? {
        array.element(at, &mut cells.text, room)?;
        cells.end();
    }
    Ok(cells)
}

/// For each code the value that it stands for; −1 is none.
fn picked(values: &Cells, codes: &Cells, room: &mut usize) -> Result<Cells, DecodeError> {
    let mut cells = Cells::default();
    for at in 0..codes.ends.len() {
        let code = std::str::from_utf8(codes.get(at)).ok().and_then(|code| code.parse::<usize>().ok());
        cells.push(code.map_or(b"null", |code| values.get(code)), room)?;
    }
    Ok(cells)
}

fn masked(values: &Cells, mask: &Cells, room: &mut usize) -> Result<Cells, DecodeError> {
    let mut cells = Cells::default();
    for at in 0..values.ends.len() {
        cells.push(if mask.get(at) == b"true" { b"null" } else { values.get(at) }, room)?;
    }
    Ok(cells)
}

fn in_utc(times: &Cells, room: &mut usize) -> Result<Cells, DecodeError> {
    let mut cells = Cells::default();
    for at in 0..times.ends.len() {
        match times.get(at).strip_suffix(b"\"") {
            Some(text) => cells.push(&[text, b"Z\""].concat(), room)?,
            None => cells.push(times.get(at), room)?,
        }
    }
    Ok(cells)
}
