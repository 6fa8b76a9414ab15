//! Whatever the text: an answer or a report, never a panic.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const WORDS: [&str; 40] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    " ",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\\",
    "\r\n",
    "\u{feff}",
    "é",
    "\t",
    "project",
    "python",
    "gateway",
    "defaults",
    "services",
    "services.a",
    "threads",
    "instances",
    "scale",
    "env",
    "listen",
    "modules",
    "depends_on",
    "\"30s\"",
    "\"127.0.0.1:0\"",
    "1",
    "-1",
    "0.5",
    "nan",
    "true",
];

const MANIFEST: &str = r#"
[project]
name = "p"
[python]
path = ["src"]
modules = ["a", "b"]
[gateway]
listen = "127.0.0.1:8080"
[defaults]
threads = 2
scale = { utilization = 0.7, down_after = "60s" }
[services.a]
instances = { min = 1, max = 8 }
depends_on = { b = "ready" }
env = { LEVEL = "info" }
env_file = ".env"
"#;

/// Reads, resolves and shows; what comes out does not matter.
fn exercise(text: &str, env_file: &str, width: usize) {
    let result = parse(&[Source { name: "services.toml", text }]).and_then(|manifest| {
        let found = [def("m.a"), async_def("m.b")];
        let shown = manifest
            .resolve_settings(&found, &base())
            .map(|services| render::toml(&manifest, Some(&services)));
        manifest.resolve(&found, &base(), &|_| Ok(env_file.to_owned())).and(shown)
    });
    if let Err(problems) = result {
        assert!(!problems.render(false, width).is_empty() && !problems.render(true, width).is_empty());
    }
}

proptest! {
    #[test]
    fn any_text(text in "(?s).{0,80}", env_file in "(?s).{0,40}", width in 0_usize..200) {
        exercise(&text, &env_file, width);
        exercise(MANIFEST, &env_file, width);
    }

    #[test]
    fn any_words(words in prop::collection::vec(select(&WORDS[..]), 0..40)) {
        exercise(&words.concat(), "", 80);
        exercise(&words.join(" "), "", 80);
    }

    #[test]
    fn damaged_manifests(edits in prop::collection::vec((any::<Index>(), 0_usize..6, select(&WORDS[..])), 1..6)) {
        let mut text: Vec<char> = MANIFEST.chars().collect();
        for (at, removed, word) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, word.chars());
        }
        exercise(&text.into_iter().collect::<String>(), "", 80);
    }

    #[test]
    fn any_options(keys in prop::collection::vec((select(&WORDS[..]), any::<i64>()), 0..6)) {
        let options = keys.into_iter().map(|(key, number)| (key.to_owned(), number.into())).collect();
        let service = Found { options, ..def("m.a") };
        let _ = Manifest::default_for("p").resolve(&[service], &base(), &no_files);
    }
}

#[test]
fn deep_nesting() {
    exercise(&format!("a = {}", "[".repeat(10_000)), "", 80);
    exercise(&format!("{}b = 1", "a.".repeat(3_000)), "", 80);
}
