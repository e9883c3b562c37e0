//! A key as a server has it, in an experiment file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Key;

/// A key that a server already has: an integer from 0 to 2^64 - 1, written as a number, or in quotes where it is above the 2^63 - 1 that
/// TOML can write. Whoever reads the file, or the results that it is copied to, knows it; artifacts are named by a commitment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServedKey(u64);

impl ServedKey {
    /// What configurations call fields that hold one, or several: whoever shows a configuration leaves them out.
    pub const FIELDS: [&str; 4] = ["key", "keys", "hashing_key", "hash_key"];

    /// From its number.
    pub const fn new(key: u64) -> Self {
        Self(key)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// `owner`, holding `served` where a file gives it.
    pub(crate) fn in_hands_of(served: Option<Self>, owner: &Key) -> Key {
        served.map_or_else(|| owner.clone(), |key| owner.serving(&[key.0]))
    }
}

impl fmt::Debug for ServedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServedKey(redacted)")
    }
}

impl Serialize for ServedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(key) => serializer.serialize_i64(key),
            Err(_) => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for ServedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// Reads a number, or its digits.
struct Written;

impl Visitor<'_> for Written {
    type Value = ServedKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key from 0 to 18446744073709551615, in quotes if it is above 9223372036854775807")
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<ServedKey, E> {
        Ok(ServedKey(key))
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<ServedKey, E> {
        u64::try_from(key).map(ServedKey).map_err(|_| E::invalid_value(Unexpected::Signed(key), &self))
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<ServedKey, E> {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let key = digits.parse().ok().filter(|_| plain);
        // the digits stay out of the message: they may be most of a key
        key.map(ServedKey).ok_or_else(|| E::invalid_value(Unexpected::Other("text that is no such number"), &self))
    }
}

impl JsonSchema for ServedKey {
    fn schema_name() -> Cow<'static, str> {
        "ServedKey".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A key that a server already has, from 0 to 2^64 - 1; in quotes where it is above 2^63 - 1.",
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]{1,20}$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbers_or_their_digits_and_come_back() {
        for (text, key) in [("0", 0), ("12345", 12_345), (r#""42""#, 42), (r#""18446744073709551615""#, u64::MAX)] {
            let read: ServedKey = serde_json::from_str(text).unwrap();
            assert_eq!(read.number(), key, "{text}");
            assert_eq!(serde_json::from_str::<ServedKey>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
            assert_eq!(format!("{read:?}"), "ServedKey(redacted)");
        }
        // beyond what TOML can write it is text
        assert_eq!(serde_json::to_string(&ServedKey::new(1 << 63)).unwrap(), r#""9223372036854775808""#);
        for wrong in ["-1", "1.5", r#""""#, r#""+5""#, r#""0x10""#, r#""18446744073709551616""#, r#""abc""#, "[1]"] {
            let error = serde_json::from_str::<ServedKey>(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("abc"), "{error}");
        }
    }
}
