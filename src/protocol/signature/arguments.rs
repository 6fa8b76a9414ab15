//! Arguments as they come, from JSON or from words, before they are bound.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::{RawValue, to_raw_value};

use super::types::Types;
use super::{BindError, Mismatch, Parameter, ParameterKind, Signature};

/// Positional and named arguments, each still JSON text.
#[derive(Default)]
pub(super) struct Arguments<'a> {
    pub positional: Vec<Cow<'a, RawValue>>,
    pub named: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
    /// Whether the named ones stand in `_kwargs`.
    pub enveloped: bool,
}

impl<'a> Arguments<'a> {
    pub fn from_json(body: &'a [u8], mismatches: &mut Vec<Mismatch>) -> Result<Self, BindError> {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Ok(Self::default());
        }
        let Members(members) = match serde_json::from_slice(body) {
            Ok(members) => members,
            Err(error) if error.classify() == Category::Data => {
                mismatches.push(Mismatch::new("", "takes a JSON object of its parameters"));
                return Ok(Self::default());
            }
            Err(error) => return Err(BindError::Malformed(error.to_string())),
        };
        match members.iter().any(|(name, _)| matches!(&**name, "_args" | "_kwargs")) {
            true => Ok(Self::from_envelope(members, mismatches)),
            false => Ok(Self { named: members, ..Self::default() }),
        }
    }

    fn from_envelope(members: Vec<Member<'a>>, mismatches: &mut Vec<Mismatch>) -> Self {
        let mut arguments = Self { enveloped: true, ..Self::default() };
        for (name, value) in members {
            let Cow::Borrowed(value) = value else { continue };
            match &*name {
                "_args" => match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
                    Ok(values) => arguments.positional = values.into_iter().map(Cow::Borrowed).collect(),
                    Err(_) => mismatches.push(Mismatch::new("/_args", "takes an array as `_args`")),
                },
                "_kwargs" => match serde_json::from_str::<Members>(value.get()) {
                    Ok(Members(members)) => arguments.named = members,
                    Err(_) => mismatches.push(Mismatch::new("/_kwargs", "takes an object as `_kwargs`")),
                },
                _ => mismatches.push(Mismatch::new(
                    &format!("/{}", escape(&name)),
                    format!(
                        "takes nothing beside `_args` and `_kwargs`, so `{name}` must stand in `_kwargs`"
                    ),
                )),
            }
        }
        arguments
    }

    pub fn from_words(signature: &Signature, words: &'a [String]) -> Self {
        let mut arguments = Self { enveloped: true, ..Self::default() };
        for word in words {
            let position = arguments.positional.len();
            let parameter = signature.positional(position);
            let parameter = parameter.or_else(|| signature.of_kind(ParameterKind::VarPositional));
            match named_word(word) {
                Some((name, text)) if signature.keyword(name).is_some() => {
                    arguments.name(name, word_value(signature.keyword(name), text));
                }
                // It cannot be meant as a text, so it is a name, and the binding will refuse it.
                Some((name, text)) if !arguments.named.is_empty() || !takes_text(parameter) => {
                    arguments.name(name, raw_text(text));
                }
                _ => arguments.positional.push(Cow::Owned(word_value(parameter, word))),
            }
        }
        arguments
    }

    fn name(&mut self, name: &'a str, value: Box<RawValue>) {
        self.named.push((name.into(), Cow::Owned(value)));
    }
}

impl Signature {
    /// What `name=…` on a command line sets, if it names anything.
    fn keyword(&self, name: &str) -> Option<&Parameter> {
        let named = self.by_name(name, true).map(|(_, parameter)| parameter);
        named.or_else(|| self.of_kind(ParameterKind::VarKeyword))
    }
}

/// Splits `name=text` where the name could be one in Python.
fn named_word(word: &str) -> Option<(&str, &str)> {
    let (name, text) = word.split_once('=')?;
    let starts_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (starts_well && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some((name, text))
}

fn takes_text(parameter: Option<&Parameter>) -> bool {
    parameter.is_some_and(|parameter| parameter.types.contains(Types::STRING))
}

fn word_value(parameter: Option<&Parameter>, word: &str) -> Box<RawValue> {
    let types = parameter.map_or(Types::ANY, |parameter| parameter.types);
    if parameter.and_then(|parameter| parameter.annotation.as_deref()) == Some("str") {
        return raw_text(word);
    }
    match RawValue::from_string(word.to_owned()) {
        // `42` for a parameter that takes text or nothing is a text.
        Ok(value) if types.contains(Types::of_json(value.get())) || !types.contains(Types::STRING) => value,
        _ => raw_text(word),
    }
}

fn raw_text(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("a text can always be written as JSON")
}

impl Mismatch {
    pub(super) fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), message: message.into() }
    }
}

/// A member's name in a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

type Member<'a> = (Cow<'a, str>, Cow<'a, RawValue>);

/// The members of a JSON object in their order, repeated names included, their values unread.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            members.push((name, Cow::Borrowed(value)));
        }
        Ok(Members(members))
    }
}

/// A text that borrows unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
