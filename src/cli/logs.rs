//! `msx logs`

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::logview::{LogFormat, POLL};
use super::session;
use super::terminal::{Terminal, output_closed};
use super::values::Since;
use crate::failure::Failure;
use crate::supervisor::logs::{Entry, Position, Reader, Selection, Unknown, select};

/// Lines shown before following, as `tail -f` does.
const FOLLOW_TAIL: usize = 10;

const EXAMPLES: &str = "\
Examples:
  msx logs                    everything that is kept, of all services, in order of time
  msx logs b -f               the last lines of b, then each new one
  msx logs a-1 --since 10m    one instance, the last ten minutes
  msx logs --json | jq -r 'select(.stream == \"stderr\").line'";

/// Show what services printed.
///
/// Reads the files in .msx/logs, so it works while no hub runs.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Logs {
    /// Services (`b`) or instances (`b-1`); none means all.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Go on showing new lines; starts with the last 10 unless --tail or --since says otherwise.
    #[arg(short, long)]
    follow: bool,

    /// Show the last N lines only.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "since")]
    tail: Option<usize>,

    /// Show lines since this moment (`2026-11-24T10:00`, in UTC unless it has an offset) or this long ago (`10m`).
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,

    /// Print one JSON object a line: time, service, instance, stream, line.
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let root = session::project()?.logs();
        let selection = choose(&root, &self.names)?;
        let tail = self.tail.or((self.follow && self.since.is_none()).then_some(FOLLOW_TAIL));
        let position = match (tail, self.since) {
            (Some(n), _) => Position::Last(n),
            (None, Some(since)) => Position::Since(since.timestamp(Timestamp::now())),
            (None, None) => Position::Start,
        };
        let reader = Reader::open(&root, selection, position).map_err(|e| unreadable(&root, &e))?;
        let format = if self.json { Format::Json } else { Format::Text(LogFormat::new(terminal.stdout)) };
        let mut view = View { root: &root, reader, format };
        view.history(tail)?;
        if self.follow { session::block_on("", view.follow()) } else { Ok(()) }
    }
}

fn choose(root: &Path, names: &[String]) -> Result<Selection, Failure> {
    match select(root, names).map_err(|e| unreadable(root, &e))? {
        Ok(selection) => Ok(selection),
        Err(unknown) => Err(unknown_name(&unknown)),
    }
}

fn unknown_name(unknown: &Unknown) -> Failure {
    let (name, candidates) = (&unknown.name, unknown.candidates.join(", "));
    if unknown.ambiguous {
        return Failure::usage(format!("`{name}` is ambiguous: {candidates}")).with_help("use the full name");
    }
    let failure = Failure::usage(format!("there is no log of `{name}`"));
    let similar = unknown.candidates.iter().map(|service| (similarity(name, service), service));
    match similar.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, service)) if score > 0.7 => failure.with_help(format!("did you mean `{service}`?")),
        Some(_) => failure.with_help(format!("there are logs of {candidates}")),
        None => failure.with_help("no service has run in this project yet: `msx up` starts them"),
    }
}

fn similarity(name: &str, service: &str) -> f64 {
    let alias = service.rsplit('.').next().unwrap_or(service);
    strsim::jaro_winkler(name, service).max(strsim::jaro_winkler(name, alias))
}

fn unreadable(root: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read the logs in {}: {error}", root.display()))
}

enum Format {
    Text(LogFormat),
    Json,
}

impl Format {
    fn line(&mut self, entry: &Entry) -> String {
        match self {
            Self::Text(format) => format.line(entry),
            // Text, numbers and an enum: nothing that JSON cannot say.
            Self::Json => serde_json::to_string(&JsonLine::new(entry)).unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    service: &'a str,
    instance: &'a str,
    stream: &'static str,
    line: &'a str,
}

impl<'a> JsonLine<'a> {
    fn new(entry: &'a Entry) -> Self {
        let Entry { service, instance, line, .. } = entry;
        Self { time: format!("{:.3}", entry.time), service, instance, stream: entry.stream.name(), line }
    }
}

struct View<'a> {
    root: &'a Path,
    reader: Reader,
    format: Format,
}

impl View<'_> {
    /// What is there already; `tail` lines of it.
    fn history(&mut self, tail: Option<usize>) -> Result<(), Failure> {
        let Some(tail) = tail else { return self.print_new() };
        let mut last = VecDeque::new();
        while let Some(entry) = self.next()? {
            last.push_back(entry);
            if last.len() > tail {
                last.pop_front();
            }
        }
        let mut out = io::stdout().lock();
        for entry in &last {
            writeln!(out, "{}", self.format.line(entry)).map_err(Failure::stdout)?;
        }
        out.flush().map_err(Failure::stdout)
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            self.reader.refresh().map_err(|e| unreadable(self.root, &e))?;
            self.print_new()?;
            if output_closed() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn print_new(&mut self) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        while let Some(entry) = self.next()? {
            writeln!(out, "{}", self.format.line(&entry)).map_err(Failure::stdout)?;
        }
        out.flush().map_err(Failure::stdout)
    }

    fn next(&mut self) -> Result<Option<Entry>, Failure> {
        self.reader.next().map_err(|e| unreadable(self.root, &e))
    }
}
