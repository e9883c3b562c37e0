//! Jinja's filters: `x | NAME`.

mod numbers;
mod paths;
mod rows;
mod texts;
mod wrap;

use super::args::{Args, text};
use super::error::{Result, fail};
use super::json::to_json;
use super::tests::test;
use super::value::Value;
use super::world::World;
use paths::Path;

/// Names of all filters.
pub const NAMES: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

/// `value | NAME(args)`.
pub fn filter(name: &str, value: Value, args: Args, world: &World<'_>) -> Result<Value> {
    world.meter.steps(1)?;
    match name {
        "tojson" => to_json(&value, args, world),
        "map" => map(&value, args, world),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, &value, args, world),
        "random" => fail("the filter 'random' is not known to this program: two renderings must be equal"),
        "urlize" => fail("the filter 'urlize' is not known to this program"),
        _ => match texts::filter(name, &value, &args, world)? {
            Some(done) => Ok(done),
            None => match rows::filter(name, &value, &args, world)? {
                Some(done) => Ok(done),
                None => match numbers::filter(name, &value, &args, world)? {
                    Some(done) => Ok(done),
                    None => fail(format!("No filter named '{name}'.")),
                },
            },
        },
    }
}

fn map(value: &Value, mut args: Args, world: &World<'_>) -> Result<Value> {
    if !value.is_true() {
        return Value::once(Vec::new(), &world.meter);
    }
    let items = value.walk(&world.meter)?;
    let mapped: Result<Vec<Value>> = if args.positional.is_empty() {
        let [attribute, default] = args.bind("map", ["attribute", "default"])?;
        let Some(attribute) = attribute else { return fail("map requires a filter argument") };
        let path = Path::of(&attribute)?;
        items
            .iter()
            .map(|item| path.of_item(item, default.as_ref().filter(|value| !matches!(value, Value::None)), world))
            .collect()
    } else {
        let name = text(&args.positional.remove(0), "map")?.clone();
        items.into_iter().map(|item| filter(&name, item, args.clone(), world)).collect()
    };
    Value::once(mapped?, &world.meter)
}

fn select(name: &str, value: &Value, mut args: Args, world: &World<'_>) -> Result<Value> {
    if !value.is_true() {
        return Value::once(Vec::new(), &world.meter);
    }
    let keeps = name.starts_with("select");
    let path = match name.ends_with("attr") {
        true if args.positional.is_empty() => return fail("Missing parameter for attribute name"),
        true => Some(Path::of(&args.positional.remove(0))?),
        false => None,
    };
    let asked = if args.positional.is_empty() { None } else { Some(text(&args.positional.remove(0), name)?.clone()) };
    let mut kept = Vec::new();
    for item in value.walk(&world.meter)? {
        let looked_at = match &path {
            Some(path) => path.of_item(&item, None, world)?,
            None => item.clone(),
        };
        let is = match &asked {
            Some(asked) => test(asked, &looked_at, args.clone(), &NAMES, world)?,
            None => looked_at.is_true(),
        };
        if is == keeps {
            kept.push(item);
        }
    }
    Value::once(kept, &world.meter)
}
