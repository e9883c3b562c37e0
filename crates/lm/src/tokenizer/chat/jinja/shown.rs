//! Values as text: Python's `str` and `repr`.

use super::error::{Result, fail};
use super::value::{Dict, Function, Items, Value, View};
use super::world::World;

/// Python's `str`.
pub fn shown(value: &Value, world: &World<'_>) -> Result<String> {
    let mut text = String::new();
    show(value, world, &mut text)?;
    Ok(text)
}

/// Writes Python's `str` to `out`.
pub fn show(value: &Value, world: &World<'_>, out: &mut String) -> Result<()> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::Text(text, _) => {
            world.meter.text(text.len())?;
            out.push_str(text);
            Ok(())
        }
        other => repr(other, world, out),
    }
}

/// Writes Python's `repr` to `out`.
pub fn repr(value: &Value, world: &World<'_>, out: &mut String) -> Result<()> {
    world.meter.text(8)?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(truth) => out.push_str(if *truth { "True" } else { "False" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Float(x) => out.push_str(&float(*x)),
        Value::Text(text, safe) => {
            world.meter.text(text.len())?;
            let quoted = quoted(text);
            out.push_str(&if *safe { format!("Markup({quoted})") } else { quoted });
        }
        Value::List(items) => {
            out.push('[');
            row(items, world, out)?;
            out.push(']');
        }
        Value::Tuple(items) => {
            out.push('(');
            row(items, world, out)?;
            out.push_str(if items.items.len() == 1 { ",)" } else { ")" });
        }
        Value::Dict(held) => dict(held, world, out)?,
        Value::Range(range) => {
            out.push_str(&format!("range({}, {}", range.start, range.stop));
            out.push_str(&if range.step == 1 { ")".into() } else { format!(", {})", range.step) });
        }
        Value::View(_, side) => {
            out.push_str(match side {
                View::Items => "dict_items(",
                View::Keys => "dict_keys(",
                View::Values => "dict_values(",
            });
            let listed = Value::list(value.walk(&world.meter)?, &world.meter)?;
            repr(&listed, world, out)?;
            out.push(')');
        }
        Value::Namespace(place) => {
            out.push_str("<Namespace {");
            // one that holds another may hold itself: what is inside is not followed
            for (at, (name, value)) in world.namespace(*place).iter().enumerate() {
                out.push_str(&format!("{}{}: ", if at > 0 { ", " } else { "" }, quoted(name)));
                match holds_namespace(value, world)? {
                    true => return fail("a namespace within another cannot be shown"),
                    false => repr(value, world, out)?,
                }
            }
            out.push_str("}>");
        }
        Value::Function(Function::Dict) => out.push_str("<class 'dict'>"),
        Value::Macro(closure) => out.push_str(&format!("<Macro {}>", quoted(&closure.code.name))),
        Value::Loop(state) => out.push_str(&format!("<LoopContext {}/{}>", state.at.get() + 1, state.items.len())),
        other => return fail(format!("a {} cannot be shown: Python would write its address", other.kind())),
    }
    Ok(())
}

fn holds_namespace(value: &Value, world: &World<'_>) -> Result<bool> {
    world.meter.steps(1)?;
    let any = |values: &mut dyn Iterator<Item = &Value>| -> Result<bool> {
        for value in values {
            if holds_namespace(value, world)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match value {
        Value::Namespace(_) => Ok(true),
        Value::List(items) | Value::Tuple(items) => any(&mut items.items.iter()),
        Value::Dict(dict) | Value::View(dict, _) => any(&mut dict.entries.iter().flat_map(|(key, value)| [key, value])),
        _ => Ok(false),
    }
}

fn row(items: &Items, world: &World<'_>, out: &mut String) -> Result<()> {
    for (at, item) in items.items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        repr(item, world, out)?;
    }
    Ok(())
}

fn dict(dict: &Dict, world: &World<'_>, out: &mut String) -> Result<()> {
    out.push('{');
    for (at, (key, value)) in dict.entries.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        repr(key, world, out)?;
        out.push_str(": ");
        repr(value, world, out)?;
    }
    out.push('}');
    Ok(())
}

/// A float as `repr` writes it: the fewest digits that give it back, with an exponent below 1e-4 and from 1e16 on.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Text as `repr` writes it.
pub fn quoted(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(mark);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == mark => quoted.extend(['\\', c]),
            c if is_printable(c) => quoted.push(c),
            c => {
                let code = u32::from(c);
                quoted.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    quoted.push(mark);
    quoted
}

/// Python's `str.isprintable`, but for code points without a character, of which it knows by its version of Unicode. Stand-ins for
/// characters of messages are not written as codes.
pub fn is_printable(c: char) -> bool {
    let formats = matches!(
        c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..='\u{ffffd}'
    );
    c == ' ' || !(c.is_control() || c.is_whitespace() || formats)
}
