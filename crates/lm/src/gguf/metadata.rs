//! Keys and values of a GGUF header.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use super::source::{HeaderError, Source, shown};

/// Lists within lists beyond this depth are refused; nothing known has any.
const DEEPEST: usize = 4;
/// Most values in all lists together; a vocabulary of 256 k tokens takes 1.5 million.
const MOST_VALUES: u64 = 1 << 23;
/// Longest key that the format allows, in bytes.
const LONGEST_KEY: usize = 65_535;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned, of any width.
    Unsigned(u64),
    /// Signed, of any width.
    Signed(i64),
    /// Single precision.
    Single(f32),
    /// Double precision.
    Double(f64),
    /// A switch.
    Bool(bool),
    /// UTF-8.
    Text(String),
    /// A text that is not UTF-8.
    Bytes(Vec<u8>),
    /// Values of one type.
    List(Vec<Value>),
}

impl Value {
    /// A whole number from 0 up.
    pub fn as_count(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number; single precision as the shortest decimal that stands for it, so that `1e-5` is the number people wrote.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Single(number) => format!("{number}").parse().ok(),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// A switch.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

impl fmt::Display for Value {
    /// One short line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Signed(number) => write!(f, "{number}"),
            Self::Single(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "\"{}\"", shown(text)),
            Self::Bytes(_) => f.write_str("not UTF-8 text"),
            Self::List(list) => write!(f, "a list of {}", list.len()),
        }
    }
}

/// All keys with their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The text at `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// All keys that begin with `prefix`, with their values.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.iter().filter(move |(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.as_str(), value))
    }

    /// Reads `count` keys.
    pub(super) fn read<R: Read>(source: &mut Source<R>, count: u64) -> Result<Self, HeaderError> {
        let mut all = BTreeMap::new();
        let mut values_left = MOST_VALUES;
        for i in 0..count {
            let key = source.bytes(&format!("metadata key {i}"))?;
            let Some(key) = String::from_utf8(key).ok().filter(|key| key.len() <= LONGEST_KEY) else {
                return Err(HeaderError::Damaged(format!("metadata key {i} is not UTF-8 text of at most {LONGEST_KEY} bytes")));
            };
            let what = format!("metadata key `{}`", shown(&key));
            let kind = source.u32(&what)?;
            let value = Reading { source, what: &what, values_left: &mut values_left }.value(kind, 0)?;
            if all.insert(key, value).is_some() {
                return Err(HeaderError::Damaged(format!("{what} is there twice")));
            }
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
impl FromIterator<(String, Value)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// One key's value being read.
struct Reading<'a, R> {
    source: &'a mut Source<R>,
    what: &'a str,
    values_left: &'a mut u64,
}

impl<R: Read> Reading<'_, R> {
    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, HeaderError> {
        let what = self.what;
        let source = &mut *self.source;
        Ok(match kind {
            0 => Value::Unsigned(u64::from(u8::from_le_bytes(source.array(what)?))),
            1 => Value::Signed(i64::from(i8::from_le_bytes(source.array(what)?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(source.array(what)?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(source.array(what)?))),
            4 => Value::Unsigned(u64::from(source.u32(what)?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(source.array(what)?))),
            6 => Value::Single(f32::from_le_bytes(source.array(what)?)),
            7 => match source.array(what)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(HeaderError::Damaged(format!("{what} is a switch of value {other}"))),
            },
            8 => match String::from_utf8(source.bytes(what)?) {
                Ok(text) => Value::Text(text),
                Err(error) => Value::Bytes(error.into_bytes()),
            },
            9 => self.list(depth)?,
            10 => Value::Unsigned(source.u64(what)?),
            11 => Value::Signed(i64::from_le_bytes(source.array(what)?)),
            12 => Value::Double(f64::from_le_bytes(source.array(what)?)),
            other => return Err(HeaderError::Damaged(format!("{what} has the unknown type {other}"))),
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, HeaderError> {
        if depth == DEEPEST {
            return Err(HeaderError::Damaged(format!("{} has lists within lists more than {DEEPEST} deep", self.what)));
        }
        let kind = self.source.u32(self.what)?;
        let Some(each) = least_bytes(kind) else {
            return Err(HeaderError::Damaged(format!("{} is a list of the unknown type {kind}", self.what)));
        };
        let count = self.source.count(each, self.what)?;
        let Some(left) = self.values_left.checked_sub(count) else {
            let why = format!("{} brings more than {MOST_VALUES} values in lists", self.what);
            return Err(HeaderError::Unsupported(why));
        };
        *self.values_left = left;
        let mut list = Vec::with_capacity(count as usize);
        for _ in 0..count {
            list.push(self.value(kind, depth + 1)?);
        }
        Ok(Value::List(list))
    }
}

/// Bytes that a value of this type takes at least.
fn least_bytes(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        _ => return None,
    })
}
