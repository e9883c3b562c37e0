//! `birthmark calibrate --marks`: how often our own marks are found where they are.

use marks::testing::{Lab, Power, Strength};
use serde_json::{Value, json};

/// How often a mark is found in toy models that carry it, and that carry half of it.
pub struct Found {
    mark: &'static str,
    /// Its parameters, as a file gives them.
    parameters: String,
    full: Power,
    half: Option<Power>,
}

/// Audits that a power is asked of, in those of the toy models' own size: the first that is enough is stated.
const AUDITS: [u64; 3] = [1, 4, 16];

/// The power that is enough.
const ENOUGH: f64 = 0.99;

impl Found {
    /// Of `draws` marked models; `None` for marks that nobody plants.
    pub fn of(lab: &Lab, parameters: &str, draws: u64) -> anyhow::Result<Option<Self>> {
        for times in AUDITS {
            let Some(full) = lab.power(Strength::Full, times, draws)? else { return Ok(None) };
            if full.found as f64 >= ENOUGH * draws as f64 || Some(&times) == AUDITS.last() {
                let half = lab.power(Strength::Half, times, draws)?;
                return Ok(Some(Self { mark: lab.name(), parameters: parameters.into(), full, half }));
            }
        }
        Ok(None)
    }

    /// A line of words.
    pub fn words(&self) -> String {
        let Power { level, audit: (answers, longest), .. } = self.full;
        let half = self.half.map_or("-".to_string(), |half| share(&half));
        format!(
            "{:<24} found in {} of marked models, in {half} of half marked ones (p <= {level}, {answers} answers of {longest} tokens)",
            self.mark,
            share(&self.full)
        )
    }

    /// The same as a line of JSON.
    pub fn json(&self, parameters: &Value) -> Value {
        let Power { level, audit: (answers, longest), draws, found } = self.full;
        let half = self.half.map(|half| half.found);
        json!({
            "mark": self.mark, "parameters": parameters, "models": draws, "found": found, "found_at_half_strength": half, "level": level,
            "answers": answers, "longest_answer_tokens": longest,
        })
    }

    /// Its parameters, as a file gives them.
    pub fn parameters(&self) -> &str {
        &self.parameters
    }

    /// Columns of `power.csv`.
    pub const COLUMNS: [&str; 8] =
        ["mark", "parameters", "answers", "longest_answer_tokens", "level", "models", "found", "found_at_half_strength"];

    /// What stands in them.
    pub fn row(&self) -> [String; 8] {
        let Power { level, audit: (answers, longest), draws, found } = self.full;
        let half = self.half.map_or(String::new(), |half| half.found.to_string());
        let numbers = [answers.to_string(), longest.to_string(), level.to_string(), draws.to_string(), found.to_string(), half];
        let [answers, longest, level, draws, found, half] = numbers;
        [self.mark.to_string(), self.parameters.clone(), answers, longest, level, draws, found, half]
    }
}

fn share(power: &Power) -> String {
    format!("{} of {}", power.found, power.draws)
}
