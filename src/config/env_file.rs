//! `.env` files: `NAME=value` lines, with comments, quotes and an optional `export`. Nothing is interpolated.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostics::{Diagnostics, Problem};
use super::place::{Place, TextFile};

/// The variables of the text; lines that are none are added to `problems`.
pub fn read(name: &str, text: &str, problems: &mut Diagnostics) -> BTreeMap<String, String> {
    let file = Arc::new(TextFile::new(name, text.to_owned()));
    let mut variables = BTreeMap::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let span = start..start + line.trim_end().len();
        start += line.len();
        match variable(line.trim()) {
            Ok(Some((key, value))) => drop(variables.insert(key.to_owned(), value)),
            Ok(None) => {}
            Err(help) => {
                let place = Place::Text { file: file.clone(), span };
                problems.add(
                    Problem::new("not a line of an environment file").at(&place, "this line").help(help),
                );
            }
        }
    }
    variables
}

/// What a line says: a variable, nothing, or what it should look like.
fn variable(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (key, value) = line.split_once('=').ok_or("write NAME=value")?;
    let key = key.trim();
    let well_named = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !well_named {
        return Err("a name has letters, digits and underscores only, and no digit first");
    }
    if value.contains('\0') {
        return Err("a value cannot contain a NUL character");
    }
    Ok(Some((key, unquoted(value.trim())?)))
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    let Some(quote @ ('"' | '\'')) = value.chars().next() else {
        return Ok(value.split(" #").next().unwrap_or(value).trim_end().to_owned());
    };
    let mut text = String::new();
    let mut rest = value[1..].chars();
    loop {
        match rest.next().ok_or("close the quote on the same line")? {
            c if c == quote => break,
            '\\' if quote == '"' => {
                text.push(match rest.next().ok_or("close the quote on the same line")? {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })
            }
            c => text.push(c),
        }
    }
    let after = rest.as_str().trim_start();
    if after.is_empty() || after.starts_with('#') {
        Ok(text)
    } else {
        Err("nothing but a comment may follow the quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_variables() {
        let text = concat!(
            "# comment\n\nA=1\nexport B = two words # comment\n",
            "C=\"x\\n\\\"y\\\" #\" # comment\nD='a\\n'\nE=\nF=a=b#c\r\nA=2",
        );
        let mut problems = Diagnostics::default();
        let variables = read(".env", text, &mut problems);
        assert!(problems.is_empty(), "{problems}");
        let expected =
            [("A", "2"), ("B", "two words"), ("C", "x\n\"y\" #"), ("D", "a\\n"), ("E", ""), ("F", "a=b#c")];
        assert_eq!(variables, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
