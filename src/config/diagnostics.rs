//! The mistakes in a manifest: collected, ordered by place, shown all at once with their source lines.

use std::collections::BTreeSet;
use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, ThemeCharacters, ThemeStyles,
};

use super::place::Place;

/// One mistake: what is wrong, where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    message: String,
    /// The first one is the place of the mistake, the others explain it.
    labels: Vec<(Place, &'static str)>,
    help: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), labels: Vec::new(), help: None }
    }

    /// Points at the mistake, or at what explains it.
    pub fn at(mut self, place: &Place, label: &'static str) -> Self {
        self.labels.push((place.clone(), label));
        self
    }

    /// What to do next.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Order of the reports: as one reads the files, with what has no text at the end.
    fn order(&self) -> (bool, String, usize) {
        match self.labels.first() {
            Some((Place::Text { file, span }, _)) => (false, file.name().to_owned(), span.start),
            Some((Place::Decorator { file, line }, _)) => (true, file.to_string(), *line as usize),
            Some((Place::Default, _)) | None => (true, String::new(), 0),
        }
    }

    fn has_text(&self) -> bool {
        matches!(self.labels.first(), Some((Place::Text { .. }, _)))
    }

    /// `services.toml:14`, if it is in a text.
    fn line(&self) -> Option<String> {
        self.labels.first().filter(|_| self.has_text()).map(|(place, _)| place.to_string())
    }

    /// Labels that the snippet of the first one cannot show.
    fn elsewhere(&self) -> impl Iterator<Item = &(Place, &'static str)> {
        let first = self.labels.first();
        self.labels
            .iter()
            .skip(1)
            .filter(move |(place, _)| first.is_none_or(|(at, _)| !place.shares_text(at)))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((Place::Decorator { file, line }, _)) = self.labels.first() {
            write!(f, "{file}:{line}: ")?;
        }
        f.write_str(&self.message)?;
        for (place, label) in self.elsewhere() {
            write!(f, " ({label}: {place})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self.labels.first() {
            Some((Place::Text { file, .. }, _)) => Some(&**file),
            _ => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (first, _) = self.labels.first()?;
        let shown = self.labels.iter().filter(move |(place, _)| place.shares_text(first));
        Some(Box::new(shown.enumerate().filter_map(|(n, (place, label))| {
            let Place::Text { span, .. } = place else { return None };
            let (label, span) = (Some((*label).to_owned()), span.clone());
            Some(if n == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            })
        })))
    }
}

/// All mistakes of one reading.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Problem>);

impl Diagnostics {
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds the mistakes of another reading, but for those in lines that are known to be wrong.
    pub fn add_unless_echoes(&mut self, others: Self) {
        let wrong: BTreeSet<String> = self.0.iter().filter_map(Problem::line).collect();
        let others = others.0.into_iter();
        self.0.extend(others.filter(|other| other.line().is_none_or(|line| !wrong.contains(&line))));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, if nothing was wrong.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The reports, in the order of the text, with an empty line between two. Only the first mistake at a place is
    /// shown: what follows from it would say the same again.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let styles = if colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
        let theme = GraphicalTheme { characters: ThemeCharacters::unicode(), styles };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_break_words(false);
        let mut problems: Vec<&Problem> = self.0.iter().collect();
        problems.sort_by_cached_key(|problem| problem.order());
        problems.dedup_by(|next, shown| shown.has_text() && next.order() == shown.order());
        let mut text = String::new();
        for (n, problem) in problems.into_iter().enumerate() {
            if n > 0 {
                text.push('\n');
            }
            // Writing into a String does not fail; a label that cannot be shown leaves its message.
            let _ = handler.render_report(&mut text, problem);
        }
        text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, 100))
    }
}

impl std::error::Error for Diagnostics {}
