//! `a.b`, `a[b]` and `a[b:c]`.

use std::rc::Rc;
use std::sync::Arc;

use super::args::whole;
use super::compare::find;
use super::error::{Result, fail};
use super::value::{Range, Value};
use super::world::World;

const TEXT_METHODS: [&str; 43] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
];
const MORE_TEXT_METHODS: [&str; 4] = ["upper", "zfill", "translate", "maketrans"];
const DICT_METHODS: [&str; 5] = ["copy", "get", "items", "keys", "values"];
const ROW_METHODS: [&str; 3] = ["copy", "count", "index"];
/// Methods that change what they belong to, which transformers forbids.
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST_CHANGES: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];

/// `value.name`: Python's attribute, else the item.
pub fn attribute(value: &Value, name: &Arc<str>, world: &World<'_>) -> Result<Value> {
    if let Some(found) = own(value, name, world)? {
        return Ok(found);
    }
    match value.there()? {
        Value::Dict(dict) => match dict.get(name) {
            Some(held) => {
                world.meter.steps(1 + dict.entries.len() / 4)?;
                Ok(held.clone())
            }
            None => Ok(missing(value, name)),
        },
        _ => Ok(missing(value, name)),
    }
}

/// `value[key]`: Python's item, else the attribute.
pub fn item(value: &Value, key: &Value, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    meter.steps(1)?;
    let found = match (value.there()?, key) {
        (Value::Dict(dict), key) => find(dict, key, meter).unwrap_or(None).cloned(),
        (Value::List(items) | Value::Tuple(items), key) => {
            place(key, items.items.len()).and_then(|at| items.items.get(at).cloned())
        }
        (Value::Text(text, safe), key) if key.as_int().is_some() => {
            meter.reads(text.len())?;
            let n = text.chars().count();
            let c = place(key, n).and_then(|at| text.chars().nth(at));
            c.map(|c| Value::Text(c.to_string().into(), *safe))
        }
        (Value::Range(range), key) => place(key, range.len).map(|at| Value::Int(range.at(at))),
        _ => None,
    };
    match (found, key) {
        (Some(found), _) => Ok(found),
        (None, Value::Text(name, _)) => Ok(own(value, name, world)?.unwrap_or_else(|| missing(value, name))),
        (None, key) => {
            let shown = super::shown::shown(key, world)?;
            Ok(Value::undefined(format!("'{} object' has no element {shown}", value.kind())))
        }
    }
}

fn missing(value: &Value, name: &str) -> Value {
    Value::undefined(format!("'{} object' has no attribute '{name}'", value.kind()))
}

fn place(key: &Value, n: usize) -> Option<usize> {
    let at = key.as_int()?;
    usize::try_from(if at < 0 { at + n as i128 } else { at }).ok().filter(|at| *at < n)
}

/// An attribute that a value of its kind has.
fn own(value: &Value, name: &Arc<str>, world: &World<'_>) -> Result<Option<Value>> {
    let known: &[&str] = match value {
        Value::Text(..) if MORE_TEXT_METHODS.contains(&&**name) => &MORE_TEXT_METHODS,
        Value::Text(..) => &TEXT_METHODS,
        Value::Dict(_) => &DICT_METHODS,
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => &ROW_METHODS,
        Value::Loop(_) => &["cycle", "changed"],
        Value::Cycler(_) => &["next", "reset"],
        Value::Float(_) => &["is_integer"],
        Value::Int(_) | Value::Bool(_) => &["bit_length"],
        _ => &[],
    };
    let copies = **name == *"copy" && !matches!(value, Value::List(_) | Value::Dict(_));
    if known.contains(&&**name) && !copies {
        return Ok(Some(Value::Method(Rc::new((value.clone(), name.clone())))));
    }
    let forbidden: &[&str] = match value {
        Value::List(_) => &LIST_CHANGES,
        Value::Dict(_) => &DICT_CHANGES,
        _ => &[],
    };
    if forbidden.contains(&&**name) {
        let what = format!("access to attribute '{name}' of '{}' object is unsafe.", value.kind());
        return Ok(Some(Value::undefined(what)));
    }
    Ok(match value {
        Value::Namespace(place) => world.member(*place, name),
        Value::Tuple(items) => items.names.iter().position(|known| *known == &**name).map(|at| items.items[at].clone()),
        Value::Range(range) => match &**name {
            "start" => Some(Value::Int(range.start)),
            "stop" => Some(Value::Int(range.stop)),
            "step" => Some(Value::Int(range.step)),
            _ => None,
        },
        Value::Macro(closure) => match &**name {
            "name" => Some(Value::text(closure.code.name.clone())),
            "arguments" => {
                let names = closure.code.parameters.iter().map(|name| Value::text(name.clone()));
                Some(Value::tuple(names.collect(), &world.meter)?)
            }
            "catch_varargs" => Some(Value::Bool(closure.code.takes[0])),
            "catch_kwargs" => Some(Value::Bool(closure.code.takes[1])),
            "caller" => Some(Value::Bool(closure.code.takes[2])),
            _ => None,
        },
        Value::Cycler(held) if **name == *"current" => held.items.get(held.at.get()).cloned(),
        Value::Loop(state) => {
            let (at, n) = (state.at.get(), state.items.len());
            let number = |n: usize| Some(Value::Int(n as i128));
            let neighbour = |at: Option<usize>, what: &str| {
                at.and_then(|at| state.items.get(at)).cloned().unwrap_or_else(|| Value::undefined(what))
            };
            match &**name {
                "index" => number(at + 1),
                "index0" => number(at),
                "revindex" => number(n - at),
                "revindex0" => number(n - at - 1),
                "first" => Some(Value::Bool(at == 0)),
                "last" => Some(Value::Bool(at + 1 == n)),
                "length" => number(n),
                "depth" => number(state.level + 1),
                "depth0" => number(state.level),
                "previtem" => Some(neighbour(at.checked_sub(1), "there is no previous item")),
                "nextitem" => Some(neighbour(Some(at + 1), "there is no next item")),
                _ => None,
            }
        }
        _ => None,
    })
}

/// `value[start:stop:step]`.
pub fn slice(value: &Value, parts: [Option<Value>; 3], world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    let Some(n) = value.there()?.len().filter(|_| !matches!(value, Value::Dict(_) | Value::View(..) | Value::Loop(_))) else {
        let what = format!("'{}' object is not subscriptable", value.kind());
        // Python knows better than the sandbox what a slice of these is not
        let quiet = matches!(value, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_));
        return if quiet { Ok(Value::undefined(what)) } else { fail(what) };
    };
    let part = |at: usize| match &parts[at] {
        None | Some(Value::None) => Ok(None),
        Some(value) => whole(value, "slice").map(Some),
    };
    let (start, stop, step) = (part(0)?, part(1)?, part(2)?.unwrap_or(1));
    if step == 0 {
        return fail("slice step cannot be zero");
    }
    let length = n as i128;
    let within = |at: i128| {
        let at = if at < 0 { at.saturating_add(length) } else { at };
        if step > 0 { at.clamp(0, length) } else { at.clamp(-1, length - 1) }
    };
    let (start, stop) = if step > 0 {
        (start.map_or(0, within), stop.map_or(length, within))
    } else {
        (start.map_or(length - 1, within), stop.map_or(-1, within))
    };
    let mut places = Vec::new();
    let mut at = start;
    meter.values(n)?;
    while if step > 0 { at < stop } else { at > stop } {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(match value {
        Value::Text(text, safe) => {
            meter.text(4 * n)?;
            let chars: Vec<char> = text.chars().collect();
            let cut: String = places.into_iter().map(|at| chars[at]).collect();
            Value::Text(cut.into(), *safe)
        }
        Value::List(items) => Value::list(places.into_iter().map(|at| items.items[at].clone()).collect(), meter)?,
        Value::Tuple(items) => Value::tuple(places.into_iter().map(|at| items.items[at].clone()).collect(), meter)?,
        Value::Range(range) => {
            let step_in = range.step.saturating_mul(step);
            Value::Range(Range {
                start: range.start.saturating_add(start.saturating_mul(range.step)),
                stop: range.start.saturating_add(stop.saturating_mul(range.step)),
                step: step_in,
                len: places.len(),
            })
        }
        other => return fail(format!("'{}' object is not subscriptable", other.kind())),
    })
}
