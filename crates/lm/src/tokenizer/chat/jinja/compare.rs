//! Python's `==`, `<` and `in`.

use std::cmp::Ordering;

use super::error::{Result, fail};
use super::meter::Meter;
use super::value::{Dict, Value, View};

/// `a == b`.
pub fn equal(a: &Value, b: &Value, meter: &Meter) -> Result<bool> {
    meter.steps(1)?;
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Text(a, _), Value::Text(b, _)) => {
            meter.reads(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            if a.items.len() != b.items.len() {
                return Ok(false);
            }
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Dict(a), Value::Dict(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            for (key, value) in &a.entries {
                match find(b, key, meter)? {
                    Some(other) if equal(value, other, meter)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Range(a), Value::Range(b)) => {
            a.len == b.len && (a.len == 0 || a.start == b.start && (a.len == 1 || a.step == b.step))
        }
        (Value::View(a, View::Keys), Value::View(b, View::Keys)) => {
            let mut same = a.entries.len() == b.entries.len();
            for (key, _) in &a.entries {
                same = same && find(b, key, meter)?.is_some();
            }
            same
        }
        (Value::Namespace(a), Value::Namespace(b)) => a == b,
        (Value::Function(a), Value::Function(b)) => a == b,
        (Value::Macro(a), Value::Macro(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Loop(a), Value::Loop(b)) => std::rc::Rc::ptr_eq(a, b),
        (a, b) => numbers(a, b).is_some_and(|order| order == Some(Ordering::Equal)),
    })
}

/// How two numbers stand to each other, if they are numbers; `Some(None)` where one is none that can be compared.
fn numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    Some(match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Float(a), b) => (*a).partial_cmp(&(b.as_int()? as f64)),
        (a, Value::Float(b)) => (a.as_int()? as f64).partial_cmp(b),
        (a, b) => Some(a.as_int()?.cmp(&b.as_int()?)),
    })
}

/// How `a` stands to `b` under the operator `op`, which is named where they cannot be compared; `None` for what is not a number.
pub fn order(a: &Value, b: &Value, op: &str, meter: &Meter) -> Result<Option<Ordering>> {
    meter.steps(1)?;
    if let Some(order) = numbers(a, b) {
        return Ok(order);
    }
    match (a, b) {
        (Value::Text(a, _), Value::Text(b, _)) => {
            meter.reads(a.len().min(b.len()))?;
            Ok(Some(a.cmp(b)))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return order(a, b, op, meter);
                }
            }
            Ok(Some(a.items.len().cmp(&b.items.len())))
        }
        (Value::Undefined(what), _) | (_, Value::Undefined(what)) => fail(what.to_string()),
        _ => fail(format!("'{op}' not supported between instances of '{}' and '{}'", a.kind(), b.kind())),
    }
}

/// `a OP b` for one of Python's comparisons.
pub fn compare(op: &str, a: &Value, b: &Value, meter: &Meter) -> Result<bool> {
    Ok(match op {
        "==" => equal(a, b, meter)?,
        "!=" => !equal(a, b, meter)?,
        "in" => contains(b, a, meter)?,
        "not in" => !contains(b, a, meter)?,
        "<" => order(a, b, op, meter)? == Some(Ordering::Less),
        ">" => order(a, b, op, meter)? == Some(Ordering::Greater),
        "<=" => matches!(order(a, b, op, meter)?, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order(a, b, op, meter)?, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// `wanted in held`.
pub fn contains(held: &Value, wanted: &Value, meter: &Meter) -> Result<bool> {
    match (held, wanted) {
        (Value::Text(text, _), Value::Text(part, _)) => {
            meter.reads(text.len())?;
            Ok(text.contains(&**part))
        }
        (Value::Text(..), Value::Undefined(what)) => fail(what.to_string()),
        (Value::Text(..), other) => fail(format!("'in <string>' requires string as left operand, not {}", other.kind())),
        (Value::Dict(dict) | Value::View(dict, View::Keys), key) => Ok(find(dict, key, meter)?.is_some()),
        (held, wanted) if held.is_walkable() => {
            for item in held.walk(meter)? {
                if equal(&item, wanted, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (other, _) => fail(format!("argument of type '{}' is not iterable", other.kind())),
    }
}

/// The value under `key`; an error where it cannot be a key.
pub fn find<'d>(dict: &'d Dict, key: &Value, meter: &Meter) -> Result<Option<&'d Value>> {
    hashable(key)?;
    if let Value::Text(name, _) = key {
        meter.steps(1 + dict.entries.len() / 4)?;
        return Ok(dict.get(name));
    }
    for (known, value) in &dict.entries {
        if equal(known, key, meter)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Refuses what Python does not take as a key.
pub fn hashable(key: &Value) -> Result<()> {
    match key {
        Value::List(_) | Value::Dict(_) | Value::View(_, View::Items | View::Keys) => {
            fail(format!("unhashable type: '{}'", key.kind()))
        }
        Value::Tuple(items) => items.items.iter().try_for_each(hashable),
        _ => Ok(()),
    }
}

/// `values` in Python's order by their keys, which come first; equal ones stay as they are.
pub fn sorted(values: Vec<(Value, Value)>, reverse: bool, meter: &Meter) -> Result<Vec<Value>> {
    meter.values(values.len())?;
    Ok(merged(values, reverse, meter)?.into_iter().map(|(_, value)| value).collect())
}

/// A merge sort: the library's own may panic where an order is none, as that of NaN.
fn merged(mut left: Vec<(Value, Value)>, reverse: bool, meter: &Meter) -> Result<Vec<(Value, Value)>> {
    if left.len() < 2 {
        return Ok(left);
    }
    let right = left.split_off(left.len() / 2);
    let (left, right) = (merged(left, reverse, meter)?, merged(right, reverse, meter)?);
    let mut both = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let (first, second) = if reverse { (a, b) } else { (b, a) };
        let take_right = order(first, second, "<", meter)? == Some(Ordering::Less);
        both.extend(if take_right { right.next() } else { left.next() });
    }
    both.extend(left);
    both.extend(right);
    Ok(both)
}
