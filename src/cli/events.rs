//! `msx events`

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};

use clap::Args;

use super::logview::POLL;
use super::session;
use super::terminal::{Paint, Style, Terminal, say};
use crate::events::Reader;
use crate::failure::Failure;
use crate::project::Project;
use crate::protocol::events::{EventKind, HubEvent};

const EXAMPLES: &str = "\
Examples:
  msx events --service a        what happened to a: scaled, restarted, paused, …
  msx events -n 20 -f           the last twenty events, then each new one
  msx events --json | jq -r 'select(.kind == \"scaled\") | \"\\(.at) \\(.from) \\(.to)\"'";

/// Show what msx did and why, oldest first. Times are in UTC.
///
/// Reads .msx/events.jsonl, so it works while no hub runs. The last megabyte of events is kept.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Events {
    /// Only events of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Go on showing new events.
    #[arg(short, long)]
    follow: bool,

    /// Show the last N events only.
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,

    /// Print one JSON object a line: at, kind, service, subject, from, to, text.
    #[arg(long)]
    json: bool,
}

impl Events {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let project = session::project()?;
        let reader = Reader::open(&project.state()).map_err(|error| unreadable(&project, &error))?;
        let format = if self.json { Format::Json } else { Format::text(terminal.stdout) };
        let mut view = View { project, reader, service: self.service, format };
        let history = view.history(self.tail.unwrap_or(usize::MAX))?;
        if history.is_empty() && !self.follow {
            say("no events");
        }
        view.print(history)?;
        if self.follow { session::block_on("", view.follow()) } else { Ok(()) }
    }
}

fn unreadable(project: &Project, error: &io::Error) -> Failure {
    Failure::file("read the events in", &project.state(), error)
}

struct View {
    project: Project,
    reader: Reader,
    service: Option<String>,
    format: Format,
}

impl View {
    fn next(&mut self) -> Result<Option<HubEvent>, Failure> {
        loop {
            let next = self.reader.next().map_err(|error| unreadable(&self.project, &error))?;
            let Some(event) = next else { return Ok(None) };
            if self.service.as_deref().is_none_or(|name| event.is_of(name)) {
                return Ok(Some(event));
            }
        }
    }

    /// The last ones of what is there already.
    fn history(&mut self, most: usize) -> Result<VecDeque<HubEvent>, Failure> {
        let mut last = VecDeque::new();
        while let Some(event) = self.next()? {
            last.push_back(event);
            if last.len() > most {
                last.pop_front();
            }
        }
        Ok(last)
    }

    fn print(&mut self, events: VecDeque<HubEvent>) -> Result<(), Failure> {
        self.format.make_room(&events);
        let mut out = BufWriter::new(io::stdout().lock());
        for event in events {
            writeln!(out, "{}", self.format.line(&event)).map_err(Failure::stdout)?;
        }
        out.flush().map_err(Failure::stdout)
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        while !super::terminal::output_closed() {
            let new = self.history(usize::MAX)?;
            self.print(new)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

enum Format {
    Json,
    /// The day of the last line, and the longest subject so far.
    Text {
        paint: Paint,
        day: String,
        width: usize,
    },
}

impl Format {
    fn text(paint: Paint) -> Self {
        Self::Text { paint, day: String::new(), width: 0 }
    }

    /// So that the columns of these line up, and those of what follows as far as can be known.
    fn make_room(&mut self, events: &VecDeque<HubEvent>) {
        if let Self::Text { width, .. } = self {
            let widths = events.iter().map(|event| event.subject.chars().count());
            *width = widths.max().unwrap_or(0).max(*width);
        }
    }

    fn line(&mut self, event: &HubEvent) -> String {
        let Self::Text { paint, day, width } = self else {
            // Text, numbers and an enum: nothing that JSON cannot say.
            return serde_json::to_string(event).unwrap_or_default();
        };
        let (date, time) = event.at.split_once('T').unwrap_or(("", &event.at));
        let time = time.get(..8).unwrap_or(time);
        let heading = match date == day.as_str() {
            true => String::new(),
            false => {
                date.clone_into(day);
                format!("{}\n", paint.apply(Style::Faint, date))
            }
        };
        let subject = format!("{:width$}", event.subject, width = *width);
        let kind = paint.apply(style(event.kind), &format!("{:11}", event.kind.as_str()));
        format!("{heading}{time}  {}  {kind}  {}", paint.apply(Style::Heading, &subject), event.text)
    }
}

fn style(kind: EventKind) -> Style {
    match kind {
        EventKind::Crashloop | EventKind::Failed | EventKind::RollFailed => Style::Error,
        EventKind::Exited | EventKind::Ejected | EventKind::Replaced | EventKind::Paused => Style::Warning,
        EventKind::Recovered | EventKind::Completed | EventKind::Resumed | EventKind::Rolled => Style::Good,
        _ => Style::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, kind: EventKind, subject: &str, text: &str) -> HubEvent {
        let (at, subject, text) = (at.to_owned(), subject.to_owned(), text.to_owned());
        HubEvent { at, kind, service: None, subject, from: None, to: None, text }
    }

    #[test]
    fn a_day_is_named_once_and_columns_line_up() {
        let mut format = Format::text(Paint::Off);
        let lines = VecDeque::from([
            event("2026-11-24T23:59:58.123Z", EventKind::Up, "hub", "msx 0.1.0, 2 services"),
            event("2026-11-24T23:59:59.000Z", EventKind::Crashloop, "order-1", "exit status 1"),
            event("2026-11-25T00:00:01.000Z", EventKind::Scaled, "order", "1 → 3: queue 7"),
        ]);
        format.make_room(&lines);
        let text: Vec<String> = lines.iter().map(|line| format.line(line)).collect();
        let expected = "\
2026-11-24
23:59:58  hub      up           msx 0.1.0, 2 services
23:59:59  order-1  crashloop    exit status 1
2026-11-25
00:00:01  order    scaled       1 → 3: queue 7";
        assert_eq!(text.join("\n"), expected);
    }
}
