//! Finding names: services by alias or canonical name, and what a mistyped word was meant to be.

use crate::model::ServiceName;

/// What a name stands for among the services that were found.
#[derive(Debug, PartialEq)]
pub enum Match<'a> {
    One(&'a ServiceName),
    /// The short name of several services.
    Ambiguous(Vec<&'a ServiceName>),
    Unknown,
}

/// Looks a canonical name up, else an alias.
pub fn find<'a>(name: &str, services: &[&'a ServiceName]) -> Match<'a> {
    if let Some(exact) = services.iter().find(|service| service.as_str() == name) {
        return Match::One(exact);
    }
    let mut found: Vec<&ServiceName> =
        services.iter().copied().filter(|service| service.alias() == name).collect();
    match found.len() {
        0 => Match::Unknown,
        1 => Match::One(found.remove(0)),
        _ => Match::Ambiguous(found),
    }
}

/// The known word that `word` was probably meant to be: a third of it may be mistyped; else one contains the other,
/// or they begin alike.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerance = (word.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        let typed = strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
        (typed <= tolerance || resemble(word, candidate)).then_some(typed)
    };
    known
        .into_iter()
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min()
        .map(|(_, found)| found)
}

fn resemble(word: &str, candidate: &str) -> bool {
    let alike = word.chars().zip(candidate.chars()).take_while(|(a, b)| a == b).count();
    alike >= 4
        || word.len() >= 4 && candidate.contains(word)
        || candidate.len() >= 3 && word.contains(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_words_are_recognised() {
        let known = ["threads", "run_timeout", "env", "env_file", "queue", "retries"];
        for (word, meant) in [
            ("thread", Some("threads")),
            ("treads", Some("threads")),
            ("thraeds", Some("threads")),
            ("THREADS", Some("threads")),
            ("timeout", Some("run_timeout")),
            ("envs", Some("env")),
            ("retry", Some("retries")),
            ("environment", Some("env")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn a_service_is_found_by_either_name() {
        let [a, b, other] = ["m.a", "m.b", "n.b"].map(ServiceName::new);
        let services = [&a, &b, &other];
        assert_eq!(find("m.a", &services), Match::One(&a));
        assert_eq!(find("a", &services), Match::One(&a));
        assert_eq!(find("b", &services), Match::Ambiguous(vec![&b, &other]));
        assert_eq!(find("n.b", &services), Match::One(&other));
        assert_eq!(find("c", &services), Match::Unknown);
    }
}
