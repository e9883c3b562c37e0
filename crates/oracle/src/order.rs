//! In which order a server applies temperature and truncation.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// One thing that a server does to logits before it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Divides the logits by the temperature.
    Temperature,
    /// Keeps the `top_k` most probable tokens.
    TopK,
    /// Keeps the most probable tokens that together have the mass `top_p`.
    TopP,
    /// Keeps tokens by their share of the most probable one's probability, `min_p`.
    MinP,
}

impl Operation {
    /// As experiment files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::TopK => "top_k",
            Self::TopP => "top_p",
            Self::MinP => "min_p",
        }
    }
}

/// Temperature, top-k, top-p and min-p, each once, in the order in which they act.
///
/// transformers: temperature, top_k, top_p, min_p (`generation/utils.py`, `_get_logits_processor`), which is the default. vLLM: temperature,
/// min_p, top_k, top_p (`v1/sample/sampler.py`). llama.cpp: top_k, top_p, min_p, temperature (the default samplers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[Operation; 4]", into = "[Operation; 4]")]
pub struct Order([Operation; 4]);

impl Order {
    /// That of transformers.
    pub const DEFAULT: Self = Self([Operation::Temperature, Operation::TopK, Operation::TopP, Operation::MinP]);

    /// First to last.
    pub fn operations(self) -> [Operation; 4] {
        self.0
    }

    /// Whether it is [`Self::DEFAULT`].
    pub fn is_default(&self) -> bool {
        *self == Self::DEFAULT
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An operation stands twice in an order, and so another is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order names temperature, top_k, top_p and min_p once each; {} stands in it twice", .0.name())]
pub struct Twice(Operation);

impl TryFrom<[Operation; 4]> for Order {
    type Error = Twice;

    fn try_from(operations: [Operation; 4]) -> Result<Self, Twice> {
        let twice = (1..4).find(|at| operations[..*at].contains(&operations[*at]));
        twice.map_or(Ok(Self(operations)), |at| Err(Twice(operations[at])))
    }
}

impl From<Order> for [Operation; 4] {
    fn from(order: Order) -> Self {
        order.0
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(Operation::name).join(","))
    }
}

impl std::str::FromStr for Order {
    type Err = String;

    /// What [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::DEFAULT.0;
        let named = |name: &str| all.into_iter().find(|operation| operation.name() == name.trim());
        let found: Option<Vec<Operation>> = text.split(',').map(named).collect();
        let four: Option<[Operation; 4]> = found.and_then(|found| found.try_into().ok());
        let four = four.ok_or_else(|| "write temperature, top_k, top_p and min_p, each once, with commas between".to_string())?;
        Self::try_from(four).map_err(|twice| twice.to_string())
    }
}

impl JsonSchema for Order {
    fn schema_name() -> Cow<'static, str> {
        "Order".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <[Operation; 4]>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_each_operation_once() {
        let vllm: Order = serde_json::from_str(r#"["temperature", "min_p", "top_k", "top_p"]"#).unwrap();
        assert_eq!(vllm.to_string(), "temperature,min_p,top_k,top_p");
        assert_eq!(vllm.to_string().parse(), Ok(vllm));
        assert_eq!(serde_json::to_string(&vllm).unwrap(), r#"["temperature","min_p","top_k","top_p"]"#);
        let said = |text: &str| serde_json::from_str::<Order>(text).unwrap_err().to_string();
        assert!(said(r#"["temperature", "top_k", "top_k", "min_p"]"#).contains("top_k stands in it twice"));
        assert!(said(r#"["temperature", "top_k"]"#).contains("4"));
        assert!(said(r#"["temperature", "top_k", "top_a", "min_p"]"#).contains("top_a"));
        for bad in ["", "temperature", "temperature,top_k,top_p,min_p,top_k", "temperature,top_k,top_p,typical"] {
            assert!(bad.parse::<Order>().unwrap_err().contains("each once"), "{bad}");
        }
        assert!("top_p,top_k,top_p,min_p".parse::<Order>().unwrap_err().contains("top_p stands in it twice"));
    }
}
