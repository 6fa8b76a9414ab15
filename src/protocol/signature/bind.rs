//! Arguments → parameters, by Python's rules, and the payload `[args, kwargs]`.

use bytes::Bytes;
use rmp::encode::{ByteBuf, write_array_len, write_map_len, write_str};
use serde_json::value::RawValue;

use super::arguments::{Arguments, escape};
use super::types::Types;
use super::{BindError, MISMATCHES_MAX, Mismatch, Parameter, ParameterKind, Signature};
use crate::protocol::json;

/// `mismatches` are those that reading the arguments found already.
pub(super) fn bind(
    signature: &Signature,
    arguments: &Arguments,
    mismatches: Vec<Mismatch>,
) -> Result<Bytes, BindError> {
    // What could not be read would only be reported again as missing.
    let readable = mismatches.is_empty();
    let slots = vec![None; signature.params.len()];
    let mut binder = Binder { signature, arguments, slots, extra: Vec::new(), mismatches };
    if readable {
        binder.positional();
        binder.named();
        binder.missing();
    }
    binder.check()?;
    let payload = binder.encode();
    binder.check()?;
    Ok(payload)
}

struct Binder<'a> {
    signature: &'a Signature,
    arguments: &'a Arguments<'a>,
    /// By parameter.
    slots: Vec<Option<Bound<'a>>>,
    /// Named ones that `**kwargs` takes.
    extra: Vec<Bound<'a>>,
    mismatches: Vec<Mismatch>,
}

#[derive(Clone, Copy)]
struct Bound<'a> {
    value: &'a RawValue,
    place: Place<'a>,
}

/// Where an argument stands in the request.
#[derive(Clone, Copy)]
enum Place<'a> {
    Position(usize),
    Name(&'a str),
}

impl<'a> Binder<'a> {
    fn positional(&mut self) {
        let rest = self.signature.of_kind(ParameterKind::VarPositional);
        for (position, value) in self.arguments.positional.iter().enumerate() {
            let bound = Bound { value, place: Place::Position(position) };
            match (self.signature.positional(position), rest) {
                (Some(parameter), _) => self.fill(position, parameter, bound),
                (None, Some(parameter)) => self.check_type(parameter, bound),
                (None, None) => return self.too_many(position),
            }
        }
    }

    fn named(&mut self) {
        let rest = self.signature.of_kind(ParameterKind::VarKeyword);
        for (name, value) in &self.arguments.named {
            let bound = Bound { value, place: Place::Name(name) };
            match (self.signature.by_name(name, self.arguments.enveloped), rest) {
                (Some((index, parameter)), _) => self.fill(index, parameter, bound),
                (None, Some(parameter)) => {
                    self.check_type(parameter, bound);
                    self.extra.push(bound);
                }
                (None, None) => self.unknown(bound.place, name),
            }
        }
    }

    fn fill(&mut self, index: usize, parameter: &Parameter, bound: Bound<'a>) {
        self.check_type(parameter, bound);
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.replace(bound).is_some() {
            self.report(bound.place, format!("got two values for `{}`", parameter.name));
        }
    }

    fn check_type(&mut self, parameter: &Parameter, bound: Bound<'a>) {
        let given = Types::of_json(bound.value.get());
        if !parameter.types.contains(given) {
            let message = format!("takes {} as `{}`, not {given}", parameter.types, parameter.name);
            self.report(bound.place, message);
        }
    }

    fn missing(&mut self) {
        // A positional-only parameter cannot be left out before one that is given.
        let lead = self.lead();
        for (index, parameter) in self.signature.params.iter().enumerate() {
            let empty = self.slots.get(index).is_some_and(Option::is_none);
            if empty && !parameter.is_variadic() && (parameter.required || index < lead) {
                self.report(Place::Name(&parameter.name), format!("needs a value for `{}`", parameter.name));
            }
        }
    }

    fn unknown(&mut self, place: Place<'_>, name: &str) {
        let message = match self.signature.params.iter().find(|parameter| parameter.name == name) {
            Some(_) => format!("takes `{name}` by position only"),
            None => format!("has no parameter `{name}`"),
        };
        self.report(place, message);
    }

    fn too_many(&mut self, taken: usize) {
        let given = self.arguments.positional.len();
        let s = if taken == 1 { "" } else { "s" };
        self.report(Place::Position(taken), format!("takes {taken} positional argument{s}, not {given}"));
    }

    fn report(&mut self, place: Place<'_>, message: String) {
        if self.mismatches.len() < MISMATCHES_MAX {
            self.mismatches.push(Mismatch { pointer: self.pointer(place), message });
        }
    }

    fn pointer(&self, place: Place<'_>) -> String {
        match place {
            Place::Position(position) => format!("/_args/{position}"),
            Place::Name(name) if self.arguments.enveloped => format!("/_kwargs/{}", escape(name)),
            Place::Name(name) => format!("/{}", escape(name)),
        }
    }

    fn check(&mut self) -> Result<(), BindError> {
        match self.mismatches.is_empty() {
            true => Ok(()),
            false => Err(BindError::Mismatches(std::mem::take(&mut self.mismatches))),
        }
    }

    /// How many parameters are passed by position: those given so, and the positional-only ones given by name.
    fn lead(&self) -> usize {
        let given = self.arguments.positional.len().min(self.slots.len());
        let given = (0..given).take_while(|&position| self.signature.positional(position).is_some()).count();
        let filled = self.signature.params.iter().zip(&self.slots);
        let only = |(parameter, slot): (&Parameter, &Option<Bound>)| {
            parameter.kind == ParameterKind::PositionalOnly && slot.is_some()
        };
        given.max(filled.map(only).rposition(|only| only).map_or(0, |index| index + 1))
    }

    fn encode(&mut self) -> Bytes {
        let mut out = ByteBuf::new();
        let lead = self.lead();
        let slots = std::mem::take(&mut self.slots);
        let (by_position, by_name) = slots.split_at(lead);
        let rest = self.arguments.positional.get(lead..).unwrap_or_default();

        let Ok(_) = write_array_len(&mut out, 2);
        let Ok(_) = write_array_len(&mut out, (lead + rest.len()) as u32);
        for bound in by_position.iter().flatten() {
            self.put(*bound, &mut out);
        }
        for (position, value) in rest.iter().enumerate() {
            self.put(Bound { value, place: Place::Position(lead + position) }, &mut out);
        }
        let extra = std::mem::take(&mut self.extra);
        let Ok(_) = write_map_len(&mut out, (by_name.iter().flatten().count() + extra.len()) as u32);
        for (parameter, slot) in self.signature.params.iter().skip(lead).zip(by_name) {
            if let Some(bound) = slot {
                let Ok(()) = write_str(&mut out, &parameter.name);
                self.put(*bound, &mut out);
            }
        }
        for bound in extra {
            let Place::Name(name) = bound.place else { continue };
            let Ok(()) = write_str(&mut out, name);
            self.put(bound, &mut out);
        }
        out.into_vec().into()
    }

    fn put(&mut self, bound: Bound<'_>, out: &mut ByteBuf) {
        if let Err(error) = json::transcode(bound.value, out) {
            self.report(bound.place, format!("cannot take a value: {error}"));
        }
    }
}
