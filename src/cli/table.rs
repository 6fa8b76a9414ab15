//! Columns that line up. Pure.

use super::terminal::{Paint, Style};

/// A text with its meaning; the escapes of a style take no room.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: None }
    }

    pub fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Some(style) }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

enum Row {
    Cells(Vec<Cell>),
    /// Outside the columns: a reason, a blank line.
    Line(Cell),
}

/// Rows are added in the order in which they are printed; columns are as wide as their widest cell.
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Row>,
}

const GAP: usize = 2;

impl Table {
    pub fn new(columns: impl Into<Vec<Align>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// One cell a column; missing ones are empty.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(Row::Cells(cells.into()));
    }

    pub fn line(&mut self, cell: Cell) {
        self.rows.push(Row::Line(cell));
    }

    /// The lines, each cut to `width` where one is given.
    pub fn render(&self, paint: Paint, width: Option<usize>) -> Vec<String> {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let lines = self.rows.iter().map(|row| match row {
            Row::Cells(cells) => self.pad(cells, &widths),
            Row::Line(cell) => vec![cell.clone()],
        });
        lines.map(|cells| join(&cells, paint, width.unwrap_or(usize::MAX))).collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => cells.get(column),
            Row::Line(_) => None,
        });
        cells.map(Cell::width).max().unwrap_or(0)
    }

    /// Cells and the blanks between them; none after the last text.
    fn pad(&self, cells: &[Cell], widths: &[usize]) -> Vec<Cell> {
        let used = cells.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        let (mut out, mut blanks) = (Vec::new(), 0);
        for ((cell, align), width) in cells[..used].iter().zip(&self.columns).zip(widths) {
            let missing = width - cell.width();
            if *align == Align::Right {
                blanks += missing;
            }
            out.extend([Cell::plain(" ".repeat(blanks)), cell.clone()]);
            blanks = GAP + if *align == Align::Left { missing } else { 0 };
        }
        out
    }
}

fn join(cells: &[Cell], paint: Paint, width: usize) -> String {
    let mut out = String::new();
    let mut room = width;
    let total: usize = cells.iter().map(Cell::width).sum();
    if total > width {
        // The last column is for the sign that something is missing.
        room = width.saturating_sub(1);
    }
    for cell in cells {
        let text: String = cell.text.chars().take(room).collect();
        room -= text.chars().count();
        match cell.style {
            Some(style) if !text.is_empty() => out.push_str(&paint.apply(style, &text)),
            _ => out.push_str(&text),
        }
    }
    if total > width {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([Align::Left, Align::Right, Align::Left]);
        table.row([Cell::plain("NAME"), Cell::plain("N"), Cell::plain("WHERE")]);
        table.row([Cell::styled(Style::Good, "a"), Cell::plain("100"), Cell::plain("here")]);
        table.line(Cell::plain("  a line that is longer than any row"));
        table.row([Cell::plain("long name"), Cell::plain("7"), Cell::plain("")]);
        table
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let expected = [
            "NAME         N  WHERE",
            "a          100  here",
            "  a line that is longer than any row",
            "long name    7",
        ];
        assert_eq!(table().render(Paint::Off, None), expected);
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(table().render(Paint::On, None)[1], "\x1b[32ma\x1b[0m          100  here");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_and_says_so() {
        let lines = table().render(Paint::Off, Some(18));
        assert_eq!(lines[0], "NAME         N  W…");
        assert_eq!(lines[3], "long name    7");
        assert!(lines.iter().all(|line| line.chars().count() <= 18));
    }
}
