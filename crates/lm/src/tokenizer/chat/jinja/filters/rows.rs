//! Filters of lists and dictionaries.

use std::rc::Rc;

use super::super::args::{Args, text, whole};
use super::super::compare::{equal, hashable, order, sorted};
use super::super::error::{Result, fail};
use super::super::items::attribute;
use super::super::ops::arithmetic;
use super::super::shown::show;
use super::super::value::{Items, Value, View};
use super::super::world::World;
use super::paths::{Path, caseless};

fn is_on(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// The filter `name`, if it is one of lists.
pub fn filter(name: &str, value: &Value, args: &Args, world: &World<'_>) -> Result<Option<Value>> {
    let meter = &world.meter;
    let args = args.clone();
    Ok(Some(match name {
        "length" | "count" => {
            let [] = args.exactly(name, [])?;
            match value.len() {
                Some(n) => Value::Int(n as i128),
                None => return fail(format!("object of type '{}' has no len()", value.kind())),
            }
        }
        "list" => {
            let [] = args.exactly(name, [])?;
            Value::list(value.walk(meter)?, meter)?
        }
        "items" => {
            let [] = args.exactly(name, [])?;
            match value {
                Value::Undefined(_) => Value::once(Vec::new(), meter)?,
                Value::Dict(dict) => Value::once(Value::View(dict.clone(), View::Items).walk(meter)?, meter)?,
                _ => return fail("Can only get item pairs from a mapping."),
            }
        }
        "first" | "last" => {
            let [] = args.exactly(name, [])?;
            let mut items = match value {
                Value::Once(_) if name == "last" => return fail("'generator' object is not reversible"),
                Value::Once(once) => once.left.borrow_mut().pop_front().into_iter().collect(),
                other => other.walk(meter)?,
            };
            let found = if name == "first" { (!items.is_empty()).then(|| items.swap_remove(0)) } else { items.pop() };
            found.unwrap_or_else(|| Value::undefined(format!("No {name} item, sequence was empty.")))
        }
        "reverse" => {
            let [] = args.exactly(name, [])?;
            match value {
                Value::Text(text, safe) => {
                    meter.text(text.len())?;
                    Value::Text(text.chars().rev().collect::<String>().into(), *safe)
                }
                other => {
                    let mut items = other.walk(meter)?;
                    items.reverse();
                    // a generator is put into a list first
                    if matches!(other, Value::Once(_)) { Value::list(items, meter)? } else { Value::once(items, meter)? }
                }
            }
        }
        "join" => {
            let [between, by] = args.bind(name, ["d", "attribute"])?;
            let mut glue = String::new();
            if let Some(between) = &between {
                show(between, world, &mut glue)?;
            }
            let path = by.filter(|by| !matches!(by, Value::None)).map(|by| Path::of(&by)).transpose()?;
            let mut joined = String::new();
            for (at, item) in value.walk(meter)?.iter().enumerate() {
                if at > 0 {
                    meter.text(glue.len())?;
                    joined.push_str(&glue);
                }
                match &path {
                    Some(path) => show(&path.of_item(item, None, world)?, world, &mut joined)?,
                    None => show(item, world, &mut joined)?,
                }
            }
            Value::text(joined)
        }
        "sort" => {
            let [reverse, cased, by] = args.bind(name, ["reverse", "case_sensitive", "attribute"])?;
            let paths = Path::several(&by.unwrap_or(Value::None))?;
            let mut keyed = Vec::new();
            for item in value.walk(meter)? {
                let mut keys = Vec::new();
                for path in &paths {
                    let key = path.of_item(&item, None, world)?;
                    keys.push(if is_on(cased.as_ref()) { key } else { caseless(key, world)? });
                }
                keyed.push((Value::list(keys, meter)?, item));
            }
            Value::list(sorted(keyed, is_on(reverse.as_ref()), meter)?, meter)?
        }
        "dictsort" => {
            let [cased, by, reverse] = args.bind(name, ["case_sensitive", "by", "reverse"])?;
            let Value::Dict(dict) = value.there()? else {
                return fail(format!("'{}' object has no attribute 'items'", value.kind()));
            };
            let by_value = match by.as_ref().map(|by| text(by, name)).transpose()?.map(|by| &**by) {
                None | Some("key") => false,
                Some("value") => true,
                Some(_) => return fail("You can only sort by either \"key\" or \"value\""),
            };
            let mut keyed = Vec::new();
            for (key, value) in &dict.entries {
                let by = if by_value { value } else { key }.clone();
                let by = if is_on(cased.as_ref()) { by } else { caseless(by, world)? };
                keyed.push((by, Value::tuple(vec![key.clone(), value.clone()], meter)?));
            }
            Value::list(sorted(keyed, is_on(reverse.as_ref()), meter)?, meter)?
        }
        "unique" => {
            let [cased, by] = args.bind(name, ["case_sensitive", "attribute"])?;
            let path = Path::of(&by.unwrap_or(Value::None))?;
            let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            for item in value.walk(meter)? {
                let key = path.of_item(&item, None, world)?;
                let key = if is_on(cased.as_ref()) { key } else { caseless(key, world)? };
                hashable(&key)?;
                let mut new = true;
                for other in &seen {
                    new = new && !equal(other, &key, meter)?;
                }
                if new {
                    seen.push(key);
                    kept.push(item);
                }
            }
            Value::once(kept, meter)?
        }
        "min" | "max" => {
            let [cased, by] = args.bind(name, ["case_sensitive", "attribute"])?;
            let path = Path::of(&by.unwrap_or(Value::None))?;
            let mut best: Option<(Value, Value)> = None;
            for item in value.walk(meter)? {
                let key = path.of_item(&item, None, world)?;
                let key = if is_on(cased.as_ref()) { key } else { caseless(key, world)? };
                let better = match &best {
                    None => true,
                    Some((held, _)) => {
                        let op = if name == "min" { "<" } else { ">" };
                        let wanted = if name == "min" { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
                        order(&key, held, op, meter)? == Some(wanted)
                    }
                };
                if better {
                    best = Some((key, item));
                }
            }
            best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty."), |(_, item)| item)
        }
        "sum" => {
            let [by, start] = args.bind(name, ["attribute", "start"])?;
            let path = Path::of(&by.unwrap_or(Value::None))?;
            let mut sum = start.unwrap_or(Value::Int(0));
            if matches!(sum, Value::Text(..)) {
                return fail("sum() can't sum strings [use ''.join(seq) instead]");
            }
            for item in value.walk(meter)? {
                sum = arithmetic("+", &sum, &path.of_item(&item, None, world)?, world)?;
            }
            sum
        }
        "groupby" => groups(value, args, world)?,
        "batch" | "slice" => parts(name, value, args, world)?,
        "attr" => {
            let [wanted] = args.exactly(name, ["name"])?;
            let wanted = text(&wanted, name)?;
            // an attribute alone, never an item
            match value {
                Value::Dict(dict)
                    if dict.get(wanted).is_some() && !["copy", "get", "items", "keys", "values"].contains(&&**wanted) =>
                {
                    Value::undefined(format!("'dict object' has no attribute '{wanted}'"))
                }
                other => attribute(other, wanted, world)?,
            }
        }
        "default" | "d" => {
            let [default, boolean] = args.bind(name, ["default_value", "boolean"])?;
            let replaces = matches!(value, Value::Undefined(_)) || is_on(boolean.as_ref()) && !value.is_true();
            if replaces { default.unwrap_or_else(|| Value::text("")) } else { value.clone() }
        }
        _ => return Ok(None),
    }))
}

fn groups(value: &Value, args: Args, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    let [by, default, cased] = args.bind("groupby", ["attribute", "default", "case_sensitive"])?;
    let Some(by) = by else { return fail("groupby needs an attribute") };
    let (path, cased) = (Path::of(&by)?, is_on(cased.as_ref()));
    let default = default.filter(|default| !matches!(default, Value::None));
    let mut keyed = Vec::new();
    for item in value.walk(meter)? {
        let real = path.of_item(&item, default.as_ref(), world)?;
        let key = if cased { real.clone() } else { caseless(real.clone(), world)? };
        keyed.push((key.clone(), Value::tuple(vec![key, real, item], meter)?));
    }
    let mut grouped: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in sorted(keyed, false, meter)? {
        let Value::Tuple(parts) = &entry else { continue };
        let [key, real, item] = &parts.items[..] else { continue };
        match grouped.last_mut() {
            Some((last, _, members)) if equal(last, key, meter)? => members.push(item.clone()),
            _ => grouped.push((key.clone(), real.clone(), vec![item.clone()])),
        }
    }
    let group = |(_, real, members): (Value, Value, Vec<Value>)| -> Result<Value> {
        let items = Items::new(vec![real, Value::list(members, meter)?], meter)?;
        Ok(Value::Tuple(Rc::new(Items { names: &["grouper", "list"], ..items })))
    };
    Value::list(grouped.into_iter().map(group).collect::<Result<_>>()?, meter)
}

/// `batch` makes rows of so many values, `slice` so many rows.
fn parts(name: &str, value: &Value, args: Args, world: &World<'_>) -> Result<Value> {
    let meter = &world.meter;
    let [n, fill] = args.bind(name, [if name == "batch" { "linecount" } else { "slices" }, "fill_with"])?;
    let Some(n) = n else { return fail(format!("{name} needs a number")) };
    let n = whole(&n, name)?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let items = value.walk(meter)?;
    let mut rows = Vec::new();
    if name == "batch" {
        // Jinja compares a row's length with the number: none reaches one that is not above 0
        let width = usize::try_from(n).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
        for row in items.chunks(width.min(items.len().max(1))) {
            let mut row = row.to_vec();
            if let Some(fill) = &fill {
                let missing = usize::try_from(n).unwrap_or(0).saturating_sub(row.len());
                meter.values(missing)?;
                row.extend(std::iter::repeat_n(fill.clone(), missing));
            }
            rows.push(Value::list(row, meter)?);
        }
    } else {
        let Some(slices) = usize::try_from(n).ok().filter(|n| *n > 0) else { return fail("integer division or modulo by zero") };
        meter.values(slices)?;
        let (each, longer) = (items.len() / slices, items.len() % slices);
        let mut rest = &items[..];
        for at in 0..slices {
            let (row, left) = rest.split_at(each + usize::from(at < longer));
            rest = left;
            let mut row = row.to_vec();
            if let Some(fill) = fill.as_ref().filter(|_| longer > 0 && at >= longer) {
                row.push(fill.clone());
            }
            rows.push(Value::list(row, meter)?);
        }
    }
    Value::once(rows, meter)
}
