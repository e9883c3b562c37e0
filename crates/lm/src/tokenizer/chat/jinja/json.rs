//! `tojson` as transformers has it: Python's `json.dumps(x, ensure_ascii=False, ...)`; and JSON as values.

use super::args::Args;
use super::compare::sorted;
use super::error::{Result, fail};
use super::shown::float;
use super::value::{Dict, Value};
use super::world::World;

struct Style {
    ascii: bool,
    indent: Option<String>,
    between: String,
    colon: String,
    sorts: bool,
}

/// The filter `tojson`.
pub fn to_json(value: &Value, args: Args, world: &World<'_>) -> Result<Value> {
    let [ascii, indent, separators, sorts] = args.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Text(text, _)) => Some(text.to_string()),
        Some(other) => match other.as_int() {
            Some(n) => {
                let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
                world.meter.text(n)?;
                Some(" ".repeat(n))
            }
            None => return fail(format!("tojson: indent must be a number or a text, not {}", other.kind())),
        },
    };
    let (between, colon) = match separators {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
        Some(Value::Tuple(pair) | Value::List(pair)) => match &pair.items[..] {
            [Value::Text(between, _), Value::Text(colon, _)] => (between.to_string(), colon.to_string()),
            _ => return fail("tojson: separators must be two texts"),
        },
        Some(other) => return fail(format!("tojson: separators must be two texts, not {}", other.kind())),
    };
    let is_set = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let style = Style { ascii: is_set(ascii), indent, between, colon, sorts: is_set(sorts) };
    let mut out = String::new();
    write(value, &style, 0, world, &mut out)?;
    Ok(Value::text(out))
}

fn write(value: &Value, style: &Style, level: usize, world: &World<'_>, out: &mut String) -> Result<()> {
    world.meter.text(8)?;
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Float(x) => out.push_str(&number(*x)),
        Value::Text(text, _) => string(text, style, world, out)?,
        Value::List(items) | Value::Tuple(items) => {
            let each = |at: usize, out: &mut String| write(&items.items[at], style, level + 1, world, out);
            enclosed(('[', ']'), items.items.len(), style, level, world, out, each)?;
        }
        Value::Dict(dict) => {
            let mut entries: Vec<(Value, Value)> = dict.entries.clone();
            if style.sorts {
                let keyed = (0..entries.len()).map(|at| (entries[at].0.clone(), Value::Int(at as i128))).collect();
                let order = sorted(keyed, false, &world.meter)?;
                let at = |place: Value| place.as_int().and_then(|at| entries.get(at as usize)).cloned();
                entries = order.into_iter().filter_map(at).collect();
            }
            let each = |at: usize, out: &mut String| {
                let (key, value) = &entries[at];
                match key {
                    Value::Text(text, _) => string(text, style, world, out)?,
                    Value::Bool(_) | Value::None | Value::Int(_) | Value::Float(_) => {
                        out.push('"');
                        write(key, style, level, world, out)?;
                        out.push('"');
                    }
                    other => return fail(format!("keys must be str, int, float, bool or None, not {}", other.kind())),
                }
                out.push_str(&style.colon);
                write(value, style, level + 1, world, out)
            };
            enclosed(('{', '}'), entries.len(), style, level, world, out, each)?;
        }
        other => return fail(format!("Object of type {} is not JSON serializable", other.kind())),
    }
    Ok(())
}

fn enclosed(
    (open, close): (char, char),
    n: usize,
    style: &Style,
    level: usize,
    world: &World<'_>,
    out: &mut String,
    each: impl Fn(usize, &mut String) -> Result<()>,
) -> Result<()> {
    out.push(open);
    let line = |level: usize, out: &mut String| -> Result<()> {
        if let Some(indent) = &style.indent {
            world.meter.text(1 + indent.len().saturating_mul(level))?;
            out.push('\n');
            (0..level).for_each(|_| out.push_str(indent));
        }
        Ok(())
    };
    for at in 0..n {
        if at > 0 {
            world.meter.text(style.between.len() + style.colon.len())?;
            out.push_str(&style.between);
        }
        line(level + 1, out)?;
        each(at, out)?;
    }
    if n > 0 {
        line(level, out)?;
    }
    out.push(close);
    Ok(())
}

fn number(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        x if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        x => float(x),
    }
}

fn string(text: &str, style: &Style, world: &World<'_>, out: &mut String) -> Result<()> {
    world.meter.text(text.len())?;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if style.ascii && (!c.is_ascii() || c == '\u{7f}') => {
                if c == '\u{7f}' {
                    out.push(c);
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

/// JSON as a value.
pub fn of_json(json: &serde_json::Value, world: &World<'_>) -> Result<Value> {
    Ok(match json {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::Int(n.into()),
            (None, Some(n)) => Value::Int(n.into()),
            _ => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => {
            world.meter.text(text.len())?;
            Value::text(text.as_str())
        }
        serde_json::Value::Array(items) => {
            Value::list(items.iter().map(|item| of_json(item, world)).collect::<Result<_>>()?, &world.meter)?
        }
        serde_json::Value::Object(members) => {
            let entry = |(key, value): (&String, &serde_json::Value)| Ok((Value::text(key.as_str()), of_json(value, world)?));
            let entries = members.iter().map(entry).collect::<Result<_>>()?;
            Value::Dict(std::rc::Rc::new(Dict::new(entries, &world.meter)?))
        }
    })
}
