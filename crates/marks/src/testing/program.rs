use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use siphasher::sip::SipHasher24;

use crate::{Launcher, MarkError, Program};

/// Starts toy programs that play a mark by the protocol of `PROTOCOL.md`, each scoring pairs by SipHash-2-4. The first word of the
/// command says which: `green` is KGW with gamma 0.25 and delta 2, `loud` raises tokens by their Exp(1) scores, `ranked` and `text`
/// are `green` without a known null, scoring units or whole texts.
#[derive(Debug, Clone, Copy)]
pub struct ToyPrograms;

impl Launcher for ToyPrograms {
    fn launch(&self, command: &[String], _timeout: Duration) -> Result<Arc<dyn Program>, MarkError> {
        let plays = command.first().cloned().unwrap_or_default();
        if !["green", "loud", "ranked", "text"].contains(&plays.as_str()) {
            return Err(MarkError::Program(format!("mark `toy`: the program `{plays}` cannot be started; use another")));
        }
        Ok(Arc::new(Toy { plays, told: Mutex::default() }))
    }
}

struct Toy {
    plays: String,
    /// Key and vocabulary, from `hello`.
    told: Mutex<([u8; 16], u64)>,
}

/// Width of the toy's contexts.
const WIDTH: usize = 1;

fn ids(list: &Value) -> Vec<u32> {
    list.as_array().into_iter().flatten().filter_map(|id| Some(id.as_u64()? as u32)).collect()
}

fn key(hex: &Value) -> [u8; 16] {
    let hex = hex.as_str().unwrap_or_default();
    std::array::from_fn(|at| hex.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or(0))
}

impl Toy {
    fn score(&self, key: &[u8; 16], window: &[u32]) -> f64 {
        let mut bytes = [0; 4 * (WIDTH + 1)];
        bytes.chunks_exact_mut(4).zip(window).for_each(|(bytes, id)| bytes.copy_from_slice(&id.to_le_bytes()));
        let draw = SipHasher24::new_with_key(key).hash(&bytes) as u32;
        if self.plays == "loud" {
            return -libm::log((f64::from(draw) + 0.5) / 2f64.powi(32));
        }
        f64::from(u8::from(draw < 1 << 30))
    }

    fn law(&self, key: &[u8; 16], vocab: u64, context: &[u32]) -> Value {
        let scored = (0..vocab as u32).map(|id| (id, self.score(key, &[context[0], id])));
        match self.plays.as_str() {
            "loud" => scored.filter(|(_, score)| *score > 0.5).map(|(id, score)| json!([id, score])).collect(),
            _ => scored.filter(|(_, score)| *score == 1.0).map(|(id, _)| json!(id)).collect(),
        }
    }
}

impl Program for Toy {
    fn identity(&self) -> String {
        format!("toy {}", self.plays)
    }

    fn ask(&self, request: &Value) -> Result<Value, MarkError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |field: &str| request[field].as_array().cloned().unwrap_or_default();
        let mut answer = match request["ask"].as_str() {
            Some("hello") => {
                *told = (key(&request["key"]), request["vocab_size"].as_u64().unwrap_or(0));
                let (kind, absent, unit) = match self.plays.as_str() {
                    "loud" => ("bias", json!({"law": "exponential"}), "contexts"),
                    "ranked" => ("keyed_set", json!("decoys"), "pairs"),
                    "text" => ("keyed_set", json!("decoys"), "text"),
                    _ => ("keyed_set", json!({"law": "binomial", "rate": 0.25}), "pairs"),
                };
                let mut describe = json!({
                    "version": 1, "name": "toy", "kind": kind, "context_width": WIDTH, "null": absent, "unit": unit,
                });
                if kind == "keyed_set" {
                    describe["delta"] = json!(2.0);
                }
                describe
            }
            Some("laws") => {
                let key = if request["key"].is_string() { key(&request["key"]) } else { told.0 };
                let laws: Vec<Value> = each("contexts").iter().map(|ids_of| self.law(&key, told.1, &ids(ids_of))).collect();
                json!({ "laws": laws })
            }
            Some("scores") => {
                let key = key(&request["key"]);
                let scores: Vec<f64> = each("windows").iter().map(|window| self.score(&key, &ids(window))).collect();
                json!({ "scores": scores })
            }
            _ => {
                let key = key(&request["key"]);
                let total =
                    |text: &Value| ids(&text["answer"]).windows(WIDTH + 1).map(|pair| self.score(&key, pair)).sum::<f64>();
                json!({ "scores": each("texts").iter().map(total).collect::<Vec<f64>>() })
            }
        };
        answer["id"] = request["id"].clone();
        Ok(answer)
    }

    fn refusal(&self, what: &str, instead: &str) -> MarkError {
        MarkError::Program(format!("mark `toy`: the program `{}` {what}; {instead}", self.plays))
    }
}
