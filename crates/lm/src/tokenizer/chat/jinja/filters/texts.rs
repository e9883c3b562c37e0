//! Filters of texts.

use super::super::args::{Args, text, whole, whole_or};
use super::super::cases::{capitalized, lines};
use super::super::error::{Result, fail};
use super::super::escape::{escaped, stripped as without_tags};
use super::super::lexer::is_space;
use super::super::methods::{padded, replaced, stripped};
use super::super::percent::percent;
use super::super::shown::{quoted, repr, shown};
use super::super::value::Value;
use super::super::world::World;
use super::wrap::wrap;

/// The filter `name`, if it is one of texts.
pub fn filter(name: &str, value: &Value, args: &Args, world: &World<'_>) -> Result<Option<Value>> {
    let meter = &world.meter;
    let args = args.clone();
    Ok(Some(match name {
        "upper" | "lower" | "capitalize" | "title" | "string" | "striptags" | "wordcount" | "e" | "escape" | "forceescape"
        | "safe" | "pprint" => {
            let [] = args.exactly(name, [])?;
            plain(name, value, world)?
        }
        "trim" => {
            let [chars] = args.bind(name, ["chars"])?;
            Value::text(stripped(&shown(value, world)?, chars.as_ref(), "strip", world)?)
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old, new) else { return fail("replace needs what is replaced, and by what") };
            let count = whole_or(count.as_ref().filter(|count| !matches!(count, Value::None)), -1, name)?;
            let (held, old, new) = (shown(value, world)?, shown(&old, world)?, shown(&new, world)?);
            Value::text(replaced(&held, &old, &new, count, world)?)
        }
        "center" => {
            let [width] = args.bind(name, ["width"])?;
            Value::text(padded(&shown(value, world)?, name, whole_or(width.as_ref(), 80, name)?, " ", world)?)
        }
        "format" => {
            let given = if args.named.is_empty() {
                Value::tuple(args.positional, meter)?
            } else if args.positional.is_empty() {
                let entries = args.named.into_iter().map(|(name, value)| (Value::text(name), value)).collect();
                Value::Dict(std::rc::Rc::new(super::super::value::Dict::new(entries, meter)?))
            } else {
                return fail("can't handle positional and keyword arguments at the same time");
            };
            Value::text(percent(&shown(value, world)?, &given, world)?)
        }
        "indent" => indent(text(value, name)?, args, world)?,
        "truncate" => truncate(value, args, world)?,
        "wordwrap" => {
            let [width, breaks, between, hyphens] =
                args.bind(name, ["width", "break_long_words", "wrapstring", "break_on_hyphens"])?;
            let width = whole_or(width.as_ref(), 79, name)?;
            if width <= 0 {
                return fail(format!("invalid width {width} (must be > 0)"));
            }
            let is_on = |value: Option<Value>| value.is_none_or(|value| value.is_true());
            let between = match between.filter(|value| !matches!(value, Value::None)) {
                Some(between) => text(&between, name)?.to_string(),
                None => "\n".into(),
            };
            let held = text(value, name)?;
            meter.text(held.len().saturating_mul(2))?;
            let width = usize::try_from(width).unwrap_or(usize::MAX);
            let (breaks, hyphens) = (is_on(breaks), is_on(hyphens));
            let wrapped = |line: &&str| wrap(line, width, breaks, hyphens);
            let lines: Vec<Vec<String>> = lines(held, false).iter().map(wrapped).collect();
            let n: usize = lines.iter().map(Vec::len).sum();
            meter.text(n.saturating_mul(between.len() + 24))?;
            Value::text(lines.into_iter().map(|parts| parts.join(&between)).collect::<Vec<_>>().join(&between))
        }
        "urlencode" => Value::text(url_encoded(value, world)?),
        "xmlattr" => {
            let [autospace] = args.bind(name, ["autospace"])?;
            let Value::Dict(dict) = value else { return fail(format!("xmlattr: '{}' object has no items", value.kind())) };
            let mut pairs = Vec::new();
            for (key, value) in &dict.entries {
                if matches!(value, Value::None | Value::Undefined(_)) {
                    continue;
                }
                let key = shown(key, world)?;
                if key.contains(|c: char| c.is_ascii_whitespace() || "/>=\u{b}".contains(c)) {
                    return fail(format!("Invalid character in attribute name: {}", quoted(&key)));
                }
                let value = shown(value, world)?;
                meter.text(5 * (key.len() + value.len()))?;
                pairs.push(format!("{}=\"{}\"", escaped(&key), escaped(&value)));
            }
            let blank = autospace.is_none_or(|value| value.is_true()) && !pairs.is_empty();
            Value::text(format!("{}{}", if blank { " " } else { "" }, pairs.join(" ")))
        }
        _ => return Ok(None),
    }))
}

fn plain(name: &str, value: &Value, world: &World<'_>) -> Result<Value> {
    let held = match (name, value) {
        ("string", Value::Text(..)) => return Ok(value.clone()),
        ("e" | "escape", Value::Text(_, true)) => return Ok(value.clone()),
        ("pprint", value) => {
            let mut text = String::new();
            repr(value, world, &mut text)?;
            if text.chars().count() > 80 {
                return fail("pprint of more than 80 characters is not known to this program");
            }
            return Ok(Value::text(text));
        }
        (_, value) => shown(value, world)?,
    };
    world.meter.text(6 * held.len())?;
    Ok(match name {
        "upper" => Value::text(held.to_uppercase()),
        "lower" => Value::text(held.to_lowercase()),
        "capitalize" => Value::text(capitalized(&held)),
        "title" => {
            let mut begins = true;
            let mut titled = String::with_capacity(held.len());
            for c in held.chars() {
                let parts = is_space(c) || "-({[<".contains(c);
                if parts {
                    titled.push(c);
                } else if begins {
                    titled.extend(c.to_uppercase());
                } else {
                    titled.extend(c.to_lowercase());
                }
                begins = parts;
            }
            Value::text(titled)
        }
        "striptags" => Value::text(without_tags(&held)),
        "wordcount" => {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            Value::Int(held.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count() as i128)
        }
        "e" | "escape" | "forceescape" => Value::Text(escaped(&held).into(), true),
        "safe" => Value::Text(held.into(), true),
        _ => Value::text(held),
    })
}

fn indent(held: &str, args: Args, world: &World<'_>) -> Result<Value> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"])?;
    let margin = match &width {
        Some(Value::Text(text, _)) => text.to_string(),
        width => {
            let n = usize::try_from(whole_or(width.as_ref(), 4, "indent")?.max(0)).unwrap_or(usize::MAX);
            world.meter.text(n)?;
            " ".repeat(n)
        }
    };
    let is_on = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let (first, blank) = (is_on(first), is_on(blank));
    // Jinja adds an end of line, so that the last line is one even where it is empty
    let ended = format!("{held}\n");
    let lines = lines(&ended, false);
    world.meter.text(ended.len() + lines.len().saturating_mul(margin.len() + 1))?;
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at > 0 && (blank || !line.is_empty())) || (at == 0 && first) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Value::text(out))
}

fn truncate(value: &Value, args: Args, world: &World<'_>) -> Result<Value> {
    let [length, kills, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"])?;
    let length = whole_or(length.as_ref(), 255, "truncate")?;
    let end = match &end {
        Some(end) => text(end, "truncate")?.to_string(),
        None => "...".into(),
    };
    let leeway = match leeway {
        Some(Value::None) | None => 5,
        Some(leeway) => whole(&leeway, "truncate")?,
    };
    let ends = end.chars().count() as i128;
    if length < ends || leeway < 0 {
        return fail(format!("truncate: expected length >= {ends} and leeway >= 0, got {length} and {leeway}"));
    }
    let Some(n) = value.len() else { return fail(format!("object of type '{}' has no len()", value.kind())) };
    if n as i128 <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let held = text(value, "truncate")?;
    world.meter.text(4 * held.len())?;
    let cut: String = held.chars().take(usize::try_from(length - ends).unwrap_or(usize::MAX)).collect();
    let kept = if kills.is_some_and(|kills| kills.is_true()) {
        &cut[..]
    } else {
        cut.rsplit_once(' ').map_or(&cut[..], |(kept, _)| kept)
    };
    Ok(Value::text(format!("{kept}{end}")))
}

fn url_encoded(value: &Value, world: &World<'_>) -> Result<String> {
    let encoded = |value: &Value, in_query: bool| -> Result<String> {
        let held = shown(value, world)?;
        world.meter.text(3 * held.len())?;
        let mut out = String::new();
        for byte in held.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte.into()),
                b'/' if !in_query => out.push('/'),
                b' ' if in_query => out.push('+'),
                byte => out.push_str(&format!("%{byte:02X}")),
            }
        }
        Ok(out)
    };
    let pairs: Vec<(Value, Value)> = match value {
        Value::Dict(dict) => dict.entries.clone(),
        Value::Text(..) => return encoded(value, false),
        other if !other.is_walkable() => return encoded(value, false),
        other => {
            let mut pairs = Vec::new();
            for item in other.walk(&world.meter)? {
                match &item.walk(&world.meter)?[..] {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    parts => return fail(format!("urlencode: pairs are wanted, and one has {} parts", parts.len())),
                }
            }
            pairs
        }
    };
    let pair = |(key, value): &(Value, Value)| Ok(format!("{}={}", encoded(key, true)?, encoded(value, true)?));
    Ok(pairs.iter().map(pair).collect::<Result<Vec<_>>>()?.join("&"))
}
