//! Jinja as transformers sets it up for chat templates, as Python's Jinja 3.1 computes it: `ImmutableSandboxedEnvironment` with
//! `trim_blocks`, `lstrip_blocks`, loop controls, `{% generation %}`, `tojson` as `json.dumps` writes, `raise_exception`.
//!
//! An interpreter of our own, since templates come with models from strangers and decide every token of a conversation: the
//! libraries there are compute other values than Python for common templates, and bound neither memory nor depth (see [`meter`]).
//! What Python leaves open (addresses, chance) and the filters `urlize` and `lipsum` are refused.

mod args;
mod ast;
mod call;
mod cases;
mod compare;
mod error;
mod escape;
mod eval;
mod exec;
mod filters;
mod format;
mod interp;
mod items;
mod json;
mod lexer;
mod literal;
mod meter;
mod methods;
mod numerals;
mod ops;
mod parser;
mod percent;
mod shown;
mod tests;
mod value;
mod world;

use std::rc::Rc;
use std::sync::Arc;

use error::{Result, fail};
use interp::Interp;
use meter::{MAX_SOURCE, Meter};
use value::{Dict, Value};
use world::{Clock, World};

/// A template, ready to be rendered.
#[derive(Debug)]
pub struct Template {
    body: Vec<ast::Stmt>,
}

/// What a template is told under a name.
#[derive(Debug, Clone)]
pub enum Told {
    /// Any value.
    Json(serde_json::Value),
    /// A list of dictionaries, their keys in this order.
    Records(Vec<Vec<(&'static str, String)>>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is no Jinja, is too long or too deeply nested.
    pub fn parse(source: &str) -> Result<Self> {
        if source.len() > MAX_SOURCE {
            return fail(format!("it has {} bytes; at most {MAX_SOURCE} are read", source.len()));
        }
        Ok(Self { body: parser::parse(source)? })
    }

    /// The text of a template that is told `names`; `clock` is its `strftime_now`, which it has none of without.
    ///
    /// # Errors
    /// When something is wrong in it, it takes too much, or it says so itself.
    pub fn render(&self, names: &[(String, Told)], clock: Option<Clock<'_>>) -> Result<String> {
        let world = World { meter: Meter::default(), namespaces: Default::default(), clock };
        let told = names.iter().map(|(name, told)| Ok((Arc::from(name.as_str()), value(told, &world)?)));
        let told = told.collect::<Result<Vec<_>>>()?;
        let mut interp = Interp::new(world, told);
        interp.body(&self.body)?;
        Ok(interp.written())
    }
}

fn value(told: &Told, world: &World<'_>) -> Result<Value> {
    let record = |record: &Vec<(&'static str, String)>| {
        let entry = |(key, text): &(&'static str, String)| (Value::text(*key), Value::text(text.as_str()));
        Ok(Value::Dict(Rc::new(Dict::new(record.iter().map(entry).collect(), &world.meter)?)))
    };
    match told {
        Told::Json(json) => json::of_json(json, world),
        Told::Records(records) => Value::list(records.iter().map(record).collect::<Result<_>>()?, &world.meter),
    }
}
