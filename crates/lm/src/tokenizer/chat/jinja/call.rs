//! Calls: of macros, of what a template finds ready, of loops.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::args::{Args, whole};
use super::error::{Error, Result, fail};
use super::interp::Interp;
use super::methods;
use super::shown::shown;
use super::value::{Closure, Cycler, Dict, Function, Range, Value, deeper};

/// Numbers in the longest range, as Jinja's sandbox has it.
const MAX_RANGE: i128 = 100_000;

impl Interp<'_> {
    /// `callee(args)`.
    #[inline(never)]
    pub fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        match callee.there()? {
            Value::Macro(closure) => self.run_macro(closure, args),
            Value::Method(method) => {
                let (of, name) = &**method;
                match methods::kept(of, name, args.clone(), &self.world)? {
                    Some(done) => Ok(done),
                    None => methods::call(of, name, args, &self.world),
                }
            }
            Value::Function(function) => self.function(*function, args),
            Value::Loop(state) => {
                if !state.code.recursive {
                    return fail("The loop must have the 'recursive' marker to be called recursively.");
                }
                let [over] = args.exactly("loop", ["iterable"])?;
                let (code, scope, level) = (state.code.clone(), state.scope, state.level + 1);
                let text = self.captured(|interp| interp.run_loop(&code, &over, scope, level).map(|_| ()))?;
                Ok(Value::text(text))
            }
            Value::Joiner(joiner) => {
                let [] = args.exactly("joiner", [])?;
                Ok(if joiner.1.replace(true) { joiner.0.clone() } else { Value::text("") })
            }
            other => fail(format!("'{}' object is not callable", other.kind())),
        }
    }

    #[inline(never)]
    fn function(&mut self, function: Function, args: Args) -> Result<Value> {
        let meter = &self.world.meter;
        match function {
            Function::Range => {
                let [start, stop, step] = args.bind("range", ["start", "stop", "step"])?;
                let Some(first) = start else { return fail("range expected at least 1 argument, got 0") };
                let first = whole(&first, "range")?;
                let (start, stop) = match stop {
                    Some(stop) => (first, whole(&stop, "range")?),
                    None => (0, first),
                };
                let step = step.map_or(Ok(1), |step| whole(&step, "range"))?;
                let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
                if step == 0 {
                    return fail("range() arg 3 must not be zero");
                }
                let by = step.unsigned_abs() as i128;
                let len = if span <= 0 { 0 } else { (span - 1) / by.max(1) + 1 };
                if len > MAX_RANGE {
                    return fail(format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE})."));
                }
                Ok(Value::Range(Range { start, stop, step, len: len as usize }))
            }
            Function::Dict => {
                let entries = self.members(args)?;
                Ok(Value::Dict(Rc::new(Dict::new(entries, &self.world.meter)?)))
            }
            Function::Namespace => {
                let entries = self.members(args)?;
                self.world.meter.values(entries.len() + 2)?;
                let named = |(key, value): (Value, Value)| match key {
                    Value::Text(name, _) => Some((name, value)),
                    _ => None,
                };
                let mut namespaces = self.world.namespaces.borrow_mut();
                namespaces.push(entries.into_iter().filter_map(named).collect());
                Ok(Value::Namespace(namespaces.len() - 1))
            }
            Function::Cycler => {
                if args.positional.is_empty() {
                    return fail("at least one item has to be provided");
                }
                meter.values(args.positional.len())?;
                let depth = deeper(args.positional.iter())?;
                Ok(Value::Cycler(Rc::new(Cycler { items: args.positional, at: Cell::new(0), depth })))
            }
            Function::Joiner => {
                let [between] = args.bind("joiner", ["sep"])?;
                let between = between.unwrap_or_else(|| Value::text(", "));
                deeper([&between].into_iter())?;
                meter.values(1)?;
                Ok(Value::Joiner(Rc::new((between, Cell::new(false)))))
            }
            Function::RaiseException => {
                let [why] = args.exactly("raise_exception", ["message"])?;
                Err(Error { raised: true, ..Error::new(shown(&why, &self.world)?) })
            }
            Function::StrftimeNow => {
                let [format] = args.exactly("strftime_now", ["format"])?;
                let format = shown(&format, &self.world)?;
                meter.text(16 * format.len())?;
                match self.world.clock.map(|clock| clock(&format)) {
                    Some(Ok(text)) => Ok(Value::text(text)),
                    Some(Err(why)) => fail(format!("strftime_now: {why}")),
                    None => fail("strftime_now: there is no date"),
                }
            }
            Function::Lipsum => fail("lipsum is not known to this program: two renderings must be equal"),
        }
    }

    /// Keys and values that `dict` and `namespace` are called with.
    fn members(&mut self, args: Args) -> Result<Vec<(Value, Value)>> {
        let mut entries = Vec::new();
        if args.positional.len() > 1 {
            return fail(format!("expected at most 1 argument, got {}", args.positional.len()));
        }
        for given in args.positional {
            match &given {
                Value::Dict(dict) => entries.extend(dict.entries.iter().cloned()),
                other => {
                    for pair in other.there()?.walk(&self.world.meter)? {
                        match &pair.walk(&self.world.meter)?[..] {
                            [key, value] => self.enter(&mut entries, key.clone(), value.clone())?,
                            parts => return fail(format!("a pair is wanted, and one has {} parts", parts.len())),
                        }
                    }
                }
            }
        }
        for (name, value) in args.named {
            self.enter(&mut entries, Value::text(name), value)?;
        }
        Ok(entries)
    }

    #[inline(never)]
    fn run_macro(&mut self, closure: &Rc<Closure>, args: Args) -> Result<Value> {
        let code = closure.code.clone();
        let [takes_more, takes_named, takes_caller] = code.takes;
        let n = code.parameters.len();
        let mut given: Vec<Option<Value>> = vec![None; n];
        let mut more = args.positional;
        let rest = more.split_off(n.min(more.len()));
        if !rest.is_empty() && !takes_more {
            return fail(format!("macro '{}' takes not more than {n} argument(s)", code.name));
        }
        for (place, value) in given.iter_mut().zip(more) {
            *place = Some(value);
        }
        let (mut named, mut caller) = (Vec::new(), None);
        for (name, value) in args.named {
            match code.parameters.iter().position(|known| *known == name) {
                Some(at) if given[at].is_none() => given[at] = Some(value),
                Some(_) => return fail(format!("macro '{}' got multiple values for argument '{name}'", code.name)),
                None if *name == *"caller" && takes_caller => caller = Some(value),
                None if takes_named => named.push((Value::text(name), value)),
                None => return fail(format!("macro '{}' takes no keyword argument '{name}'", code.name)),
            }
        }
        self.deeper(|interp| {
            let text = interp.captured(|interp| {
                interp.scoped(closure.scope, |interp| {
                    let first_default = n - code.defaults.len();
                    for (at, (name, value)) in code.parameters.iter().zip(given).enumerate() {
                        let value = match (value, at.checked_sub(first_default).and_then(|at| code.defaults.get(at))) {
                            (Some(value), _) => value,
                            (None, Some(default)) => interp.eval(default)?,
                            (None, None) => Value::undefined(format!("parameter '{name}' was not provided")),
                        };
                        interp.set(name, value)?;
                    }
                    if takes_more {
                        let rest = Value::tuple(rest, &interp.world.meter)?;
                        interp.set(&Arc::from("varargs"), rest)?;
                    }
                    if takes_named {
                        let named = Value::Dict(Rc::new(Dict::new(named, &interp.world.meter)?));
                        interp.set(&Arc::from("kwargs"), named)?;
                    }
                    if takes_caller && !code.parameters.iter().any(|name| **name == *"caller") {
                        let caller = caller.unwrap_or_else(|| Value::undefined("No caller defined"));
                        interp.set(&Arc::from("caller"), caller)?;
                    }
                    interp.body(&code.body).map(|_| ())
                })
            })?;
            Ok(Value::text(text))
        })
    }
}
