//! In which order services start, and in reverse stop: layers, from what they depend on. Pure.

use crate::config::command::{Dependency, Until};
use crate::registry::{NameError, ServiceEntry, Snapshot};

/// Why there is no start order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("`depends_on` goes in a circle: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    #[error("`{service}` cannot depend on `{}`: {error}", name_of(error))]
    Unknown { service: String, error: NameError },
}

impl OrderError {
    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            OrderError::Cycle(_) => "remove one of these `depends_on` entries".to_owned(),
            OrderError::Unknown { error, .. } => error.help(),
        }
    }
}

fn name_of(error: &NameError) -> &str {
    match error {
        NameError::Unknown { name, .. } | NameError::Ambiguous { name, .. } => name,
    }
}

/// What each service depends on (positions in the table) and how far that must be, and the layers in which they start.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    pub depends_on: Vec<Vec<(usize, Until)>>,
    pub layers: Vec<Vec<usize>>,
}

/// Works out the order of these services.
pub fn order(snapshot: &Snapshot) -> Result<Order, OrderError> {
    let services = &snapshot.services;
    let resolve = |service: &ServiceEntry, needed: &Dependency| match snapshot.resolve(&needed.service) {
        Ok(id) => Ok((id.0 as usize, needed.until)),
        Err(error) => Err(OrderError::Unknown { service: service.short().to_owned(), error }),
    };
    let depends_on = services
        .iter()
        .map(|service| service.spec.depends_on.iter().map(|needed| resolve(service, needed)).collect())
        .collect::<Result<Vec<Vec<(usize, Until)>>, _>>()?;
    let graph = depends_on.iter().map(|needed| needed.iter().map(|(index, _)| *index).collect());
    let layers = layers(&graph.collect::<Vec<Vec<usize>>>()).map_err(|circle| {
        OrderError::Cycle(circle.into_iter().map(|index| services[index].short().to_owned()).collect())
    })?;
    Ok(Order { depends_on, layers })
}

/// Layers of a graph, or a circle in it (its first member again at the end).
fn layers(depends_on: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let mut layers = Vec::new();
    let mut placed = vec![false; depends_on.len()];
    while placed.contains(&false) {
        let is_next =
            |index: &usize| !placed[*index] && depends_on[*index].iter().all(|other| placed[*other]);
        let layer: Vec<usize> = (0..depends_on.len()).filter(is_next).collect();
        if layer.is_empty() {
            return Err(circle(depends_on, &placed));
        }
        layer.iter().for_each(|index| placed[*index] = true);
        layers.push(layer);
    }
    Ok(layers)
}

/// Walks along unplaced dependencies, of which every unplaced service has one, until a service comes twice.
fn circle(depends_on: &[Vec<usize>], placed: &[bool]) -> Vec<usize> {
    let mut walk: Vec<usize> = placed.iter().position(|placed| !placed).into_iter().collect();
    while let Some(next) =
        walk.last().and_then(|at| depends_on[*at].iter().copied().find(|other| !placed[*other]))
    {
        let seen = walk.iter().position(|earlier| *earlier == next);
        walk.push(next);
        if let Some(start) = seen {
            return walk.split_off(start);
        }
    }
    walk
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn services_start_after_what_they_depend_on() {
        assert_eq!(layers(&[vec![1, 2], vec![2], vec![], vec![]]), Ok(vec![vec![2, 3], vec![1], vec![0]]));
        assert_eq!(layers(&[]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_named_without_what_only_leads_to_it() {
        assert_eq!(layers(&[vec![1], vec![2], vec![3], vec![1]]), Err(vec![1, 2, 3, 1]));
        assert_eq!(layers(&[vec![0]]), Err(vec![0, 0]));
    }

    #[test]
    fn the_error_reads_well() {
        let circle = OrderError::Cycle(vec!["a".into(), "b".into(), "a".into()]);
        assert_eq!(circle.to_string(), "`depends_on` goes in a circle: a → b → a");
        let error = NameError::Unknown { name: "bd".into(), similar: Some("db".into()), known: vec![] };
        let unknown = OrderError::Unknown { service: "a".into(), error };
        assert_eq!(unknown.to_string(), "`a` cannot depend on `bd`: there is no service `bd`");
        assert_eq!(unknown.help(), "did you mean `db`?");
    }

    proptest! {
        #[test]
        fn every_graph_has_layers_or_a_true_circle(
            edges in proptest::collection::vec(proptest::collection::vec(0_usize..8, 0..3), 8)
        ) {
            match layers(&edges) {
                Ok(layers) => {
                    let depth = |index: usize| layers.iter().position(|layer| layer.contains(&index));
                    for (index, others) in edges.iter().enumerate() {
                        for other in others {
                            prop_assert!(depth(*other) < depth(index));
                        }
                    }
                }
                Err(circle) => {
                    prop_assert!(circle.len() >= 2 && circle.first() == circle.last());
                    for pair in circle.windows(2) {
                        prop_assert!(edges[pair[0]].contains(&pair[1]));
                    }
                }
            }
        }
    }
}
