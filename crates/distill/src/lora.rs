use lm::lora::{AdapterConfig, AdapterShape, LARGEST_RANK, Modules};
use lm::{Model, ModelConfig};
use oracle::ConfigError;
use serde::{Deserialize, Serialize};

use crate::train::AdapterTraining;

/// The word that stands for every matrix product of the blocks.
const ALL: &str = "all-linear";

/// In which form a student that was trained through an adapter is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SavedAs {
    /// A whole model, the adapter in its weights.
    #[default]
    Merged,
    /// An adapter that leads to its base, as the library peft keeps them.
    Adapter,
}

/// Training of a low-rank adapter (LoRA, Hu et al. 2021, arXiv 2106.09685) instead of all weights: to each target s B A is added,
/// and A and B alone are trained. There is no dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Width between A and B.
    pub rank: usize,
    /// s is alpha / rank.
    pub alpha: f64,
    /// Which matrices: ends of their modules' names (`q_proj`), or "all-linear" alone for every product of the blocks.
    pub targets: Vec<String>,
    /// s is alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rslora: bool,
    /// How the student is kept; either way it is the same student, bit by bit.
    #[serde(default)]
    pub save: SavedAs,
}

impl LoraConfig {
    /// Checks the ranges, as far as they do not depend on the model.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key: &str, value: String, remedy: &str| Err(ConfigError::new(key, value, remedy));
        if self.rank == 0 {
            return error("rank", "0".into(), "write 1 or more, usually 4 to 64");
        }
        if self.rank > LARGEST_RANK {
            return error("rank", self.rank.to_string(), &format!("write at most {LARGEST_RANK}, usually 4 to 64"));
        }
        if !(self.alpha as f32).is_finite() || self.alpha <= 0.0 {
            return error("alpha", self.alpha.to_string(), "write a number above 0, usually the rank or twice the rank");
        }
        if self.targets.is_empty() {
            return error("targets", "[]".into(), "name modules, for example [\"q_proj\", \"v_proj\"], or [\"all-linear\"]");
        }
        for (index, target) in self.targets.iter().enumerate() {
            let key = format!("targets[{index}]");
            if target.is_empty() {
                return error(&key, "\"\"".into(), "name a module, for example \"q_proj\"");
            }
            if self.targets[..index].contains(target) {
                return error(&key, target.clone(), "it is there already; drop it");
            }
            if target == ALL && self.targets.len() > 1 {
                return error(&key, target.clone(), "it stands for every module; drop the others");
            }
        }
        Ok(())
    }

    /// The adapter's parameters on a model of `model`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); when a target is no module of the model, or the rank is beyond a matrix.
    pub fn shape(&self, model: &ModelConfig) -> Result<AdapterShape, ConfigError> {
        self.validate()?;
        for (index, target) in self.targets.iter().enumerate() {
            let alone = AdapterConfig { targets: targets(std::slice::from_ref(target)), ..self.adapter() };
            let key = format!("targets[{index}]");
            let pairs = AdapterShape::new(&alone, model).map_err(|error| ConfigError::new(&key, target, error.remedy))?;
            for pair in pairs.pairs() {
                if pair.table {
                    return Err(ConfigError::new(&key, target, "tables of tokens are not trained by an adapter; drop it"));
                }
                if pair.renamed && self.save == SavedAs::Adapter {
                    let remedy = format!(
                        "versions of transformers name `{}` differently, so that peft could drop its pair; write save = \"merged\", or drop it",
                        pair.module
                    );
                    return Err(ConfigError::new(&key, target, remedy));
                }
                let most = pair.inputs.min(pair.outputs);
                if self.rank > most {
                    let (module, inputs, outputs) = (&pair.module, pair.inputs, pair.outputs);
                    let remedy = format!("`{module}` is a matrix of {outputs} x {inputs}; write at most {most}");
                    return Err(ConfigError::new("rank", self.rank, remedy));
                }
            }
        }
        AdapterShape::new(&self.adapter(), model).map_err(|error| ConfigError::new("targets", error.value, error.remedy))
    }

    /// The training of an adapter on `base`, starting as `seed` draws it.
    ///
    /// # Errors
    /// As [`shape`](Self::shape).
    pub fn training(&self, base: &Model, seed: u64) -> Result<AdapterTraining, ConfigError> {
        Ok(AdapterTraining::new(base, self.adapter(), self.shape(base.config())?, seed))
    }

    fn adapter(&self) -> AdapterConfig {
        AdapterConfig::plain(self.rank, self.alpha, targets(&self.targets), self.rslora)
    }
}

fn targets(names: &[String]) -> Modules {
    if names == [ALL] { Modules::AllLinear } else { Modules::Named(names.to_vec()) }
}

#[cfg(test)]
mod tests;
