//! As much of Python's version specifiers (PEP 440) as `requires-python` uses: release numbers and the comparisons
//! of them. Pure.

use std::cmp::Ordering;

/// Whether a version satisfies a set such as `>=3.10,<4`. `None` when the set is not understood.
pub(super) fn allows(set: &str, version: &[u32]) -> Option<bool> {
    let mut allowed = true;
    for clause in set.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
        allowed &= clause_allows(clause, version)?;
    }
    Some(allowed)
}

fn clause_allows(clause: &str, version: &[u32]) -> Option<bool> {
    let digits = clause.find(|c: char| c.is_ascii_digit())?;
    let (operator, wanted) = (clause[..digits].trim_end(), clause[digits..].trim_end());
    let (wanted, is_prefix) = wanted.strip_suffix(".*").map_or((wanted, false), |prefix| (prefix, true));
    let wanted = release(wanted)?;
    let order = compare(version, &wanted);
    Some(match (operator, is_prefix) {
        ("==", true) => starts_with(version, &wanted),
        ("!=", true) => !starts_with(version, &wanted),
        (_, true) => return None,
        ("==" | "===", _) => order.is_eq(),
        ("!=", _) => order.is_ne(),
        (">=", _) => order.is_ge(),
        ("<=", _) => order.is_le(),
        (">", _) => order.is_gt(),
        ("<", _) => order.is_lt(),
        ("~=", _) => {
            order.is_ge() && starts_with(version, wanted.split_last().filter(|(_, rest)| !rest.is_empty())?.1)
        }
        _ => return None,
    })
}

/// The numbers of a version: `0.19.1` or, up to where it stops being a release, `0.20.0rc1`.
pub(super) fn release(version: &str) -> Option<Vec<u32>> {
    let digits = |part: &str| part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    version.split('.').map(|part| part[..digits(part)].parse().ok()).collect()
}

/// Missing numbers count as zero: 3.10 equals 3.10.0.
fn compare(left: &[u32], right: &[u32]) -> Ordering {
    let at = |numbers: &[u32], index: usize| numbers.get(index).copied().unwrap_or(0);
    let differing = (0..left.len().max(right.len())).map(|index| at(left, index).cmp(&at(right, index)));
    differing.fold(Ordering::Equal, Ordering::then)
}

fn starts_with(version: &[u32], prefix: &[u32]) -> bool {
    prefix.iter().enumerate().all(|(index, wanted)| version.get(index).copied().unwrap_or(0) == *wanted)
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn sets_are_compared_number_by_number() {
        for (set, version, expected) in [
            ("", [3, 10, 0], Some(true)),
            (">=3.10", [3, 9, 18], Some(false)),
            (">=3.10", [3, 10, 0], Some(true)),
            (">= 3.10, < 4", [3, 12, 1], Some(true)),
            (">=3.10,<3.12", [3, 12, 0], Some(false)),
            ("==3.11.*", [3, 11, 7], Some(true)),
            ("!=3.11.*", [3, 11, 7], Some(false)),
            ("==3.11", [3, 11, 7], Some(false)),
            ("~=3.10", [3, 13, 0], Some(true)),
            ("~=3.10.2", [3, 11, 0], Some(false)),
            (">3.10", [3, 10, 0], Some(false)),
            ("~=3", [3, 11, 0], None),
            (">=3.*", [3, 11, 0], None),
            ("3.11", [3, 11, 0], None),
            ("latest", [3, 11, 0], None),
            (">=99999999999", [3, 11, 0], None),
        ] {
            assert_eq!(allows(set, &version), expected, "{set} {version:?}");
        }
    }
}
