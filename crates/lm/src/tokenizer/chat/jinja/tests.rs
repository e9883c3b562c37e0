//! Jinja's tests: `x is NAME`.

use super::args::Args;
use super::cases::{is_lower, is_upper};
use super::compare::{compare, contains, equal, hashable};
use super::error::{Result, fail};
use super::ops::arithmetic;
use super::shown::shown;
use super::value::Value;
use super::world::World;

/// Names of all tests.
pub const NAMES: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

/// Whether `value is NAME(args)`; `filters` are the names of filters.
pub fn test(name: &str, value: &Value, args: Args, filters: &[&str], world: &World<'_>) -> Result<bool> {
    let meter = &world.meter;
    meter.steps(1)?;
    let one = |args: Args| args.exactly(name, ["other"]).map(|[other]| other);
    let rest = |by: &Value| -> Result<i128> {
        match arithmetic("%", value, by, world)? {
            Value::Int(n) => Ok(n),
            Value::Float(x) if x.fract() == 0.0 => Ok(x as i128),
            _ => Ok(-1),
        }
    };
    let op = match name {
        "==" | "eq" | "equalto" => "==",
        "!=" | "ne" => "!=",
        ">" | "gt" | "greaterthan" => ">",
        ">=" | "ge" => ">=",
        "<" | "lt" | "lessthan" => "<",
        "<=" | "le" => "<=",
        _ => "",
    };
    if !op.is_empty() {
        return compare(op, value, &one(args)?, meter);
    }
    match name {
        "divisibleby" => {
            let by = args.exactly(name, ["num"])?;
            return Ok(rest(&by[0])? == 0);
        }
        "sameas" => return same(value, &one(args)?, world),
        "in" => return contains(&args.exactly(name, ["seq"])?[0], value, meter),
        _ => {}
    }
    if !NAMES.contains(&name) {
        return fail(format!("No test named '{name}'."));
    }
    let [] = args.exactly(name, [])?;
    Ok(match name {
        "odd" => rest(&Value::Int(2))? == 1,
        "even" => rest(&Value::Int(2))? == 0,
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "filter" => hashable(value).map(|()| matches!(value, Value::Text(text, _) if filters.contains(&&**text)))?,
        "test" => hashable(value).map(|()| matches!(value, Value::Text(text, _) if NAMES.contains(&&**text)))?,
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        "lower" => is_lower(&shown(value, world)?),
        "upper" => is_upper(&shown(value, world)?),
        "string" => matches!(value, Value::Text(..)),
        "mapping" => matches!(value, Value::Dict(_)),
        // what has a length and can be asked for items; a dictionary does, and what is undefined has them raise
        "sequence" => matches!(
            value,
            Value::Text(..) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Range(_) | Value::Undefined(_)
        ),
        "iterable" => value.is_walkable(),
        "callable" => {
            matches!(
                value,
                Value::Macro(_) | Value::Method(_) | Value::Function(_) | Value::Joiner(_) | Value::Undefined(_) | Value::Loop(_)
            )
        }
        _ => matches!(value, Value::Text(_, true)),
    })
}

/// Python's `is`: small numbers, truth values and none are one object wherever they come from, and so is one text literal; other
/// values are the same when they were made once.
fn same(a: &Value, b: &Value, world: &World<'_>) -> Result<bool> {
    use std::rc::Rc;
    Ok(match (a, b) {
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b) || a.items.is_empty() && b.items.is_empty(),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Once(a), Value::Once(b)) => Rc::ptr_eq(a, b),
        (Value::Undefined(_), _) | (_, Value::Undefined(_)) => false,
        (a, b) => a.kind() == b.kind() && equal(a, b, &world.meter)?,
    })
}
