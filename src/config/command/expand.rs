//! `$PORT` in the words of a command.

/// The name that msx replaces; everything else with a `$` is the program's own affair.
const NAME: &str = "PORT";

/// Whether `$PORT` stands in the word.
pub fn names_port(word: &str) -> bool {
    expand(word, 0) != expand(word, 1)
}

/// The word with the port in place of each `$PORT` or `${PORT}`; `$$PORT` stands for the text `$PORT`.
pub fn expand(word: &str, port: u16) -> String {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_escaped = reference(&rest[1..]).is_some();
        match reference(rest) {
            Some(length) => {
                expanded.push_str(&port.to_string());
                rest = &rest[length..];
            }
            None if is_escaped => {
                let length = 1 + reference(&rest[1..]).unwrap_or(0);
                expanded.push_str(&rest[1..length]);
                rest = &rest[length..];
            }
            None => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// How long the reference at the beginning of the text is.
fn reference(text: &str) -> Option<usize> {
    let name = text.strip_prefix('$')?;
    let braced = name.strip_prefix('{').and_then(|name| name.strip_prefix(NAME)?.strip_prefix('}'));
    let plain =
        name.strip_prefix(NAME).filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
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
            assert_eq!(expand(word, 20_000), expanded, "{word}");
        }
    }

    #[test]
    fn a_word_may_name_none() {
        assert!(names_port("-p=$PORT") && names_port("${PORT}"));
        assert!(!names_port("PORT") && !names_port("$$PORT") && !names_port("$PORTS"));
    }

    proptest! {
        #[test]
        fn words_without_the_name_stay_as_they_are(word in "[$A-OQ-Z{}a-z ]{0,16}") {
            prop_assert_eq!(expand(&word, 1), word);
        }

        #[test]
        fn no_word_makes_it_panic(word in "\\PC{0,16}") {
            let _ = (expand(&word, 65_535), names_port(&word));
        }
    }
}
