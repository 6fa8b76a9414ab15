//! TOML text, or the options of a decorator, as a tree of values that know their place. Only syntax is checked
//! here; overlays are laid over each other, key by key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostics, Problem};
use super::place::{Place, TextFile};

/// A value as written.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(Vec<Node>),
    Table(Table),
    /// What no setting takes, by what it is called.
    Other(&'static str),
}

impl Value {
    /// What an error calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

pub type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub key: Place,
    pub node: Node,
}

/// Reads one text as far as it goes; the mistakes in its syntax are added to `problems`.
pub fn read(name: &str, text: &str, problems: &mut Diagnostics) -> Table {
    let file = Arc::new(TextFile::new(name, text.to_owned()));
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.add(syntax_problem(&file, &error));
    }
    let mut table = table_from_toml(&file, table.get_ref());
    table.retain(|_, entry| !is_swallowed(text, entry));
    table
}

/// Behind a header without `]` the parser takes the next keys for parts of it: `x = 3` becomes a section x.
fn is_swallowed(text: &str, entry: &Entry) -> bool {
    let (Value::Table(_), Place::Text { span: key, .. }, Place::Text { span: value, .. }) =
        (&entry.node.value, &entry.key, &entry.node.place)
    else {
        return false;
    };
    let after = |at: usize| text.get(at..).unwrap_or_default().trim_start();
    after(key.end).starts_with('=') && !after(value.start).starts_with('{')
}

fn syntax_problem(file: &Arc<TextFile>, error: &toml::de::Error) -> Problem {
    let end = file.inner().len();
    let span = error.span().map_or(end..end, |span| span.start.min(end)..span.end.min(end));
    let text = file.inner().get(span.clone()).unwrap_or_default();
    let problem = match error.message() {
        "duplicate key" => Problem::new(format!("`{text}` is written twice")).help("remove one of the two"),
        // The parser's word for a value that is missing or is a bare word.
        unquoted if unquoted.starts_with("string values must be quoted") => match text {
            "" => Problem::new("invalid TOML: a value is missing after `=`"),
            word => Problem::new(format!("invalid TOML: `{word}` is no value")).help("put text in quotes"),
        },
        message => Problem::new(format!("invalid TOML: {message}")),
    };
    problem.at(&place(file, span), "here")
}

fn place(file: &Arc<TextFile>, span: Range<usize>) -> Place {
    Place::Text { file: file.clone(), span }
}

fn table_from_toml(file: &Arc<TextFile>, table: &DeTable<'_>) -> Table {
    let entries = table.iter().map(|(key, value)| {
        let entry = Entry { key: place(file, key.span()), node: node_from_toml(file, value) };
        (key.get_ref().to_string(), entry)
    });
    entries.collect()
}

fn node_from_toml(file: &Arc<TextFile>, value: &Spanned<DeValue<'_>>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("an integer beyond 64 bit"),
        },
        DeValue::Float(digits) => digits.as_str().parse().map_or(Value::Other("a float"), Value::Float),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| node_from_toml(file, item)).collect()),
        DeValue::Table(table) => Value::Table(table_from_toml(file, table)),
    };
    Node { value: converted, place: place(file, value.span()) }
}

/// The options of a decorator; all of them stand at its line.
pub fn from_options(options: &serde_json::Map<String, Json>, at: &Place) -> Table {
    let entries = options.iter().map(|(key, value)| {
        let entry = Entry { key: at.clone(), node: node_from_json(value, at) };
        (key.clone(), entry)
    });
    entries.collect()
}

fn node_from_json(value: &Json, at: &Place) -> Node {
    let converted = match value {
        Json::Null => Value::Other("None"),
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) if !number.is_u64() => Value::Float(float),
            _ => Value::Other("an integer beyond 64 bit"),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(|item| node_from_json(item, at)).collect()),
        Json::Object(map) => Value::Table(from_options(map, at)),
    };
    Node { value: converted, place: at.clone() }
}

/// Lays `above` over `below`, key by key: tables are merged, anything else is replaced.
pub fn overlay(below: &mut Table, above: Table) {
    for (key, entry) in above {
        match (below.get_mut(&key).map(|entry| &mut entry.node.value), entry.node.value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => overlay(lower, upper),
            (_, value) => {
                below.insert(key, Entry { key: entry.key, node: Node { value, place: entry.node.place } });
            }
        }
    }
}
