//! What a service takes: its Python signature as the worker describes it, and the binding of arguments to it.
//!
//! Arguments come from outside as JSON (gateway, fronts) or as words (CLI). They are checked here, all mistakes at
//! once, before a call exists: a wrong argument then costs no slot, and the answer can say where it stands.
//! Types are checked only as far as JSON distinguishes them; the rest is for the worker, which has the annotations.

mod arguments;
mod bind;
mod types;

use bytes::Bytes;
use serde::Deserialize;

use arguments::Arguments;
use types::Types;

/// More mistakes than this in one request are not listed: the answer has a bound.
const MISMATCHES_MAX: usize = 32;

/// The signature of a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Signature {
    /// `(x: int, y=2)`
    pub text: String,
    pub doc: Option<String>,
    /// It is a generator.
    pub streams: bool,
    params: Vec<Parameter>,
}

#[derive(Clone, Debug, Deserialize)]
struct Parameter {
    name: String,
    kind: ParameterKind,
    #[serde(default)]
    annotation: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "schema")]
    types: Types,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ParameterKind {
    PositionalOnly,
    PositionalOrKeyword,
    VarPositional,
    KeywordOnly,
    VarKeyword,
}

/// Why arguments do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The text is not JSON.
    #[error("{0}")]
    Malformed(String),
    /// Every mistake that was found, in the order of the request.
    #[error("the arguments do not fit the signature")]
    Mismatches(Vec<Mismatch>),
}

/// One mistake and its place in the request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// Continues a sentence that begins with the function: "has no parameter `z`".
    pub message: String,
}

impl Signature {
    /// Reads the JSON that `hello` and discovery carry.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Payload `[args, kwargs]` of a request body: an object of parameters, or
    /// `{"_args": [], "_kwargs": {}}`, or nothing at all.
    pub fn bind_json(&self, body: &[u8]) -> Result<Bytes, BindError> {
        let mut mismatches = Vec::new();
        let arguments = Arguments::from_json(body, &mut mismatches)?;
        bind::bind(self, &arguments, mismatches)
    }

    /// Payload `[args, kwargs]` of the words of a command line. A parameter annotated `str` takes its word as it is,
    /// others read it as JSON, else take it as text; `k=v` names a parameter only where `k` is one.
    pub fn bind_words(&self, words: &[String]) -> Result<Bytes, BindError> {
        bind::bind(self, &Arguments::from_words(self, words), Vec::new())
    }

    /// The signature as a person would write it: `b(x: int)`.
    pub fn named(&self, function: &str) -> String {
        format!("{function}{}", self.text)
    }

    /// A request body that fits: every parameter that must be given, with a value of its type.
    pub fn example(&self) -> String {
        let needed = self.params.iter().filter(|parameter| parameter.required && !parameter.is_variadic());
        let members: Vec<_> = needed.map(|p| format!("\"{}\": {}", p.name, p.types.example())).collect();
        format!("{{{}}}", members.join(", "))
    }

    /// The whole error as one sentence about `function`.
    pub fn explain(&self, function: &str, error: &BindError) -> String {
        match error {
            BindError::Malformed(reason) => format!("the arguments of {function}() are not JSON: {reason}"),
            BindError::Mismatches(mismatches) => {
                let messages: Vec<_> = mismatches.iter().map(|mismatch| mismatch.message.as_str()).collect();
                let messages = messages.join(", and ");
                format!("{function}() {messages}; its signature is {}", self.named(function))
            }
        }
    }

    /// The parameter at this place of a call's positional arguments.
    fn positional(&self, position: usize) -> Option<&Parameter> {
        self.params.get(position).filter(|parameter| parameter.is_positional())
    }

    /// The parameter that this name sets, with its index. A plain JSON object has no positions, so names set
    /// positional-only parameters too; as a `keyword` in Python's sense they do not.
    fn by_name(&self, name: &str, keyword: bool) -> Option<(usize, &Parameter)> {
        let mut params = self.params.iter().enumerate();
        params.find(|(_, parameter)| {
            let only = keyword && parameter.kind == ParameterKind::PositionalOnly;
            parameter.name == name && !parameter.is_variadic() && !only
        })
    }

    fn of_kind(&self, kind: ParameterKind) -> Option<&Parameter> {
        self.params.iter().find(|parameter| parameter.kind == kind)
    }
}

impl Parameter {
    fn is_positional(&self) -> bool {
        matches!(self.kind, ParameterKind::PositionalOnly | ParameterKind::PositionalOrKeyword)
    }

    fn is_variadic(&self) -> bool {
        matches!(self.kind, ParameterKind::VarPositional | ParameterKind::VarKeyword)
    }
}

#[cfg(test)]
mod tests;
