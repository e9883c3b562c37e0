//! Python's operators on numbers, texts and lists.

use super::error::{Result, fail};
use super::escape::escaped;
use super::percent::percent;
use super::shown::shown;
use super::value::Value;
use super::world::World;

const TOO_LARGE: &str = "a number is too large for this program";

/// `a OP b`.
pub fn arithmetic(op: &str, a: &Value, b: &Value, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    meter.steps(1)?;
    match (op, a, b) {
        ("%", Value::Text(text, _), args) => return Ok(Value::text(percent(text, args, world)?)),
        (_, Value::Undefined(what), _) | (_, _, Value::Undefined(what)) => return fail(what.to_string()),
        ("+", Value::Text(x, safe), Value::Text(y, too)) => {
            // text that is safe for HTML makes the other so
            let part = |text: &str, is_safe: bool| if is_safe == (*safe || *too) { text.to_string() } else { escaped(text) };
            meter.text(x.len() + y.len())?;
            return Ok(Value::Text((part(x, *safe) + &part(y, *too)).into(), *safe || *too));
        }
        ("+", Value::List(x), Value::List(y)) => return Value::list([&x.items[..], &y.items].concat(), meter),
        ("+", Value::Tuple(x), Value::Tuple(y)) => return Value::tuple([&x.items[..], &y.items].concat(), meter),
        ("*", Value::Text(..) | Value::List(_) | Value::Tuple(_), n) if n.as_int().is_some() => return repeated(a, n, world),
        ("*", n, Value::Text(..) | Value::List(_) | Value::Tuple(_)) if n.as_int().is_some() => return repeated(b, n, world),
        _ => {}
    }
    let unsupported = || fail(format!("unsupported operand type(s) for {op}: '{}' and '{}'", a.kind(), b.kind()));
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return whole(op, x, y);
    }
    let number = |value: &Value| match value {
        Value::Float(x) => Some(*x),
        other => other.as_int().map(|n| n as f64),
    };
    let (Some(x), Some(y)) = (number(a), number(b)) else { return unsupported() };
    if y == 0.0 && ["/", "//", "%"].contains(&op) {
        return fail("float division by zero");
    }
    Ok(Value::Float(match op {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "//" => floored(x, y).0,
        "%" => floored(x, y).1,
        _ => power(x, y)?,
    }))
}

fn power(x: f64, y: f64) -> Result<f64> {
    if x == 0.0 && y < 0.0 {
        return fail("0.0 cannot be raised to a negative power");
    }
    if x < 0.0 && y.fract() != 0.0 {
        return fail("a root of a negative number is not real");
    }
    let power = libm::pow(x, y);
    if power.is_infinite() && x.is_finite() && y.is_finite() { fail("Numerical result out of range") } else { Ok(power) }
}

/// `x // y` and `x % y`, as Python has them of floats.
fn floored(x: f64, y: f64) -> (f64, f64) {
    let mut rest = x % y;
    let mut quotient = (x - rest) / y;
    if rest != 0.0 && (y < 0.0) != (rest < 0.0) {
        rest += y;
        quotient -= 1.0;
    }
    if rest == 0.0 {
        rest = 0.0_f64.copysign(y);
    }
    let whole = quotient.floor();
    (if quotient - whole > 0.5 { whole + 1.0 } else { whole }, rest)
}

fn whole(op: &str, x: i128, y: i128) -> Result<Value> {
    let sized = |n: Option<i128>| n.map_or_else(|| fail(TOO_LARGE), |n| Ok(Value::Int(n)));
    match op {
        "+" => sized(x.checked_add(y)),
        "-" => sized(x.checked_sub(y)),
        "*" => sized(x.checked_mul(y)),
        "/" if y == 0 => fail("division by zero"),
        "//" | "%" if y == 0 => fail("integer division or modulo by zero"),
        "/" => Ok(Value::Float(x as f64 / y as f64)),
        "//" => {
            let down = i128::from(x % y != 0 && (x < 0) != (y < 0));
            sized(x.checked_div(y).and_then(|n| n.checked_sub(down)))
        }
        "%" => sized(x.checked_rem(y).map(|rest| if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest })),
        _ if y < 0 && x == 0 => fail("0.0 cannot be raised to a negative power"),
        _ if y < 0 => Ok(Value::Float(power(x as f64, y as f64)?)),
        _ => match (x, u32::try_from(y)) {
            (0 | 1, _) => Ok(Value::Int(if y == 0 { 1 } else { x })),
            (-1, _) => Ok(Value::Int(if y % 2 == 0 { 1 } else { -1 })),
            (_, Ok(y)) => sized(x.checked_pow(y)),
            _ => fail(TOO_LARGE),
        },
    }
}

fn repeated(value: &Value, n: &Value, world: &World<'_>) -> Result<Value> {
    let n = usize::try_from(n.as_int().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
    match value {
        Value::Text(text, safe) => {
            world.meter.text(text.len().saturating_mul(n))?;
            Ok(Value::Text(if text.is_empty() { "".into() } else { text.repeat(n).into() }, *safe))
        }
        Value::List(items) | Value::Tuple(items) => {
            world.meter.values(items.items.len().saturating_mul(n))?;
            let n = if items.items.is_empty() { 0 } else { n };
            let many: Vec<Value> = std::iter::repeat_n(&items.items, n).flatten().cloned().collect();
            if matches!(value, Value::List(_)) { Value::list(many, &world.meter) } else { Value::tuple(many, &world.meter) }
        }
        other => fail(format!("can't multiply '{}'", other.kind())),
    }
}

/// `-a` or `+a`.
pub fn signed(op: &str, a: &Value) -> Result<Value> {
    match (a.there()?, op) {
        (Value::Float(x), "-") => Ok(Value::Float(-x)),
        (Value::Float(x), _) => Ok(Value::Float(*x)),
        (other, op) => match other.as_int() {
            Some(n) => n.checked_mul(if op == "-" { -1 } else { 1 }).map_or_else(|| fail(TOO_LARGE), |n| Ok(Value::Int(n))),
            None => fail(format!("bad operand type for unary {op}: '{}'", other.kind())),
        },
    }
}

/// `a ~ b ~ ...`.
pub fn concat(parts: &[Value], world: &World<'_>) -> Result<Value> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Value::Text(text, _) => {
                world.meter.text(text.len())?;
                whole.push_str(text);
            }
            other => whole.push_str(&shown(other, world)?),
        }
    }
    world.meter.text(whole.len())?;
    Ok(Value::text(whole))
}
