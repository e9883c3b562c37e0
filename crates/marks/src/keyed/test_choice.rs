use std::borrow::Cow;
use std::fmt;

use oracle::{Access, ConfigError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::score::ScoreTest;
use crate::{Decoys, Needs, Phase};

/// Which test of a keyed scheme decides. A file writes `"score"`, `"count"` or `{ score = { ... } }`.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyedTest {
    /// The keyed score test (methods m): all tokens, centred on the raw teacher's law; the count stands beside it.
    Score(ScoreTest),
    /// The count of distinct units, as published: it needs no teacher.
    Count,
}

impl Default for KeyedTest {
    fn default() -> Self {
        Self::Score(ScoreTest::default())
    }
}

impl KeyedTest {
    /// What a mark of the drawn law with contexts of `context_width` tokens needs when this test decides.
    pub(crate) fn needs(&self, context_width: usize) -> Needs {
        let service = Needs { phase: Phase::Service, changes_drawn_law: true, ..Needs::default() };
        match self {
            Self::Score(test) => Needs {
                second_round: test.asked().collect(),
                contexts: test.kappa() > 0.0 && context_width > 0,
                // exact by construction
                decoys: Decoys::SelfTest,
                ..service
            },
            Self::Count => Needs { decoys: Decoys::Rank, ..service },
        }
    }

    /// The same for a scheme that draws tokens by its key.
    pub(crate) fn of_a_draw(&self) -> Self {
        match self {
            Self::Score(test) => Self::Score(ScoreTest { drawn: true, ..test.clone() }),
            Self::Count => Self::Count,
        }
    }

    /// The same for a scheme whose key looks at some tokens of a context and not at the others.
    pub(crate) fn of_some_tokens(&self) -> Self {
        match self {
            Self::Score(test) => Self::Score(ScoreTest { some_tokens: true, ..test.clone() }),
            Self::Count => Self::Count,
        }
    }

    /// The least that it must see of a suspect.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Score(test) => test.suspect.access(),
            Self::Count => Access::Text,
        }
    }

    /// Refuses values that cannot be; keys are relative to the mark's own table.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and what to write.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Score(test) => test.validate(),
            Self::Count => Ok(()),
        }
    }

    /// Whether a file need not say it.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for KeyedTest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Table<'a> {
            score: &'a ScoreTest,
        }
        match self {
            Self::Score(test) if *test == ScoreTest::default() => "score".serialize(serializer),
            Self::Score(score) => Table { score }.serialize(serializer),
            Self::Count => "count".serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeyedTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// Reads a name, or a table with one key.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = KeyedTest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`score`, `count` or a table with the key `score`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<KeyedTest, E> {
        match name {
            "score" => Ok(KeyedTest::default()),
            "count" => Ok(KeyedTest::Count),
            other => Err(E::unknown_variant(other, &["score", "count"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyedTest, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            score: ScoreTest,
        }
        Ok(KeyedTest::Score(Table::deserialize(MapAccessDeserializer::new(map))?.score))
    }
}

impl JsonSchema for KeyedTest {
    fn schema_name() -> Cow<'static, str> {
        "KeyedTest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let score = generator.subschema_for::<ScoreTest>();
        json_schema!({
            "description": "Which test of a keyed scheme decides.",
            "oneOf": [
                {
                    "description": "The keyed score test: all tokens, centred on the raw teacher's law; the count stands beside it.",
                    "type": "string",
                    "const": "score",
                },
                {
                    "description": "The count of distinct units, as published: it needs no teacher.",
                    "type": "string",
                    "const": "count",
                },
                {
                    "description": "The keyed score test, with how it is made.",
                    "type": "object",
                    "properties": { "score": score },
                    "required": ["score"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Choices;

    #[test]
    fn a_test_is_a_name_or_a_table_and_comes_back_as_it_was_written() {
        let read = |text: &str| serde_json::from_str::<KeyedTest>(text);
        let other = KeyedTest::Score(ScoreTest { kappa: Some(30.0), ..ScoreTest::default() });
        let laws = KeyedTest::Score(ScoreTest { suspect: Choices::Laws, ..ScoreTest::default() });
        let references = vec!["base".into()];
        let by_base = KeyedTest::Score(ScoreTest { references, ..ScoreTest::default() });
        for (text, meant) in [
            (r#""score""#, KeyedTest::default()),
            (r#""count""#, KeyedTest::Count),
            (r#"{"score":{}}"#, KeyedTest::default()),
            (r#"{"score":{"kappa":30}}"#, other),
            (r#"{"score":{"suspect":"laws"}}"#, laws),
            (r#"{"score":{"references":["base"]}}"#, by_base),
        ] {
            assert_eq!(read(text).unwrap(), meant, "{text}");
            assert_eq!(read(&serde_json::to_string(&meant).unwrap()).unwrap(), meant);
        }
        for wrong in [r#""scores""#, r#"{"count":{}}"#, r#"{"score":{"kapa":30}}"#, "3"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
