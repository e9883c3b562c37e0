//! What a filter, a test or a method is called with.

use std::sync::Arc;

use super::error::{Result, fail};
use super::value::Value;

/// Arguments by place and by name.
#[derive(Debug, Clone, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// The arguments by the names of the parameters, as Python binds them; `what` is being called.
    pub fn bind<const N: usize>(self, what: &str, names: [&str; N]) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return fail(format!("{what} takes at most {N} argument(s), {} are given", self.positional.len()));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| *known == &*name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return fail(format!("{what} got multiple values for argument '{name}'")),
                None => return fail(format!("{what} got an unexpected keyword argument '{name}'")),
            }
        }
        Ok(bound)
    }

    /// As [`bind`](Self::bind) of parameters that must all be there.
    pub fn exactly<const N: usize>(self, what: &str, names: [&str; N]) -> Result<[Value; N]> {
        let bound = self.bind(what, names)?;
        if let Some(at) = bound.iter().position(Option::is_none) {
            return fail(format!("{what} missing required argument '{}'", names[at]));
        }
        Ok(bound.map(|value| value.unwrap_or(Value::None)))
    }
}

/// A whole number; `what` names the argument.
pub fn whole(value: &Value, what: &str) -> Result<i128> {
    match value.there()?.as_int() {
        Some(n) => Ok(n),
        None => fail(format!("{what}: '{}' object cannot be interpreted as an integer", value.kind())),
    }
}

/// A whole number that is given, or `default`.
pub fn whole_or(value: Option<&Value>, default: i128, what: &str) -> Result<i128> {
    value.map_or(Ok(default), |value| whole(value, what))
}

/// Text; `what` names the argument.
pub fn text<'v>(value: &'v Value, what: &str) -> Result<&'v Arc<str>> {
    match value.there()? {
        Value::Text(text, _) => Ok(text),
        other => fail(format!("{what}: expected a string, not '{}'", other.kind())),
    }
}
