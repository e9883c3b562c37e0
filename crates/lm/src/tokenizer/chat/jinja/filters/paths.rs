//! `attribute='a.b.0'` of filters.

use super::super::error::Result;
use super::super::items::item;
use super::super::value::Value;
use super::super::world::World;

/// Where in an item to look.
pub struct Path(Vec<Value>);

impl Path {
    /// From a name with points, a number, or none for the item itself.
    pub fn of(attribute: &Value) -> Result<Self> {
        let part = |part: &str| match part.parse::<i128>() {
            Ok(n) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(n),
            _ => Value::text(part),
        };
        Ok(Self(match attribute {
            Value::None => Vec::new(),
            Value::Text(text, _) => text.split('.').map(part).collect(),
            other => vec![other.clone()],
        }))
    }

    /// Several of them, with commas between.
    pub fn several(attribute: &Value) -> Result<Vec<Self>> {
        match attribute {
            Value::Text(text, _) => text.split(',').map(|part| Self::of(&Value::text(part))).collect(),
            other => Ok(vec![Self::of(other)?]),
        }
    }

    /// What is there in `held`, or `default` where nothing is.
    pub fn of_item(&self, held: &Value, default: Option<&Value>, world: &World<'_>) -> Result<Value> {
        let mut found = held.clone();
        for part in &self.0 {
            found = item(&found, part, world)?;
            if let (Value::Undefined(_), Some(default)) = (&found, default) {
                found = default.clone();
            }
        }
        Ok(found)
    }
}

/// Text in small letters, other values as they are.
pub fn caseless(value: Value, world: &World<'_>) -> Result<Value> {
    match value {
        Value::Text(text, _) => {
            world.meter.text(text.len())?;
            Ok(Value::text(text.to_lowercase()))
        }
        other => Ok(other),
    }
}
