//! Jinja as transformers sets it up for chat templates: blocks that leave no blank lines behind, Python's methods on strings
//! and dictionaries, `tojson` as `json.dumps` writes, `raise_exception`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, escape_formatter};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

/// Steps after which a template is held never to end; the longest known ones take some hundreds for each message.
const FUEL: u64 = 20_000_000;
/// Marks errors that a template raised itself.
const RAISED: &str = "raised by the template: ";

/// An environment that holds one template.
pub(super) fn environment(name: &'static str, source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        ValueKind::None => Ok(out.write_str("None")?),
        _ => escape_formatter(out, state, value),
    });
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |why: &str| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{why}")))
    });
    environment.add_template_owned(name, without_generation_blocks(source))?;
    Ok(environment)
}

/// What a template says in `raise_exception`, if that is what the error is.
pub(super) fn refusal(error: &Error) -> Option<String> {
    error.detail()?.strip_prefix(RAISED).map(|why| why.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The error and its line in the template.
pub(super) fn one_line(error: &Error) -> String {
    let what = error.to_string();
    what.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// transformers puts `{% generation %} ... {% endgeneration %}` around what a model says, to mark it in training; for the text
/// it is a block that is always written.
fn without_generation_blocks(source: &str) -> String {
    let mut rest = source;
    let mut written = String::with_capacity(source.len());
    while let Some((before, tag)) = rest.split_once("{%") {
        let Some((inside, after)) = tag.split_once("%}") else { break };
        let name = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let replacement = match name {
            "generation" => inside.replace("generation", "if true"),
            "endgeneration" => inside.replace("endgeneration", "endif"),
            _ => inside.into(),
        };
        written.extend([before, "{%", &replacement, "%}"]);
        rest = after;
    }
    written + rest
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            let blanks = " ".repeat(width);
            let formatter = PrettyFormatter::with_indent(blanks.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Spaced)),
    };
    let invalid = |why: String| Error::new(ErrorKind::InvalidOperation, format!("tojson: {why}"));
    written.map_err(|error| invalid(error.to_string()))?;
    Ok(Value::from(String::from_utf8(json).map_err(|error| invalid(error.to_string()))?))
}

/// JSON on one line, with a blank after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
