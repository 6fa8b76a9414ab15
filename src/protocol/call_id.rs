//! The public id of a call: what a person copies from `msx calls`, and gives to `msx why`.
//!
//! A root call has eight letters and digits. A call that it made has the same, a dot, and its number among the calls
//! of the one that waits for it, and so on down: `9k2m4xq7.0.3`. So an id says which tree it belongs to, and no id is
//! kept anywhere. The roots' ids are scattered over their whole range, so that the first few letters are enough to
//! name one, and they differ from those of an earlier hub, so that an old one does not name another call.

/// Letters of a root's id: those of Crockford's base 32, which nobody mistakes for each other.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: u32 = 8;
const BITS: u32 = LENGTH * 5;
const MASK: u64 = (1 << BITS) - 1;
/// Both odd, and so of no common divisor with a power of two: multiplying by them never makes two numbers equal.
const SCATTER: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];

/// Names a root call. Distinct for the first 2⁴⁰ of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootId(u64);

impl RootId {
    /// Of the root call with this number. `salt` is the hub's.
    pub fn new(number: u64, salt: u64) -> Self {
        let mut id = number.wrapping_add(salt) & MASK;
        for factor in SCATTER {
            id = id.wrapping_mul(factor) & MASK;
            id ^= id >> (BITS / 2);
        }
        Self(id)
    }
}

impl RootId {
    fn letters(self) -> [u8; LENGTH as usize] {
        std::array::from_fn(|at| LETTERS[(self.0 >> (BITS - 5 * (at as u32 + 1))) as usize & 31])
    }
}

/// Names a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId {
    pub root: RootId,
    /// From the root down: which child of the one before.
    pub path: Vec<u32>,
}

impl CallId {
    /// Written by hand, for every `run` has it, and its way from the root can be long.
    pub fn text(&self) -> String {
        let mut text = Vec::with_capacity(LENGTH as usize + 2 * self.path.len());
        text.extend_from_slice(&self.root.letters());
        for seq in &self.path {
            match *seq {
                digit @ 0..10 => text.extend_from_slice(&[b'.', b'0' + digit as u8]),
                number => text.extend_from_slice(format!(".{number}").as_bytes()),
            }
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// What a person wrote for an id: the letters of the root may be cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern {
    start: u64,
    letters: u32,
    pub path: Vec<u32>,
}

impl IdPattern {
    /// `None` if no id looks like this.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let root = parts.next().filter(|root| (1..=LENGTH as usize).contains(&root.len()))?;
        let digit = |letter: u8| LETTERS.iter().position(|known| *known == letter.to_ascii_lowercase());
        let digits: Option<Vec<usize>> = root.bytes().map(digit).collect();
        let start = digits?.iter().fold(0, |start, digit| start << 5 | *digit as u64);
        let path: Option<Vec<u32>> = parts.map(|seq| seq.parse().ok()).collect();
        Some(Self { start, letters: root.len() as u32, path: path? })
    }

    pub fn names(&self, root: RootId) -> bool {
        root.0 >> (BITS - 5 * self.letters) == self.start
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn id(number: u64, salt: u64) -> String {
        CallId { root: RootId::new(number, salt), path: Vec::new() }.text()
    }

    #[test]
    fn ids_differ_from_each_other_and_from_those_of_another_hub() {
        let ids = |salt| (0..10_000).map(move |number| id(number, salt));
        let one: HashSet<String> = ids(1).collect();
        assert_eq!(one.len(), 10_000);
        assert!(one.iter().all(|id| id.len() == 8));
        assert!(ids(0xdead_beef_0000).all(|id| !one.contains(&id)));
    }

    #[test]
    fn the_first_letters_tell_most_ids_apart() {
        let starts: HashSet<String> = (0..100).map(|number| id(number, 0)[..4].to_owned()).collect();
        assert!(starts.len() > 95, "{} of 100", starts.len());
    }

    #[test]
    fn a_pattern_is_the_start_of_an_id() {
        let id = CallId { root: RootId::new(7, 42), path: vec![0, 31] };
        let text = id.text();
        for length in 1..=8 {
            let pattern = IdPattern::parse(&text.to_uppercase()[..length]).unwrap();
            assert!(pattern.names(id.root), "{} of {text}", &text[..length]);
            assert!(pattern.path.is_empty());
        }
        let whole = IdPattern::parse(&text).unwrap();
        assert!(whole.names(id.root) && !whole.names(RootId::new(8, 42)));
        assert_eq!(whole.path, [0, 31]);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", ".", "abcdefghi", "ab.", "ab.x", "ab.-1", "shop.cart", "il", "ä", "ab.4294967296"] {
            assert_eq!(IdPattern::parse(text), None, "{text}");
        }
    }
}
