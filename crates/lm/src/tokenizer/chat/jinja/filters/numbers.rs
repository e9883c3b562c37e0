//! Filters of numbers.

use super::super::args::{Args, text, whole_or};
use super::super::error::{Result, fail};
use super::super::numerals::fixed;
use super::super::ops::signed;
use super::super::value::Value;
use super::super::world::World;

/// The filter `name`, if it is one of numbers.
pub fn filter(name: &str, value: &Value, args: &Args, world: &World<'_>) -> Result<Option<Value>> {
    world.meter.steps(1)?;
    let args = args.clone();
    Ok(Some(match name {
        "abs" => {
            let [] = args.exactly(name, [])?;
            match value.there()? {
                Value::Float(x) => Value::Float(x.abs()),
                other => match other.as_int() {
                    Some(n) if n < 0 => signed("-", other)?,
                    Some(n) => Value::Int(n),
                    None => return fail(format!("bad operand type for abs(): '{}'", other.kind())),
                },
            }
        }
        "int" => {
            let [default, base] = args.bind(name, ["default", "base"])?;
            let base = whole_or(base.as_ref(), 10, name)?;
            to_int(value, base)?.unwrap_or(default.unwrap_or(Value::Int(0)))
        }
        "float" => {
            let [default] = args.bind(name, ["default"])?;
            to_float(value.there()?).map_or(default.unwrap_or(Value::Float(0.0)), Value::Float)
        }
        "round" => {
            let [precision, method] = args.bind(name, ["precision", "method"])?;
            let precision = whole_or(precision.as_ref(), 0, name)?;
            let method = match &method {
                None => "common".into(),
                Some(method) => text(method, name)?.to_string(),
            };
            round(value, precision, &method)?
        }
        "filesizeformat" => {
            let [binary] = args.bind(name, ["binary"])?;
            let Some(bytes) = to_float(value) else { return fail("filesizeformat: a number is wanted") };
            Value::text(size(bytes, binary.is_some_and(|binary| binary.is_true())))
        }
        _ => return Ok(None),
    }))
}

/// Python's `int`; `None` where Jinja takes the default.
fn to_int(value: &Value, base: i128) -> Result<Option<Value>> {
    value.there()?;
    let of_float = |x: f64| match x {
        x if x.is_nan() || x.is_infinite() => Ok(None),
        x if x.abs() < 1.7e38 => Ok(Some(Value::Int(x.trunc() as i128))),
        _ => fail("a number is too large for this program"),
    };
    match value {
        Value::Float(x) if x.is_infinite() => fail("cannot convert float infinity to integer"),
        Value::Float(x) => of_float(*x),
        Value::Text(text, _) => {
            if base != 0 && !(2..=36).contains(&base) {
                return to_float(value).map_or(Ok(None), of_float);
            }
            match parsed(text, base) {
                Some(n) => Ok(Some(Value::Int(n))),
                None => to_float(value).map_or(Ok(None), of_float),
            }
        }
        other => Ok(other.as_int().map(Value::Int)),
    }
}

/// Python's `int(text, base)`.
fn parsed(text: &str, base: i128) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let marks = [("0x", 16), ("0o", 8), ("0b", 2)];
    let marked = marks.iter().find(|(mark, radix)| lower.starts_with(mark) && (base == *radix || base == 0));
    let (digits, radix) = match marked {
        Some((_, radix)) => (lower[2..].strip_prefix('_').unwrap_or(&lower[2..]), *radix),
        None => (&lower[..], if base == 0 { 10 } else { base }),
    };
    let odd = digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__");
    if odd || base == 0 && marked.is_none() && digits.len() > 1 && digits.starts_with('0') && !digits.trim_matches('0').is_empty()
    {
        return None;
    }
    let n = i128::from_str_radix(&digits.replace('_', ""), u32::try_from(radix).ok()?).ok()?;
    Some(if negative { -n } else { n })
}

/// Python's `float`.
fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Text(text, _) => {
            let text = text.trim();
            let digits = text.trim_start_matches(['-', '+']);
            let word = ["inf", "infinity", "nan"].contains(&digits.to_ascii_lowercase().as_str());
            let fits = word || digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            if !fits || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
                return None;
            }
            text.replace('_', "").parse().ok()
        }
        other => other.as_int().map(|n| n as f64),
    }
}

fn round(value: &Value, precision: i128, method: &str) -> Result<Value> {
    if !["common", "ceil", "floor"].contains(&method) {
        return fail("method must be common, ceil or floor");
    }
    let x = match (value.there()?, value.as_int()) {
        (Value::Float(x), _) => *x,
        (_, Some(n)) if method == "common" && precision >= 0 => return Ok(Value::Int(n)),
        (_, Some(n)) => n as f64,
        (other, _) => return fail(format!("type {} doesn't define __round__ method", other.kind())),
    };
    let places = precision.clamp(-400, 400) as i32;
    let scale = 10_f64.powi(places);
    let rounded = match method {
        "ceil" => (x * scale).ceil() / scale,
        "floor" => (x * scale).floor() / scale,
        _ if places >= 0 => fixed(x, places as usize).parse().unwrap_or(x),
        _ => (x * scale).round_ties_even() / scale,
    };
    match value {
        Value::Float(_) => Ok(Value::Float(rounded)),
        // whole numbers stay whole under `round`, and become floats under the others
        _ if method == "common" => Ok(Value::Int(rounded as i128)),
        _ => Ok(Value::Float(rounded)),
    }
}

fn size(bytes: f64, binary: bool) -> String {
    let (base, infix) = if binary { (1024.0, "iB") } else { (1000.0, "B") };
    if bytes == 1.0 {
        return "1 Byte".into();
    }
    if bytes < base {
        return format!("{} Bytes", bytes.trunc());
    }
    let letters = if binary { ["K", "M", "G", "T", "P", "E", "Z", "Y"] } else { ["k", "M", "G", "T", "P", "E", "Z", "Y"] };
    let mut unit = base * base;
    for letter in &letters[..7] {
        if bytes < unit {
            return format!("{} {letter}{infix}", fixed(base * bytes / unit, 1));
        }
        unit *= base;
    }
    format!("{} Y{infix}", fixed(base * bytes / unit, 1))
}
