//! Statements.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Does, Expr, Loop, Macro, Stmt, Target};
use super::error::{Result, fail};
use super::eval::BLOCK;
use super::interp::Interp;
use super::shown::show;
use super::value::{Closure, LoopState, Value, deeper};

/// How statements go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Next,
    Break,
    Continue,
}

impl Interp<'_> {
    /// Works through statements.
    pub fn body(&mut self, body: &[Stmt]) -> Result<Flow> {
        self.deeper(|interp| {
            for stmt in body {
                interp.world.meter.steps(1)?;
                let flow = interp.statement(&stmt.kind).map_err(|error| error.at(stmt.line))?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn statement(&mut self, does: &Does) -> Result<Flow> {
        match does {
            Does::Text(text) => {
                self.world.meter.text(text.len())?;
                self.write(text);
            }
            Does::Print(expr) => self.print(expr)?,
            Does::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test)?.is_true() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            Does::For(code) => {
                let over = self.eval(&code.over)?;
                self.run_loop(code, &over, self.scope, 0)?;
            }
            Does::Set(target, value) => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            Does::Break => return Ok(Flow::Break),
            Does::Continue => return Ok(Flow::Continue),
            Does::With(bound, body) => {
                let values = bound.iter().map(|(_, value)| self.eval(value)).collect::<Result<Vec<_>>>()?;
                return self.scoped(self.scope, |interp| {
                    for ((target, _), value) in bound.iter().zip(values) {
                        interp.assign(target, value)?;
                    }
                    interp.body(body)
                });
            }
            Does::Scope(body) => return self.scoped(self.scope, |interp| interp.body(body)),
            other => self.made_of_text(other)?,
        }
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn print(&mut self, expr: &Expr) -> Result<()> {
        let value = self.eval(expr)?;
        let mut text = String::new();
        show(&value, &self.world, &mut text)?;
        self.write(&text);
        Ok(())
    }

    /// Statements that make something of what a body writes.
    #[inline(never)]
    fn made_of_text(&mut self, does: &Does) -> Result<()> {
        match does {
            Does::SetBlock(target, body, filters) => {
                let text = self.own_text(body)?;
                let value = match filters {
                    Some(filters) => self.of_block(text, filters)?,
                    None => text,
                };
                self.assign(target, value)
            }
            Does::Filter(filters, body) => {
                let text = self.own_text(body)?;
                let value = self.of_block(text, filters)?;
                let mut shown = String::new();
                show(&value, &self.world, &mut shown)?;
                self.write(&shown);
                Ok(())
            }
            Does::Macro(code) => {
                let made = self.made(code);
                self.set(&code.name, made)
            }
            Does::Call(call, code) => {
                let super::ast::Kind::Call(callee, arguments) = &call.kind else { return fail("expected call") };
                let callee = self.eval(callee)?;
                let mut args = self.arguments(arguments)?;
                let made = self.made(code);
                args.named.push(("caller".into(), made));
                let value = self.call(&callee, args)?;
                let mut shown = String::new();
                show(&value, &self.world, &mut shown)?;
                self.write(&shown);
                Ok(())
            }
            Does::Elsewhere(tag) => fail(format!("'{tag}' needs another template, and there is none")),
            _ => fail("a statement is not known"),
        }
    }

    /// A macro with the names of this scope.
    fn made(&mut self, code: &Arc<Macro>) -> Value {
        self.keep();
        Value::Macro(Rc::new(Closure { code: code.clone(), scope: self.scope }))
    }

    /// What a body writes, its names its own.
    fn own_text(&mut self, body: &[Stmt]) -> Result<Value> {
        let text = self.captured(|interp| interp.scoped(interp.scope, |interp| interp.body(body).map(|_| ())))?;
        Ok(Value::text(text))
    }

    /// `filters` of what a block wrote.
    fn of_block(&mut self, text: Value, filters: &Expr) -> Result<Value> {
        self.scoped(self.scope, |interp| {
            interp.set(&Arc::from(BLOCK), text)?;
            interp.eval(filters)
        })
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Member(name, member) => match self.look_up(name).there()? {
                Value::Namespace(place) => {
                    self.world.meter.values(1)?;
                    self.world.put(*place, member.clone(), value);
                    Ok(())
                }
                _ => fail("cannot assign attribute on non-namespace object"),
            },
            Target::Tuple(targets) => {
                let values = value.walk(&self.world.meter)?;
                if values.len() != targets.len() {
                    let few = if values.len() < targets.len() { "not enough" } else { "too many" };
                    return fail(format!("{few} values to unpack (expected {}, got {})", targets.len(), values.len()));
                }
                targets.iter().zip(values).try_for_each(|(target, value)| self.assign(target, value))
            }
        }
    }

    /// A loop over `over`, within the scope at `around`; `level` loops of the same body are around it.
    #[inline(never)]
    pub fn run_loop(&mut self, code: &Arc<Loop>, over: &Value, around: usize, level: usize) -> Result<Flow> {
        let mut items = over.walk(&self.world.meter)?;
        if let Some(test) = &code.test {
            let mut kept = Vec::new();
            for item in items {
                let is = self.scoped(around, |interp| {
                    interp.assign(&code.target, item.clone())?;
                    Ok(interp.eval(test)?.is_true())
                })?;
                if is {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(around, |interp| interp.body(&code.otherwise));
        }
        let depth = deeper(items.iter())?;
        let (at, changed) = (Cell::new(0), RefCell::new(None));
        let state = Rc::new(LoopState { items, at, level, changed, code: code.clone(), scope: around, depth });
        let name: Arc<str> = "loop".into();
        for at in 0..state.items.len() {
            state.at.set(at);
            let flow = self.scoped(around, |interp| {
                interp.set(&name, Value::Loop(state.clone()))?;
                interp.assign(&code.target, state.items[at].clone())?;
                interp.body(&code.body)
            });
            match flow {
                Ok(Flow::Break) => break,
                Ok(_) => {}
                Err(error) => {
                    state.changed.take();
                    return Err(error);
                }
            }
        }
        // what it keeps may hold the loop itself
        state.changed.take();
        Ok(Flow::Next)
    }
}
