//! One rendering: scopes, and what is written.

use std::sync::Arc;

use super::error::{Result, fail};
use super::meter::MAX_CALLS;
use super::value::{Function, Value};
use super::world::World;

/// Names and the scope around them.
struct Scope {
    names: Vec<(Arc<str>, Value)>,
    around: Option<usize>,
}

/// A template at work.
pub struct Interp<'w> {
    pub world: World<'w>,
    /// A scope stays as long as a macro may ask it for names: to the end.
    scopes: Vec<Scope>,
    /// Place of the scope that is being worked in.
    pub scope: usize,
    /// What is written, and what is being put together to be something else: the last is written to.
    out: Vec<String>,
    /// Levels that are being worked out.
    level: usize,
}

impl<'w> Interp<'w> {
    /// With nothing but these names.
    pub fn new(world: World<'w>, names: Vec<(Arc<str>, Value)>) -> Self {
        let told = Scope { names, around: None };
        let own = Scope { names: Vec::new(), around: Some(0) };
        Self { world, scopes: vec![told, own], scope: 1, out: vec![String::new()], level: 0 }
    }

    /// What was written.
    pub fn written(mut self) -> String {
        self.out.pop().unwrap_or_default()
    }

    /// `work` one level deeper.
    pub fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.level == MAX_CALLS {
            return fail(format!("macros, blocks and expressions go more than {MAX_CALLS} levels deep"));
        }
        self.level += 1;
        let done = work(self);
        self.level -= 1;
        done
    }

    /// `work` in a scope of its own within the one at `around`.
    pub fn scoped<T>(&mut self, around: usize, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.scope;
        self.scope = self.scopes.len();
        self.scopes.push(Scope { names: Vec::new(), around: Some(around) });
        let done = work(self);
        // one that a macro was made in is not the last any more, or is held: see `keep`
        if self.scopes.len() == self.scope + 1 && !self.is_kept() {
            self.scopes.pop();
        } else {
            self.world.meter.values(2)?;
        }
        self.scope = before;
        done
    }

    /// Whether a macro was made in this scope.
    fn is_kept(&self) -> bool {
        self.scopes[self.scope].names.iter().any(|(name, _)| name.is_empty())
    }

    /// Keeps this scope, and those around it, to the end: a macro was made in it.
    pub fn keep(&mut self) {
        self.scopes[self.scope].names.push(("".into(), Value::None));
    }

    /// The value of a name.
    pub fn look_up(&self, name: &Arc<str>) -> Value {
        let mut at = Some(self.scope);
        while let Some(scope) = at {
            let Scope { names, around } = &self.scopes[scope];
            if let Some((_, value)) = names.iter().rev().find(|(known, _)| known == name) {
                return value.clone();
            }
            at = *around;
        }
        let function = match &**name {
            "range" => Function::Range,
            "dict" => Function::Dict,
            "namespace" => Function::Namespace,
            "cycler" => Function::Cycler,
            "joiner" => Function::Joiner,
            "lipsum" => Function::Lipsum,
            "raise_exception" => Function::RaiseException,
            "strftime_now" if self.world.clock.is_some() => Function::StrftimeNow,
            _ => return Value::undefined(format!("'{name}' is undefined")),
        };
        Value::Function(function)
    }

    /// Gives a name in this scope a value.
    pub fn set(&mut self, name: &Arc<str>, value: Value) -> Result<()> {
        self.world.meter.steps(1)?;
        let names = &mut self.scopes[self.scope].names;
        match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, held)) => *held = value,
            None => names.push((name.clone(), value)),
        }
        Ok(())
    }

    /// Writes text, which the caller has counted.
    pub fn write(&mut self, text: &str) {
        if let Some(out) = self.out.last_mut() {
            out.push_str(text);
        }
    }

    /// What `work` writes.
    pub fn captured(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<String> {
        self.out.push(String::new());
        work(self)?;
        Ok(self.out.pop().unwrap_or_default())
    }
}
