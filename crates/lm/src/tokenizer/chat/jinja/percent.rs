//! `'%s of %d' % (a, b)`, and `format` of filters.

use super::error::{Result, fail};
use super::numerals::{Layout, MAX_PRECISION, fixed, general, grouped_digits, laid_out, radix, scientific};
use super::shown::{repr, shown};
use super::value::Value;
use super::world::World;

/// Python's `text % args`.
pub fn percent(text: &str, args: &Value, world: &World<'_>) -> Result<String> {
    let listed = match args {
        Value::Tuple(items) => items.items.clone(),
        one => vec![one.clone()],
    };
    let mut left = listed.iter();
    let mut out = String::new();
    let mut rest = text;
    let mut named = false;
    while let Some((before, spec)) = rest.split_once('%') {
        world.meter.text(before.len() + 1)?;
        out.push_str(before);
        let mut spec = spec;
        let mut key = None;
        if let Some(inner) = spec.strip_prefix('(') {
            let Some((name, after)) = inner.split_once(')') else { return fail("incomplete format key") };
            let Value::Dict(dict) = args else { return fail("format requires a mapping") };
            let Some(value) = dict.get(name) else { return fail(format!("KeyError: '{name}'")) };
            key = Some(value.clone());
            named = true;
            spec = after;
        }
        let mut layout = Layout { align: '>', ..Layout::default() };
        let flags = spec.len() - spec.trim_start_matches(['-', '+', ' ', '#', '0']).len();
        for flag in spec[..flags].chars() {
            match flag {
                '-' => layout.align = '<',
                '+' => layout.sign = '+',
                ' ' if layout.sign != '+' => layout.sign = ' ',
                '#' => layout.alternate = true,
                '0' => layout.zero = true,
                _ => {}
            }
        }
        spec = &spec[flags..];
        let mut number = |spec: &mut &str| -> Result<Option<i128>> {
            if let Some(after) = spec.strip_prefix('*') {
                *spec = after;
                return match left.next().and_then(Value::as_int) {
                    Some(n) => Ok(Some(n)),
                    None => fail("* wants int"),
                };
            }
            let n = spec.len() - spec.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (digits, after) = spec.split_at(n);
            *spec = after;
            if digits.is_empty() { Ok(None) } else { digits.parse().map(Some).or_else(|_| fail("width too big")) }
        };
        if let Some(width) = number(&mut spec)? {
            if width < 0 {
                layout.align = '<';
            }
            layout.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        }
        let mut precision = None;
        if let Some(after) = spec.strip_prefix('.') {
            spec = after;
            precision = Some(usize::try_from(number(&mut spec)?.unwrap_or(0).max(0)).unwrap_or(usize::MAX));
        }
        spec = spec.trim_start_matches(['h', 'l', 'L']);
        let Some(letter) = spec.chars().next() else { return fail("incomplete format") };
        rest = &spec[letter.len_utf8()..];
        if letter == '%' {
            out.push('%');
            continue;
        }
        let value = match key.or_else(|| left.next().cloned()) {
            Some(value) => value,
            None => return fail("not enough arguments for format string"),
        };
        world.meter.text(layout.width.saturating_add(precision.unwrap_or(0)))?;
        out.push_str(&one(letter, &value, &layout, precision, world)?);
    }
    let whole_mapping = named
        || (matches!(args, Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_))
            && left.len() == listed.len());
    if left.next().is_some() && !whole_mapping {
        return fail("not all arguments converted during string formatting");
    }
    world.meter.text(rest.len())?;
    Ok(out + rest)
}

fn one(letter: char, value: &Value, layout: &Layout, precision: Option<usize>, world: &World<'_>) -> Result<String> {
    let text_layout = Layout { zero: false, sign: '-', ..*layout };
    let cut = |text: String| -> String { text.chars().take(precision.unwrap_or(usize::MAX)).collect() };
    match letter {
        's' => Ok(laid_out(&cut(shown(value, world)?), &text_layout)),
        'r' | 'a' => {
            let mut text = String::new();
            repr(value, world, &mut text)?;
            Ok(laid_out(&cut(text), &text_layout))
        }
        'c' => {
            let c = match value {
                Value::Text(text, _) if text.chars().count() == 1 => text.to_string(),
                other => match other.as_int().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32) {
                    Some(c) => c.to_string(),
                    None => return fail("%c requires int or char"),
                },
            };
            Ok(laid_out(&c, &text_layout))
        }
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let n = match (value.there()?, value.as_int()) {
                (_, Some(n)) => n,
                (Value::Float(x), _) if "diu".contains(letter) && x.is_finite() => x.trunc() as i128,
                (other, _) => return fail(format!("%{letter} format: a real number is required, not {}", other.kind())),
            };
            let mut digits = radix(n, letter, layout.alternate);
            if let Some(least) = precision {
                digits = grouped_digits(&digits, least);
            }
            Ok(laid_out(&digits, layout))
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let x = match (value.there()?, value.as_int()) {
                (Value::Float(x), _) => *x,
                (_, Some(n)) => n as f64,
                (other, _) => return fail(format!("must be real number, not {}", other.kind())),
            };
            let precision = precision.unwrap_or(6);
            if precision > MAX_PRECISION {
                return fail("precision too big");
            }
            let digits = match letter.to_ascii_lowercase() {
                'f' => fixed(x, precision),
                'e' => scientific(x, precision),
                _ => general(x, precision, layout.alternate),
            };
            Ok(laid_out(&if letter.is_ascii_uppercase() { digits.to_uppercase() } else { digits }, layout))
        }
        other => fail(format!("unsupported format character '{other}'")),
    }
}
