//! How many instances are wanted against how many there are: which to start, which to retire. Pure.

use std::cmp::Reverse;

use crate::model::Generation;

/// An instance as the decisions about numbers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub number: u32,
    pub generation: Generation,
    /// Counts towards the wanted number; others are leaving.
    pub active: bool,
    pub ready: bool,
    /// Ready for as long as a rolling restart asks of a new instance.
    pub proven: bool,
    /// A rolling restart is going to replace it anyway.
    pub old: bool,
}

/// Numbers to start and numbers to retire; one of the two is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub start: Vec<u32>,
    pub retire: Vec<u32>,
}

/// What leads from `seen` to `target` active instances. Retired first: old ones, then those that do not serve, then
/// the highest number, so that `a-1` is the last to go.
pub fn reconcile(target: u32, seen: &[Seen]) -> Plan {
    let mut active: Vec<&Seen> = seen.iter().filter(|instance| instance.active).collect();
    let target = target as usize;
    if active.len() < target {
        let missing = target - active.len();
        return Plan { start: free_numbers(seen).take(missing).collect(), retire: Vec::new() };
    }
    active.sort_by_key(|instance| (Reverse(instance.old), instance.ready, Reverse(instance.number)));
    let surplus = active.len() - target;
    Plan { start: Vec::new(), retire: active[..surplus].iter().map(|instance| instance.number).collect() }
}

/// The lowest numbers that no instance has, not even one that is leaving.
pub fn free_numbers(seen: &[Seen]) -> impl Iterator<Item = u32> {
    (1..).filter(|number| seen.iter().all(|instance| instance.number != *number))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ready(number: u32) -> Seen {
        Seen { number, generation: Generation(0), active: true, ready: true, proven: true, old: false }
    }

    fn starting(number: u32) -> Seen {
        Seen { ready: false, ..ready(number) }
    }

    fn leaving(number: u32) -> Seen {
        Seen { active: false, ready: false, ..ready(number) }
    }

    fn old(number: u32) -> Seen {
        Seen { old: true, ..ready(number) }
    }

    #[test]
    fn plans() {
        let cases: [(u32, &[Seen], &[u32], &[u32]); 8] = [
            (2, &[], &[1, 2], &[]),
            (3, &[ready(2)], &[1, 3], &[]),
            (2, &[ready(2), leaving(1)], &[3], &[]),
            (2, &[ready(1), ready(2)], &[], &[]),
            (1, &[ready(1), ready(2), ready(3)], &[], &[3, 2]),
            (1, &[starting(1), ready(2), ready(3)], &[], &[1, 3]),
            (2, &[old(1), old(2), old(3), starting(4)], &[], &[3, 2]),
            (0, &[ready(1), leaving(2)], &[], &[1]),
        ];
        for (target, seen, start, retire) in cases {
            let expected = Plan { start: start.to_vec(), retire: retire.to_vec() };
            assert_eq!(reconcile(target, seen), expected, "{target} of {seen:?}");
        }
    }

    fn instances() -> impl Strategy<Value = Vec<Seen>> {
        proptest::collection::btree_map(1_u32..20, any::<(bool, bool, bool)>(), 0..12).prop_map(|map| {
            map.into_iter()
                .map(|(number, (active, is_ready, old))| Seen {
                    active,
                    ready: is_ready,
                    old,
                    ..ready(number)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_plan_reaches_its_target(target in 0_u32..16, seen in instances()) {
            let plan = reconcile(target, &seen);
            let numbers: BTreeSet<u32> = seen.iter().map(|instance| instance.number).collect();
            let active = seen.iter().filter(|instance| instance.active).count();
            prop_assert_eq!(active + plan.start.len() - plan.retire.len(), target as usize);
            prop_assert!(plan.start.is_empty() || plan.retire.is_empty());
            prop_assert!(plan.start.iter().all(|number| !numbers.contains(number)));
            prop_assert!(plan.retire.iter().all(|number| seen.iter().any(|i| i.number == *number && i.active)));
        }
    }
}
