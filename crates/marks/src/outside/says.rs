//! What a program says of itself.

use serde::Deserialize;
use serde_json::Value;

use crate::MarkError;
use crate::keyed::{Dedup, MAX_CONTEXT};
use crate::program::{Conversation, shown};

/// Version of the protocol.
pub const VERSION: u64 = 1;

/// What a program gives for a context.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A value for each of some ids.
    Bias,
    /// A set of ids that get one value.
    KeyedSet,
}

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Distinct pairs of context and token.
    Pairs,
    /// One pair for each distinct context.
    Contexts,
    /// Whole answers.
    Text,
}

/// A known law of scores when the mark is absent.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "law")]
pub enum Law {
    /// 1 at a rate, else 0.
    Binomial {
        /// Probability of 1.
        rate: f64,
    },
    /// Exp(1).
    Exponential,
}

/// No known law.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Decoy keys stand for it.
    Decoys,
}

/// What scores are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Absent {
    /// A law.
    Known(Law),
    /// Decoy keys.
    Unknown(Unknown),
}

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Says {
    /// The protocol it speaks.
    pub version: u64,
    /// What it calls itself.
    pub name: String,
    /// What it gives for a context.
    pub kind: Kind,
    /// What members of a keyed set get, nats.
    #[serde(default)]
    pub delta: Option<f64>,
    /// Tokens that choose a law.
    pub context_width: usize,
    /// What scores are compared with.
    pub null: Absent,
    /// What is scored.
    pub unit: Unit,
}

impl Says {
    /// What `answer` to `hello` says.
    ///
    /// # Errors
    /// When it is no description of a mark, or of one that cannot be.
    pub fn read(talk: &Conversation, answer: Value) -> Result<Self, MarkError> {
        let said = format!("answered `hello` with {}", shown(&answer));
        let refused = |instead: &str| Err(talk.refusal(&said, instead));
        if answer.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return refused(&format!("write \"version\": {VERSION}, the protocol that is spoken here"));
        }
        let says: Self = match serde_json::from_value(answer) {
            Ok(says) => says,
            Err(error) => return refused(&format!("describe the mark as PROTOCOL.md says ({error})")),
        };
        if says.context_width > MAX_CONTEXT {
            return refused(&format!("use a context_width of at most {MAX_CONTEXT}"));
        }
        if says.name.is_empty() || says.name.chars().count() > 64 || says.name.chars().any(char::is_control) {
            return refused("give a name of 1 to 64 characters");
        }
        let delta = says.delta.filter(|delta| *delta != 0.0 && (*delta as f32).is_finite());
        if (says.kind == Kind::KeyedSet) != delta.is_some() || says.delta.is_some() != delta.is_some() {
            return refused("give a finite delta with keyed_set, and none with bias");
        }
        match says.null {
            Absent::Known(_) if says.unit == Unit::Text => refused("use \"null\": \"decoys\" where whole texts are scored"),
            Absent::Known(Law::Binomial { rate }) if !(rate > 0.0 && rate < 1.0) => refused("use a rate between 0 and 1"),
            _ => Ok(says),
        }
    }

    /// Which units count once.
    pub fn dedup(&self) -> Dedup {
        if self.unit == Unit::Contexts { Dedup::Contexts } else { Dedup::Pairs }
    }
}
