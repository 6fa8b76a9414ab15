//! The parts of a Markdown page that can be followed.

use std::collections::BTreeSet;

/// A fenced block with something to do.
pub enum Block {
    File { path: String, text: String },
    Console { eventually: bool, commands: Vec<Command> },
}

/// One command and what the page says it prints.
pub struct Command {
    pub line: String,
    pub shown: Vec<String>,
    /// Number of its line in the page.
    pub at: usize,
}

/// Files and consoles of a page, in its order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        let words: Vec<&str> = info.split_whitespace().collect();
        if let Some(path) = words.iter().find_map(|word| word.strip_prefix("file=")) {
            let text = body.iter().map(|(_, line)| format!("{line}\n")).collect();
            found.push(Block::File { path: path.to_owned(), text });
        } else if words.first() == Some(&"console") {
            found.push(Block::Console {
                eventually: words.contains(&"eventually"),
                commands: commands(&body),
            });
        }
    }
    found
}

fn commands(body: &[(usize, &str)]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (at, line) in body {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => {
                commands.push(Command { line: command.to_owned(), shown: Vec::new(), at: at + 1 });
            }
            (None, Some(command)) => command.shown.push(line.trim_end().to_owned()),
            (None, None) => panic!("line {}: output before any command", at + 1),
        }
    }
    commands
}

/// Whether a text is as shown, `…` standing for anything.
pub fn matches(shown: &[String], text: &str) -> bool {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines_match(shown, &lines)
}

fn lines_match(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any.trim() == "…" => {
            (0..=lines.len()).any(|skip| lines_match(rest, &lines[skip..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return left.is_empty() };
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Targets of the links to other places in this repository.
pub fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

/// Names of source files, and of things in the source (`Core::end`), that a page mentions.
pub fn words_of_code(page: &str) -> BTreeSet<String> {
    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && !"_:./".contains(c));
    let trimmed = words.map(|word| word.trim_matches([':', '.', '/']));
    let of_code = |word: &&str| word.contains("::") || word.ends_with(".rs") || word.ends_with(".py");
    trimmed.filter(of_code).map(str::to_owned).collect()
}

/// What the headings of a page are called in a link.
pub fn headings(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let named = headings.map(|line| {
        let kept =
            line.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    });
    named.collect()
}

#[test]
fn an_ellipsis_stands_for_anything() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&shown("a\n…\nb … d"), "a\nx\ny\nb c d\n"));
    assert!(matches(&shown("a\n…"), "a"));
    assert!(!matches(&shown("a"), "a\nb"));
    assert!(!matches(&shown("b … d"), "b c e"));
    assert!(!matches(&shown("a…a"), "a"));
}
