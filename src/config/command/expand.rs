//! `$PORT` and `$SOCKET` in the words of a command.

/// The names that msx replaces; everything else with a `$` is the program's own affair.
pub const PORT: &str = "PORT";
pub const SOCKET: &str = "SOCKET";

/// Whether `$name` stands in the word.
pub fn names(word: &str, name: &str) -> bool {
    expand(word, name, "") != expand(word, name, "x")
}

/// The word with the value in place of each `$name` or `${name}`; `$$name` stands for the text `$name`.
pub fn expand(word: &str, name: &str, value: &str) -> String {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        match (reference(rest, name), reference(&rest[1..], name)) {
            (Some(length), _) => {
                expanded.push_str(value);
                rest = &rest[length..];
            }
            (None, Some(escaped)) => {
                expanded.push_str(&rest[1..=escaped]);
                rest = &rest[1 + escaped..];
            }
            (None, None) => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// How long the reference at the beginning of the text is.
fn reference(text: &str, wanted: &str) -> Option<usize> {
    let name = text.strip_prefix('$')?;
    let braced = name.strip_prefix('{').and_then(|name| name.strip_prefix(wanted)?.strip_prefix('}'));
    let is_longer = |rest: &&str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let plain = name.strip_prefix(wanted).filter(|rest| !is_longer(rest));
    braced.or(plain).map(|rest| text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_port_goes_where_it_is_named() {
        for (word, expanded) in [
            ("$PORT", "20000"),
            ("--bind=127.0.0.1:$PORT", "--bind=127.0.0.1:20000"),
            ("${PORT}0", "200000"),
            ("$PORT $PORT", "20000 20000"),
            ("$PORTS", "$PORTS"),
            ("${PORT", "${PORT"),
            ("$HOME", "$HOME"),
            ("$$PORT", "$PORT"),
            ("$${PORT}", "${PORT}"),
            ("$$$PORT", "$$PORT"),
            ("echo $$; wait $!", "echo $$; wait $!"),
            ("", ""),
        ] {
            assert_eq!(expand(word, PORT, "20000"), expanded, "{word}");
        }
    }

    #[test]
    fn a_word_may_name_none() {
        assert!(names("-p=$PORT", PORT) && names("${PORT}", PORT) && names("unix:$SOCKET", SOCKET));
        assert!(
            !names("PORT", PORT)
                && !names("$$PORT", PORT)
                && !names("$PORTS", PORT)
                && !names("$PORT", SOCKET)
        );
    }

    proptest! {
        #[test]
        fn words_without_the_name_stay_as_they_are(word in "[$A-OQ-Z{}a-z ]{0,16}") {
            prop_assert_eq!(expand(&word, PORT, "1"), word);
        }

        #[test]
        fn no_word_makes_it_panic(word in "\\PC{0,16}") {
            let _ = (expand(&word, PORT, "65535"), names(&word, SOCKET));
        }
    }
}
