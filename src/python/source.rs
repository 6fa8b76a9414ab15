//! As much of Python's syntax as it takes to find a decorator without running anything. Pure.
//!
//! It may err on the side of a file too many, which is then imported and found to have no services.

/// Whether `@microservice`, or the same by another name, stands before a function or class.
pub(super) fn has_decorator(text: &str) -> bool {
    // Most files are settled by this.
    if !text.contains("microservice") {
        return false;
    }
    let lines = code_lines(text);
    let aliases: Vec<&str> = lines.iter().flat_map(|line| aliases(line)).collect();
    lines
        .iter()
        .filter_map(|line| decorator(line))
        .any(|name| name == "microservice" || aliases.contains(&name))
}

/// The last part of a decorator's name: `microservice` of `@msx.microservice(threads=4)`.
fn decorator(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('@')?.trim_start();
    let end = name.find(|c: char| !is_identifier(c) && c != '.').unwrap_or(name.len());
    name[..end].rsplit('.').next()
}

/// The names that a line gives to it: `service` in `from msx import microservice as service`.
fn aliases(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("microservice as ").filter_map(|(at, found)| {
        let name = line[at + found.len()..].trim_start();
        name.split(|c| !is_identifier(c)).next().filter(|name| !name.is_empty())
    })
}

fn is_identifier(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The lines that do not begin inside a string.
fn code_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut quote = None;
    for line in text.lines() {
        if quote.is_none() {
            lines.push(line);
        }
        quote = quote_after(line, quote);
    }
    lines
}

/// The triple quote that is open after a line, given the one that was open before it.
fn quote_after(line: &str, open: Option<&'static str>) -> Option<&'static str> {
    let mut open = open;
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let step = match open {
            Some(quote) if rest.starts_with(quote) => {
                open = None;
                quote.len()
            }
            _ if first == '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            None if first == '#' => return None,
            None => {
                open = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
                open.map_or(first.len_utf8(), str::len)
            }
            Some(_) => first.len_utf8(),
        };
        rest = &rest[step..];
    }
    // A plain string ends with its line, or goes on behind a backslash: neither begins a decorator.
    open.filter(|quote| quote.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::has_decorator;

    #[test]
    fn decorators_are_found_in_every_spelling() {
        for text in [
            "@microservice\ndef a(): ...",
            "import msx\n\n@msx.microservice(threads=4)\ndef a(): ...",
            "  @ microservice ( max = 3 )  # why\n  def a(): ...",
            "import msx as m\n@m.microservice\nasync def a(): ...",
            "from msx import gather, microservice as service\n@service\ndef a(): ...",
            "'''A docstring.'''\n@microservice\ndef a(): ...",
            "x = \"it's # not a comment\"\n@microservice\ndef a(): ...",
            "x = '\\''; y = \"\"\"open\nclosed\"\"\"  # '''\n@microservice\ndef a(): ...",
            "x = r'\\'  # it's\n@microservice\ndef a(): ...",
        ] {
            assert!(has_decorator(text), "{text}");
        }
    }

    #[test]
    fn mentions_are_not_decorators() {
        for text in [
            "from msx import microservice\n",
            "# @microservice\n",
            "'''Write\n@microservice\nbefore a function.'''\n",
            "x = r\"\"\"\n\\\"\"\"\n@microservice\n\"\"\"\n",
            "@microservices\ndef a(): ...",
            "@my_microservice\ndef a(): ...",
            "@microservice.other\ndef a(): ...",
        ] {
            assert!(!has_decorator(text), "{text}");
        }
    }
}
