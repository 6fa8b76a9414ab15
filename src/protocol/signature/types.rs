//! The small part of JSON Schema that is checked before a call: which JSON types a parameter takes.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

const NAMES: [(u8, &str); 7] = [
    (1, "null"),
    (1 << 1, "boolean"),
    (1 << 2, "integer"),
    (1 << 2 | 1 << 3, "number"),
    (1 << 4, "string"),
    (1 << 5, "array"),
    (1 << 6, "object"),
];

/// A set of JSON types, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub const ANY: Self = Self(u8::MAX);
    pub const STRING: Self = Self(1 << 4);

    /// Anything that the schema does not restrict by `type` or `anyOf` is allowed.
    fn of_schema(schema: &Value) -> Self {
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return options.iter().map(Self::of_schema).fold(Self(0), Self::or);
        }
        match schema.get("type") {
            Some(Value::String(name)) => Self::of_name(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).map(Self::of_name).fold(Self(0), Self::or)
            }
            _ => Self::ANY,
        }
    }

    fn of_name(name: &str) -> Self {
        NAMES.iter().find(|(_, known)| *known == name).map_or(Self::ANY, |(bits, _)| Self(*bits))
    }

    /// The type of one well-formed JSON text: its first byte tells, and for a number its form.
    pub fn of_json(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self(1),
            Some(b't' | b'f') => Self(1 << 1),
            Some(b'"') => Self::STRING,
            Some(b'[') => Self(1 << 5),
            Some(b'{') => Self(1 << 6),
            _ if text.contains(['.', 'e', 'E']) => Self(1 << 3),
            _ => Self(1 << 2),
        }
    }

    /// A JSON text of one of these types.
    pub fn example(self) -> &'static str {
        let examples = ["1", "\"text\"", "1.5", "true", "[]", "{}"];
        examples.into_iter().find(|text| self.contains(Self::of_json(text))).unwrap_or("null")
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Default for Types {
    fn default() -> Self {
        Self::ANY
    }
}

/// Reads a schema.
impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(Self::of_schema(&Value::deserialize(source)?))
    }
}

/// `an integer or null`
impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = Self::of_name("number").0;
        let mut left = self.0;
        let mut or = "";
        // Backwards, so that `number` is said instead of `integer` where both fit.
        for (bits, name) in NAMES.iter().rev() {
            let whole = left & bits == *bits;
            let fraction = *bits == number && left & bits == 1 << 3;
            if whole || fraction {
                write!(f, "{or}{}{name}", article(name))?;
                left &= !bits;
                or = " or ";
            }
        }
        Ok(())
    }
}

fn article(name: &str) -> &'static str {
    match name {
        "null" => "",
        "integer" | "array" | "object" => "an ",
        _ => "a ",
    }
}
