//! `'{} and {name!r:>8}'.format(...)`.

use std::sync::Arc;

use super::args::Args;
use super::error::{Result, fail};
use super::items::{attribute, item};
use super::numerals::{Layout, MAX_PRECISION, fixed, general, laid_out, radix, scientific};
use super::shown::{float, quoted, repr, shown};
use super::value::Value;
use super::world::World;

/// Python's `str.format`.
pub fn format(text: &str, args: &Args, world: &World<'_>) -> Result<String> {
    let mut counted = 0;
    formatted(text, args, &mut counted, true, world)
}

fn formatted(text: &str, args: &Args, counted: &mut usize, nests: bool, world: &World<'_>) -> Result<String> {
    world.meter.text(text.len())?;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return fail("Single '}' encountered in format string");
        }
        let Some(end) = closing(after) else { return fail("expected '}' before end of string") };
        let (field, behind) = (&after[..end], &after[end + 1..]);
        rest = behind;
        let split = field.find(['!', ':']).unwrap_or(field.len());
        let (name, mut how) = field.split_at(split);
        let mut conversion = None;
        if let Some(converted) = how.strip_prefix('!') {
            let Some(letter) = converted.chars().next() else {
                return fail("end of string while looking for conversion specifier");
            };
            conversion = Some(letter);
            how = &converted[letter.len_utf8()..];
        }
        let spec = how.strip_prefix(':').unwrap_or(how);
        let value = looked_up(name, args, counted, world)?;
        let spec = match spec.contains('{') {
            true if nests => formatted(spec, args, counted, false, world)?,
            true => return fail("Max string recursion exceeded"),
            false => spec.to_string(),
        };
        let value = match conversion {
            None => value,
            Some('s') => Value::text(shown(&value, world)?),
            Some('r' | 'a') => {
                let mut text = String::new();
                repr(&value, world, &mut text)?;
                Value::text(text)
            }
            Some(other) => return fail(format!("Unknown conversion specifier {other}")),
        };
        let text = put(&value, &spec, world)?;
        world.meter.text(text.len())?;
        out.push_str(&text);
    }
    Ok(out + rest)
}

/// Bytes up to the brace that closes a field.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn looked_up(name: &str, args: &Args, counted: &mut usize, world: &World<'_>) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut path) = name.split_at(end);
    let numbered = |at: usize| match args.positional.get(at) {
        Some(value) => Ok(value.clone()),
        None => fail("Replacement index out of range for positional args tuple"),
    };
    let mut value = if first.is_empty() {
        *counted += 1;
        numbered(*counted - 1)?
    } else if let Ok(at) = first.parse::<usize>() {
        numbered(at)?
    } else {
        match args.named.iter().find(|(known, _)| **known == *first) {
            Some((_, value)) => value.clone(),
            None => return fail(format!("KeyError: {}", quoted(first))),
        }
    };
    while !path.is_empty() {
        if let Some(inner) = path.strip_prefix('[') {
            let Some((key, after)) = inner.split_once(']') else { return fail("Missing ']' in format string") };
            let key = key.parse::<i128>().map_or_else(|_| Value::text(key), Value::Int);
            value = item(&value, &key, world)?;
            path = after;
        } else {
            let inner = path.strip_prefix('.').unwrap_or(path);
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (name, after) = inner.split_at(end);
            value = attribute(&value, &Arc::from(name), world)?;
            path = after;
        }
    }
    Ok(value)
}

/// `value` as the specification after the colon says.
fn put(value: &Value, spec: &str, world: &World<'_>) -> Result<String> {
    if spec.is_empty() {
        return shown(value, world);
    }
    let mut chars: Vec<char> = spec.chars().collect();
    let mut layout = Layout { align: ' ', ..Layout::default() };
    let is_align = |c: &char| "<>^=".contains(*c);
    if chars.get(1).is_some_and(is_align) {
        (layout.fill, layout.align) = (chars[0], chars[1]);
        chars.drain(..2);
    } else if chars.first().is_some_and(is_align) {
        layout.align = chars.remove(0);
    }
    if let Some(sign) = chars.first().copied().filter(|c| "+- ".contains(*c)) {
        layout.sign = sign;
        chars.remove(0);
    }
    if chars.first() == Some(&'#') {
        layout.alternate = true;
        chars.remove(0);
    }
    if chars.first() == Some(&'0') {
        if layout.align == ' ' {
            (layout.fill, layout.align) = ('0', if matches!(value, Value::Text(..)) { '<' } else { '=' });
        }
        chars.remove(0);
    }
    let number = |chars: &mut Vec<char>| -> Result<Option<usize>> {
        let n = chars.iter().take_while(|c| c.is_ascii_digit()).count();
        let digits: String = chars.drain(..n).collect();
        if digits.is_empty() {
            Ok(None)
        } else {
            digits.parse().map(Some).or_else(|_| fail("Too many decimal digits in format string"))
        }
    };
    layout.width = number(&mut chars)?.unwrap_or(0);
    let grouped = chars.first().copied().filter(|c| ",_".contains(*c));
    if grouped.is_some() {
        chars.remove(0);
    }
    let mut precision = None;
    if chars.first() == Some(&'.') {
        chars.remove(0);
        precision = number(&mut chars)?;
        if precision.is_none() {
            return fail("Format specifier missing precision");
        }
    }
    let letter = match chars[..] {
        [] => None,
        [letter] => Some(letter),
        _ => return fail(format!("Invalid format specifier '{spec}'")),
    };
    world.meter.text(layout.width)?;
    if precision.is_some_and(|n| n > MAX_PRECISION) && !matches!(value, Value::Text(..)) {
        return fail("precision too big");
    }
    let (digits, is_number) = written(value, letter, precision, &layout, world)?;
    if layout.align == ' ' {
        layout.align = if is_number { '>' } else { '<' };
    }
    let digits = match grouped {
        Some(mark) if is_number => thousands(&digits, mark),
        _ => digits,
    };
    Ok(laid_out(&digits, &layout))
}

fn written(
    value: &Value,
    letter: Option<char>,
    precision: Option<usize>,
    layout: &Layout,
    world: &World<'_>,
) -> Result<(String, bool)> {
    let unknown = || fail(format!("Unknown format code '{}' for object of type '{}'", letter.unwrap_or(' '), value.kind()));
    match (value, letter) {
        (Value::Text(text, _), None | Some('s')) => Ok((text.chars().take(precision.unwrap_or(usize::MAX)).collect(), false)),
        (Value::Bool(_), None) => Ok((shown(value, world)?, false)),
        (Value::Int(n), None | Some('d' | 'n')) => Ok((n.to_string(), true)),
        (Value::Int(n), Some(letter @ ('x' | 'X' | 'o' | 'b'))) => Ok((radix(*n, letter, layout.alternate), true)),
        (Value::Int(n), Some('c')) => match u32::try_from(*n).ok().and_then(char::from_u32) {
            Some(c) => Ok((c.to_string(), false)),
            None => fail("%c arg not in range(0x110000)"),
        },
        (Value::Bool(truth), Some('d')) => Ok((i128::from(*truth).to_string(), true)),
        (Value::Float(_) | Value::Int(_) | Value::Bool(_), letter) => {
            let x = match value {
                Value::Float(x) => *x,
                other => other.as_int().unwrap_or(0) as f64,
            };
            let digits = match letter {
                None => match precision {
                    None => float(x),
                    Some(precision) => {
                        let digits = general(x, precision, layout.alternate);
                        if digits.contains(['.', 'e', 'n', 'i']) { digits } else { digits + ".0" }
                    }
                },
                Some('f' | 'F') => fixed(x, precision.unwrap_or(6)),
                Some('e') => scientific(x, precision.unwrap_or(6)),
                Some('E') => scientific(x, precision.unwrap_or(6)).to_uppercase(),
                Some('g' | 'n') => general(x, precision.unwrap_or(6), layout.alternate),
                Some('G') => general(x, precision.unwrap_or(6), layout.alternate).to_uppercase(),
                Some('%') => fixed(x * 100.0, precision.unwrap_or(6)) + "%",
                Some(_) => return unknown(),
            };
            Ok((digits, true))
        }
        _ => fail(format!("unsupported format string passed to {}.__format__", value.kind())),
    }
}

fn thousands(digits: &str, mark: char) -> String {
    let begins = usize::from(digits.starts_with('-'));
    let ends = digits[begins..].find(|c: char| !c.is_ascii_digit()).map_or(digits.len(), |at| begins + at);
    let mut grouped = digits[..begins].to_string();
    for (at, c) in digits[begins..ends].chars().enumerate() {
        if at > 0 && (ends - begins - at).is_multiple_of(3) {
            grouped.push(mark);
        }
        grouped.push(c);
    }
    grouped + &digits[ends..]
}
