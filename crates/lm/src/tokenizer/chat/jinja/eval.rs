//! Expressions.

use std::rc::Rc;
use std::sync::Arc;

use super::args::Args;
use super::ast::{Arguments, Expr, Kind};
use super::compare::{compare, equal, hashable};
use super::error::{Result, fail};
use super::filters::{NAMES, filter};
use super::interp::Interp;
use super::items::{attribute, item, slice};
use super::ops::{arithmetic, concat, signed};
use super::tests::test;
use super::value::{Dict, Value};

impl Interp<'_> {
    /// The value of an expression.
    pub fn eval(&mut self, expr: &Expr) -> Result<Value> {
        self.world.meter.steps(1)?;
        match &expr.kind {
            Kind::None => Ok(Value::None),
            Kind::Bool(truth) => Ok(Value::Bool(*truth)),
            Kind::Int(n) => Ok(Value::Int(*n)),
            Kind::Float(x) => Ok(Value::Float(*x)),
            Kind::Text(text) => Ok(Value::Text(text.clone(), false)),
            Kind::Name(name) => Ok(self.look_up(name)),
            Kind::Block => Ok(self.look_up(&Arc::from(BLOCK))),
            _ => self.deeper(|interp| interp.compound(expr)),
        }
    }

    fn compound(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            Kind::Attribute(of, name) => {
                let held = self.eval(of)?;
                attribute(&held, name, &self.world)
            }
            Kind::Filter(of, name, arguments) => self.filtered(of, name, arguments),
            Kind::Call(callee, arguments) => {
                let callee = self.eval(callee)?;
                let args = self.arguments(arguments)?;
                self.call(&callee, args)
            }
            Kind::Arithmetic(op, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                arithmetic(op, &left, &right, &self.world)
            }
            Kind::And(left, right) => {
                let left = self.eval(left)?;
                if left.is_true() { self.eval(right) } else { Ok(left) }
            }
            Kind::Or(left, right) => {
                let left = self.eval(left)?;
                if left.is_true() { Ok(left) } else { self.eval(right) }
            }
            Kind::Not(inner) => Ok(Value::Bool(!self.eval(inner)?.is_true())),
            Kind::If { test, then, otherwise } => match (self.eval(test)?.is_true(), otherwise) {
                (true, _) => self.eval(then),
                (false, Some(otherwise)) => self.eval(otherwise),
                (false, None) => {
                    Ok(Value::undefined("the inline if-expression evaluated to false and no else section was defined."))
                }
            },
            _ => self.other(expr),
        }
    }

    /// Expressions that are met less often.
    #[inline(never)]
    fn other(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            Kind::List(parts) => {
                let items = self.all(parts)?;
                Value::list(items, &self.world.meter)
            }
            Kind::Tuple(parts) => {
                let items = self.all(parts)?;
                Value::tuple(items, &self.world.meter)
            }
            Kind::Concat(parts) => {
                let parts = self.all(parts)?;
                concat(&parts, &self.world)
            }
            Kind::Dict(parts) => self.dict(parts),
            Kind::Negative(inner) => signed("-", &self.eval(inner)?),
            Kind::Positive(inner) => signed("+", &self.eval(inner)?),
            Kind::Compare(first, others) => {
                let mut left = self.eval(first)?;
                for (op, right) in others {
                    let right = self.eval(right)?;
                    if !compare(op, &left, &right, &self.world.meter)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Kind::Item(of, key) => {
                let (held, key) = (self.eval(of)?, self.eval(key)?);
                item(&held, &key, &self.world)
            }
            Kind::Slice(of, parts) => {
                let held = self.eval(of)?;
                let mut given = [None, None, None];
                for (given, part) in given.iter_mut().zip(parts) {
                    *given = part.as_ref().map(|part| self.eval(part)).transpose()?;
                }
                slice(&held, given, &self.world)
            }
            Kind::Test(of, name, arguments) => {
                let value = self.eval(of)?;
                let args = self.arguments(arguments)?;
                Ok(Value::Bool(test(name, &value, args, &NAMES, &self.world)?))
            }
            _ => fail("an expression is not known"),
        }
    }

    fn all(&mut self, parts: &[Expr]) -> Result<Vec<Value>> {
        parts.iter().map(|part| self.eval(part)).collect()
    }

    #[inline(never)]
    fn filtered(&mut self, of: &Expr, name: &str, arguments: &Arguments) -> Result<Value> {
        let value = self.eval(of)?;
        let args = self.arguments(arguments)?;
        filter(name, value, args, &self.world)
    }

    #[inline(never)]
    fn dict(&mut self, parts: &[(Expr, Expr)]) -> Result<Value> {
        let mut entries: Vec<(Value, Value)> = Vec::with_capacity(parts.len());
        for (key, value) in parts {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            self.enter(&mut entries, key, value)?;
        }
        Ok(Value::Dict(Rc::new(Dict::new(entries, &self.world.meter)?)))
    }

    /// Puts a value under a key, in place of what is there.
    pub fn enter(&mut self, entries: &mut Vec<(Value, Value)>, key: Value, value: Value) -> Result<()> {
        hashable(&key)?;
        for (known, held) in entries.iter_mut() {
            if equal(known, &key, &self.world.meter)? {
                *held = value;
                return Ok(());
            }
        }
        entries.push((key, value));
        Ok(())
    }

    /// The arguments of a call.
    #[inline(never)]
    pub fn arguments(&mut self, arguments: &Arguments) -> Result<Args> {
        let mut args = Args { positional: self.all(&arguments.positional)?, named: Vec::new() };
        for (name, value) in &arguments.named {
            if args.named.iter().any(|(known, _)| known == name) {
                return fail(format!("keyword argument repeated: {name}"));
            }
            args.named.push((name.clone(), self.eval(value)?));
        }
        if let Some(star) = &arguments.star {
            let star = self.eval(star)?;
            args.positional.extend(star.walk(&self.world.meter)?);
        }
        if let Some(double_star) = &arguments.double_star {
            let Value::Dict(dict) = self.eval(double_star)? else { return fail("argument after ** must be a mapping") };
            for (key, value) in &dict.entries {
                let Value::Text(name, _) = key else { return fail("keywords must be strings") };
                if args.named.iter().any(|(known, _)| known == name) {
                    return fail(format!("got multiple values for keyword argument '{name}'"));
                }
                args.named.push((name.clone(), value.clone()));
            }
        }
        Ok(args)
    }
}

/// The name of what a block wrote, for the filters behind it; no template can write it.
pub const BLOCK: &str = "{block}";
