//! How a name that a person or a program wrote finds its service. Pure.

use std::collections::HashMap;

use crate::model::{ServiceId, ServiceName};

/// An error lists all services only when they are few enough to read.
const LISTED_MAX: usize = 8;

/// A name at least this similar (1.0: equal) is worth a "did you mean".
const SIMILAR: f64 = 0.6;

/// Index of the services by canonical name and by alias.
#[derive(Debug)]
pub struct Names {
    canonical: Vec<ServiceName>,
    by_name: HashMap<String, Vec<ServiceId>>,
}

impl Names {
    /// `canonical` in the order of the table.
    pub fn new(canonical: Vec<ServiceName>) -> Self {
        let mut by_name: HashMap<String, Vec<ServiceId>> = HashMap::new();
        for (id, name) in (0..).map(ServiceId).zip(&canonical) {
            by_name.entry(name.alias().to_owned()).or_default().push(id);
        }
        // Last, and in place of what an alias put there: a canonical name always means its own service.
        for (id, name) in (0..).map(ServiceId).zip(&canonical) {
            by_name.insert(name.as_str().to_owned(), vec![id]);
        }
        Self { canonical, by_name }
    }

    /// The short name of a service, if it means this service alone.
    pub fn alias<'a>(&self, name: &'a ServiceName) -> Option<&'a str> {
        let alias = name.alias();
        let [id] = self.by_name.get(alias)?.as_slice() else { return None };
        (self.name(*id) == name).then_some(alias)
    }

    /// Finds a service by its canonical name or, while that is unique, by its alias.
    pub fn resolve(&self, name: &str) -> Result<ServiceId, NameError> {
        match self.by_name.get(name).map(Vec::as_slice) {
            Some([id]) => Ok(*id),
            Some(ids) => Err(NameError::Ambiguous {
                name: name.to_owned(),
                candidates: ids.iter().map(|id| self.name(*id).to_string()).collect(),
            }),
            None => Err(self.unknown(name)),
        }
    }

    fn name(&self, id: ServiceId) -> &ServiceName {
        &self.canonical[id.0 as usize]
    }

    fn unknown(&self, name: &str) -> NameError {
        let shortest = |full: &ServiceName| self.alias(full).unwrap_or(full.as_str()).to_owned();
        let similar = self
            .by_name
            .iter()
            .filter_map(|(known, ids)| Some((known, ids.first()?)))
            .map(|(known, id)| (strsim::normalized_damerau_levenshtein(name, known), *id))
            .filter(|(likeness, _)| *likeness >= SIMILAR)
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
            .map(|(_, id)| shortest(self.name(id)));
        let known = match self.canonical.len() {
            0..=LISTED_MAX => self.canonical.iter().map(shortest).collect(),
            _ => Vec::new(),
        };
        NameError::Unknown { name: name.to_owned(), similar, known }
    }
}

/// Why a name does not lead to one service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("there is no service `{name}`")]
    Unknown {
        name: String,
        similar: Option<String>,
        /// All services, if they are few.
        known: Vec<String>,
    },
    #[error("`{name}` is ambiguous: it is the short name of {}", listed(candidates, " and "))]
    Ambiguous { name: String, candidates: Vec<String> },
}

impl NameError {
    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            NameError::Ambiguous { candidates, .. } => {
                format!("use the canonical name: {}", listed(candidates, " or "))
            }
            NameError::Unknown { similar: Some(similar), .. } => format!("did you mean `{similar}`?"),
            NameError::Unknown { known, .. } if known.is_empty() => "`msx ps` lists the services".to_owned(),
            NameError::Unknown { known, .. } if known.len() == 1 => {
                format!("the only service is {}", listed(known, ""))
            }
            NameError::Unknown { known, .. } => format!("the services are {}", listed(known, " and ")),
        }
    }
}

/// `a`, `b` and `c`
fn listed(names: &[String], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{}{last}{end}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Names {
        Names::new(list.iter().map(|name| ServiceName::new(*name)).collect())
    }

    fn failure(list: &[&str], name: &str) -> String {
        let error = names(list).resolve(name).expect_err("no such service");
        format!("{error}; {}", error.help())
    }

    #[test]
    fn canonical_names_and_unique_aliases_resolve() {
        let names = names(&["a.a", "shop.cart.total", "x.b", "y.b"]);
        assert_eq!(names.resolve("a.a"), Ok(ServiceId(0)));
        assert_eq!(names.resolve("a"), Ok(ServiceId(0)));
        assert_eq!(names.resolve("total"), Ok(ServiceId(1)));
        assert_eq!(names.resolve("y.b"), Ok(ServiceId(3)));
    }

    #[test]
    fn an_ambiguous_alias_lists_every_candidate() {
        assert_eq!(
            failure(&["x.b", "a.a", "y.b", "z.b"], "b"),
            "`b` is ambiguous: it is the short name of `x.b`, `y.b` and `z.b`; \
             use the canonical name: `x.b`, `y.b` or `z.b`"
        );
    }

    #[test]
    fn an_ambiguous_service_has_no_alias() {
        let names = names(&["x.b", "a.a", "y.b"]);
        assert_eq!(names.alias(&ServiceName::new("x.b")), None);
        assert_eq!(names.alias(&ServiceName::new("a.a")), Some("a"));
    }

    #[test]
    fn a_typo_gets_a_suggestion_in_its_shortest_form() {
        let list = ["jobs.resize", "jobs.upload", "x.notify", "y.notify"];
        assert_eq!(failure(&list, "rezise"), "there is no service `rezise`; did you mean `resize`?");
        assert_eq!(failure(&list, "x.notfy"), "there is no service `x.notfy`; did you mean `x.notify`?");
        assert_eq!(failure(&list, "job.upload"), "there is no service `job.upload`; did you mean `upload`?");
    }

    #[test]
    fn without_a_suggestion_few_services_are_listed() {
        assert_eq!(
            failure(&["a.a", "b.b", "c.c"], "zzz"),
            "there is no service `zzz`; the services are `a`, `b` and `c`"
        );
    }

    #[test]
    fn without_a_suggestion_many_services_are_not_listed() {
        let many: Vec<String> = (0..20).map(|n| format!("m{n}.service_{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(failure(&many, "zzz"), "there is no service `zzz`; `msx ps` lists the services");
    }
}
