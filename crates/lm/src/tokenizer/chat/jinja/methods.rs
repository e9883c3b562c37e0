//! Methods of Python's texts, lists and dictionaries.

use super::args::{Args, text, whole, whole_or};
use super::cases;
use super::compare::{equal, find};
use super::error::{Result, fail};
use super::format::format;
use super::lexer::is_space;
use super::shown::shown;
use super::value::{Value, View};
use super::world::World;

/// `value.name(args)`.
pub fn call(value: &Value, name: &str, args: Args, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    meter.steps(1)?;
    match (value, name) {
        (Value::Text(held, _), _) => text_method(held, name, args, world),
        (Value::Dict(dict), "get") => {
            let [key, default] = args.bind(name, ["key", "default"])?;
            let Some(key) = key else { return fail("get expected at least 1 argument, got 0") };
            Ok(find(dict, &key, meter)?.cloned().unwrap_or(default.unwrap_or(Value::None)))
        }
        (Value::Dict(dict), "items" | "keys" | "values") => {
            let [] = args.exactly(name, [])?;
            let side = match name {
                "items" => View::Items,
                "keys" => View::Keys,
                _ => View::Values,
            };
            Ok(Value::View(dict.clone(), side))
        }
        (Value::Dict(_) | Value::List(_), "copy") => {
            let [] = args.exactly(name, [])?;
            Ok(value.clone())
        }
        (Value::List(_) | Value::Tuple(_) | Value::Range(_), "count") => {
            let [wanted] = args.exactly(name, ["value"])?;
            let mut n = 0;
            for item in value.walk(meter)? {
                n += i128::from(equal(&item, &wanted, meter)?);
            }
            Ok(Value::Int(n))
        }
        (Value::List(_) | Value::Tuple(_) | Value::Range(_), "index") => {
            let [wanted, start, stop] = args.bind(name, ["value", "start", "stop"])?;
            let Some(wanted) = wanted else { return fail("index expected at least 1 argument, got 0") };
            let items = value.walk(meter)?;
            let n = items.len() as i128;
            let place = |at: i128| (if at < 0 { (at + n).max(0) } else { at.min(n) }) as usize;
            let (start, stop) = (place(whole_or(start.as_ref(), 0, name)?), place(whole_or(stop.as_ref(), n, name)?));
            for (at, item) in items.iter().enumerate().take(stop).skip(start) {
                if equal(item, &wanted, meter)? {
                    return Ok(Value::Int(at as i128));
                }
            }
            fail(format!("{} is not in {}", shown(&wanted, world)?, value.kind()))
        }
        (Value::Float(x), _) => Ok(Value::Bool(x.fract() == 0.0)),
        (other, _) => match other.as_int() {
            Some(n) => Ok(Value::Int(i128::from(128 - n.unsigned_abs().leading_zeros()))),
            None => fail(format!("'{}' object has no method '{name}'", other.kind())),
        },
    }
}

/// What is left of `text` without white space, or characters of `chars`, at the ends that `sides` says.
pub fn stripped<'t>(held: &'t str, chars: Option<&Value>, sides: &str, world: &World<'_>) -> Result<&'t str> {
    let named: Option<Vec<char>> = match chars {
        None | Some(Value::None) => None,
        Some(value) => Some(text(value, "strip")?.chars().collect()),
    };
    world.meter.steps(1 + named.as_ref().map_or(0, Vec::len) * held.len() / 64)?;
    let goes = |c: char| named.as_ref().map_or_else(|| is_space(c), |named| named.contains(&c));
    let held = if sides == "rstrip" { held } else { held.trim_start_matches(goes) };
    Ok(if sides == "lstrip" { held } else { held.trim_end_matches(goes) })
}

/// Bytes of the character `at`, which counts from the end if it is negative; never outside.
fn byte(held: &str, at: i128) -> usize {
    let n = held.chars().count() as i128;
    let at = if at < 0 { (at + n).max(0) } else { at };
    usize::try_from(at).ok().and_then(|at| held.char_indices().nth(at)).map_or(held.len(), |(byte, _)| byte)
}

/// `text.replace(old, new, count)`.
pub fn replaced(held: &str, old: &str, new: &str, count: i128, world: &World<'_>) -> Result<String> {
    world.meter.reads(held.len())?;
    let found = if old.is_empty() { held.chars().count() + 1 } else { held.matches(old).count() };
    let n = if count < 0 { found } else { found.min(usize::try_from(count).unwrap_or(found)) };
    world.meter.text(held.len() + n.saturating_mul(new.len()))?;
    Ok(held.replacen(old, new, n))
}

fn text_method(held: &str, name: &str, args: Args, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    // every method makes about as much as there is, but those that are told how much: these count it themselves
    meter.text(held.len())?;
    let count = |at: Option<usize>| Value::Int(at.map_or(-1, |at| held[..at].chars().count() as i128));
    if let Some(is) = cases::asked(name, held) {
        let [] = args.exactly(name, [])?;
        return Ok(Value::Bool(is));
    }
    Ok(match name {
        "upper" | "lower" | "casefold" | "capitalize" | "swapcase" | "title" => {
            let [] = args.exactly(name, [])?;
            Value::text(match name {
                "upper" => held.to_uppercase(),
                "lower" => held.to_lowercase(),
                "casefold" => held.to_lowercase().replace('ß', "ss"),
                "capitalize" => cases::capitalized(held),
                "swapcase" => cases::swapped(held),
                _ => cases::titled(held),
            })
        }
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(name, ["chars"])?;
            Value::text(stripped(held, chars.as_ref(), name, world)?)
        }
        "split" | "rsplit" => {
            let [sep, most] = args.bind(name, ["sep", "maxsplit"])?;
            let most = usize::try_from(whole_or(most.as_ref(), -1, name)?).unwrap_or(usize::MAX);
            let parts: Vec<&str> = match sep.filter(|sep| !matches!(sep, Value::None)) {
                None => blank_split(held, most, name == "rsplit"),
                Some(sep) => {
                    let sep = text(&sep, name)?.clone();
                    if sep.is_empty() {
                        return fail("empty separator");
                    }
                    let most = most.saturating_add(1);
                    if name == "split" {
                        held.splitn(most, &*sep).collect()
                    } else {
                        let mut parts: Vec<&str> = held.rsplitn(most, &*sep).collect();
                        parts.reverse();
                        parts
                    }
                }
            };
            meter.values(parts.len())?;
            Value::list(parts.into_iter().map(Value::text).collect(), meter)?
        }
        "splitlines" => {
            let [keeps] = args.bind(name, ["keepends"])?;
            let lines = cases::lines(held, keeps.is_some_and(|keeps| keeps.is_true()));
            meter.values(lines.len())?;
            Value::list(lines.into_iter().map(Value::text).collect(), meter)?
        }
        "partition" | "rpartition" => {
            let [sep] = args.exactly(name, ["sep"])?;
            let sep = text(&sep, name)?;
            if sep.is_empty() {
                return fail("empty separator");
            }
            let cut = if name == "partition" { held.split_once(&**sep) } else { held.rsplit_once(&**sep) };
            let parts = match cut {
                Some((before, after)) => [before, sep, after],
                None if name == "partition" => [held, "", ""],
                None => ["", "", held],
            };
            Value::tuple(parts.map(Value::text).into(), meter)?
        }
        "startswith" | "endswith" => {
            let [part, start, stop] = args.bind(name, ["prefix", "start", "end"])?;
            let Some(part) = part else { return fail(format!("{name} expected at least 1 argument, got 0")) };
            let (from, to) =
                (byte(held, whole_or(start.as_ref(), 0, name)?), byte(held, whole_or(stop.as_ref(), i128::MAX, name)?));
            let held = held.get(from..to).unwrap_or_default();
            let fits = |part: &Value| -> Result<bool> {
                let part = text(part, name)?;
                Ok(if name == "startswith" { held.starts_with(&**part) } else { held.ends_with(&**part) })
            };
            let mut found = false;
            match &part {
                Value::Tuple(parts) => {
                    for part in &parts.items {
                        found |= fits(part)?;
                    }
                }
                part => found = fits(part)?,
            }
            Value::Bool(found)
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [part, start, stop] = args.bind(name, ["sub", "start", "end"])?;
            let Some(part) = part else { return fail(format!("{name} expected at least 1 argument, got 0")) };
            let part = text(&part, name)?;
            let (from, to) =
                (byte(held, whole_or(start.as_ref(), 0, name)?), byte(held, whole_or(stop.as_ref(), i128::MAX, name)?));
            let within = held.get(from..to).unwrap_or_default();
            if name == "count" {
                let n = if part.is_empty() { within.chars().count() + 1 } else { within.matches(&**part).count() };
                return Ok(Value::Int(n as i128));
            }
            let at = if name.starts_with('r') { within.rfind(&**part) } else { within.find(&**part) };
            if at.is_none() && name.ends_with("index") {
                return fail("substring not found");
            }
            count(at.map(|at| from + at))
        }
        "replace" => {
            let [old, new, most] = args.bind(name, ["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old, new) else { return fail("replace expected at least 2 arguments") };
            Value::text(replaced(held, text(&old, name)?, text(&new, name)?, whole_or(most.as_ref(), -1, name)?, world)?)
        }
        "removeprefix" | "removesuffix" => {
            let [part] = args.exactly(name, ["part"])?;
            let part = text(&part, name)?;
            let cut = if name == "removeprefix" { held.strip_prefix(&**part) } else { held.strip_suffix(&**part) };
            Value::text(cut.unwrap_or(held))
        }
        "join" => {
            let [parts] = args.exactly(name, ["iterable"])?;
            let mut joined = String::new();
            for (at, part) in parts.there()?.walk(meter)?.iter().enumerate() {
                let Value::Text(part, _) = part else {
                    return fail(format!("sequence item {at}: expected str instance, {} found", part.kind()));
                };
                meter.text(held.len() + part.len())?;
                if at > 0 {
                    joined.push_str(held);
                }
                joined.push_str(part);
            }
            Value::text(joined)
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = args.bind(name, ["width", "fillchar"])?;
            let Some(width) = width else { return fail(format!("{name} expected at least 1 argument, got 0")) };
            let fill = match fill {
                Some(fill) => text(&fill, name)?.to_string(),
                None => " ".into(),
            };
            if fill.chars().count() != 1 {
                return fail("The fill character must be exactly one character long");
            }
            Value::text(padded(held, name, whole(&width, name)?, &fill, world)?)
        }
        "expandtabs" => {
            let [size] = args.bind(name, ["tabsize"])?;
            let size = usize::try_from(whole_or(size.as_ref(), 8, name)?.max(0)).unwrap_or(usize::MAX);
            meter.text(size.saturating_mul(held.matches('\t').count()))?;
            let (mut out, mut column) = (String::new(), 0);
            for c in held.chars() {
                match c {
                    '\t' => {
                        let blanks = if size == 0 { 0 } else { size - column % size };
                        out.push_str(&" ".repeat(blanks));
                        column += blanks;
                    }
                    c => {
                        out.push(c);
                        column = if c == '\n' || c == '\r' { 0 } else { column + 1 };
                    }
                }
            }
            Value::text(out)
        }
        "format" => Value::text(format(held, &args, world)?),
        "format_map" => {
            let [mapping] = args.exactly(name, ["mapping"])?;
            let Value::Dict(dict) = &mapping else { return fail("format_map requires a mapping") };
            let named = dict.entries.iter().filter_map(|(key, value)| match key {
                Value::Text(name, _) => Some((name.clone(), value.clone())),
                _ => None,
            });
            Value::text(format(held, &Args { positional: Vec::new(), named: named.collect() }, world)?)
        }
        _ => return fail(format!("the method `{name}` of texts is not known to this program")),
    })
}

/// `text` in a field of `width` characters.
pub fn padded(held: &str, how: &str, width: i128, fill: &str, world: &World<'_>) -> Result<String> {
    let n = held.chars().count();
    let missing = usize::try_from(width).unwrap_or(if width < 0 { 0 } else { usize::MAX }).saturating_sub(n);
    world.meter.text(missing.saturating_mul(fill.len()))?;
    Ok(match how {
        "ljust" => held.to_string() + &fill.repeat(missing),
        "rjust" => fill.repeat(missing) + held,
        "zfill" => {
            let signs = usize::from(held.starts_with(['-', '+']));
            format!("{}{}{}", &held[..signs], "0".repeat(missing), &held[signs..])
        }
        _ => {
            // Python puts the odd one to the left where the width is odd
            let left = missing / 2 + (missing & (n + missing) & 1);
            fill.repeat(left) + held + &fill.repeat(missing - left)
        }
    })
}

/// Parts between runs of white space, at most `most` cuts.
fn blank_split(held: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = if from_right { held.trim_end_matches(is_space) } else { held.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        match cut {
            Some(at) if parts.len() < most => {
                let n = rest[at..].chars().next().map_or(1, char::len_utf8);
                let (part, left) = if from_right {
                    (&rest[at + n..], rest[..at].trim_end_matches(is_space))
                } else {
                    (&rest[..at], rest[at..].trim_start_matches(is_space))
                };
                parts.push(part);
                rest = left;
            }
            _ => {
                parts.push(rest);
                break;
            }
        }
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// The methods of a loop and of a cycle, which keep something.
pub fn kept(value: &Value, name: &str, args: Args, world: &World<'_>) -> Result<Option<Value>> {
    match (value, name) {
        (Value::Loop(state), "cycle") => {
            if args.positional.is_empty() {
                return fail("no items for cycling given");
            }
            Ok(Some(args.positional[state.at.get() % args.positional.len()].clone()))
        }
        (Value::Loop(state), "changed") => {
            let now = args.positional;
            let before = state.changed.replace(Some(now.clone()));
            let same = match &before {
                Some(before) if before.len() == now.len() => {
                    let mut same = true;
                    for (a, b) in before.iter().zip(&now) {
                        same = same && equal(a, b, &world.meter)?;
                    }
                    same
                }
                _ => false,
            };
            Ok(Some(Value::Bool(!same)))
        }
        (Value::Cycler(held), "next") => {
            let now = held.items.get(held.at.get()).cloned();
            held.at.set((held.at.get() + 1) % held.items.len().max(1));
            Ok(now)
        }
        (Value::Cycler(held), "reset") => {
            held.at.set(0);
            Ok(Some(Value::None))
        }
        _ => Ok(None),
    }
}
