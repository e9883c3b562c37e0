use std::fmt;
use std::path::Path;

use oracle::ConfigError;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::arch::Fields;
use crate::read::LoadError;

/// Largest rank of a pair: far beyond any adapter's.
pub const LARGEST_RANK: usize = 1 << 20;
/// Most names in a list, most patterns in a table.
const MOST_ENTRIES: usize = 4096;

/// Keys of `adapter_config.json` that say how an adapter was made or is to be trained further, never what it computes.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "corda_config",
    "eva_config",
    "fan_in_fan_out", // follows from the module, which peft corrects it by too
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "runtime_config",
];

/// Ways of beginning a training that leave the base as it is; the others take from the base what they put into the adapter.
const PLAIN_BEGINNINGS: &[&str] = &["gaussian", "eva", "orthogonal"];

/// Some of a model's modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modules {
    /// Those of these names, each whole (`model.layers.0.mlp.up_proj`) or its end (`up_proj`, `mlp.up_proj`).
    Named(Vec<String>),
    /// Those whose whole name a regular expression describes.
    Pattern(String),
    /// Every matrix product but the one that gives logits.
    AllLinear,
}

/// The layers that are adapted, where not all are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// Their numbers.
    pub numbers: Vec<u64>,
    /// Regular expressions for what stands before the number in a module's name; anything where there are none.
    pub before: Vec<String>,
}

/// What an `adapter_config.json` says: a LoRA (Hu et al. 2021, arXiv 2106.09685) in the words of the library peft.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Width of the pairs of matrices, where [`Self::rank_pattern`] says nothing else.
    pub rank: usize,
    /// What a pair adds is multiplied by alpha / rank, where [`Self::alpha_pattern`] says nothing else.
    pub alpha: f64,
    /// By alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732).
    pub rslora: bool,
    /// What is adapted.
    pub targets: Modules,
    /// What of that is not.
    pub exclude: Option<Modules>,
    /// The layers that are; `None` for all.
    pub layers: Option<Layers>,
    /// Regular expressions for the ends of modules' names, with their rank; the first that fits counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same with their alpha.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Modules that the adapter brings whole, by the ends of their names.
    pub modules_to_save: Vec<String>,
    /// The model it belongs to: a directory, or `org/name` on the hub.
    pub base: Option<String>,
    /// Branch, tag or commit of that on the hub.
    pub revision: Option<String>,
    /// The task it was made for, where that is another than to go on with a text.
    pub other_task: Option<String>,
}

impl AdapterConfig {
    /// Reads the text of an `adapter_config.json`; `path` is only named in errors.
    ///
    /// # Errors
    /// When it is not JSON, a value is missing or out of range, or an option is set that would change results and is not
    /// supported.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LoadError> {
        let broken = |error: serde_json::Error| LoadError::Json { path: path.into(), why: error.to_string() };
        let value: Value = serde_json::from_str(text).map_err(broken)?;
        let Some(map) = value.as_object() else {
            return Err(LoadError::Json { path: path.into(), why: "the top level is not an object".into() });
        };
        let Patterns { rank_pattern, alpha_pattern } = serde_json::from_str(text).map_err(broken)?;
        let (ranks, alphas) = (rank_pattern.unwrap_or_default().0, alpha_pattern.unwrap_or_default().0);
        Self::from_fields(&Fields::new(map), ranks, alphas).map_err(|error| LoadError::Config { path: path.into(), error })
    }

    fn from_fields(fields: &Fields<'_>, ranks: Vec<(String, Value)>, alphas: Vec<(String, Value)>) -> Result<Self, ConfigError> {
        only(fields, "peft_type", &[json!("LORA")], true)?;
        for (key, patterns) in [("rank_pattern", &ranks), ("alpha_pattern", &alphas)] {
            if patterns.len() > MOST_ENTRIES {
                return Err(few(key, patterns.len()));
            }
        }
        let task = fields.get("task_type").map(|_| fields.text("task_type").map(str::to_string)).transpose()?;
        only(fields, "bias", &[json!("none")], false)?;
        if let Some(begun) = fields.get("init_lora_weights")
            && !begun.is_boolean()
            && !begun.as_str().is_some_and(|begun| PLAIN_BEGINNINGS.contains(&begun))
        {
            let remedy =
                "such an adapter belongs to a changed base; save it converted to a plain LoRA (true, false or \"gaussian\")";
            return Err(ConfigError::new("init_lora_weights", begun, remedy));
        }
        let targets = modules(fields, "target_modules")?
            .ok_or_else(|| ConfigError::new("target_modules", "missing", "give a list of names, or a regular expression"))?;
        let numbers = match fields.get("layers_to_transform") {
            None => None,
            Some(value) => Some(
                numbers(value).ok_or_else(|| ConfigError::new("layers_to_transform", value, "give a list of whole numbers"))?,
            ),
        };
        let before = match modules(fields, "layers_pattern")? {
            None => Vec::new(),
            Some(Modules::Named(names)) => names,
            Some(Modules::Pattern(one)) => vec![one],
            Some(Modules::AllLinear) => vec!["all-linear".into()],
        };
        let layers = numbers.filter(|numbers| !numbers.is_empty()).map(|numbers| Layers { numbers, before: before.clone() });
        match &layers {
            None if !before.is_empty() => {
                return Err(ConfigError::new("layers_pattern", before.join(", "), "give layers_to_transform too, or drop it"));
            }
            Some(_) if !matches!(targets, Modules::Named(_)) => {
                let remedy = "give target_modules as a list, or drop it: layers are chosen among named modules only";
                return Err(ConfigError::new("layers_to_transform", "given", remedy));
            }
            _ => {}
        }
        let rank = |key: &str, value: &Value| {
            let number = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=LARGEST_RANK).contains(n));
            number.ok_or_else(|| ConfigError::new(key, value, format!("give a whole number from 1 to {LARGEST_RANK}")))
        };
        let alpha = |key: &str, value: &Value| {
            let number = value.as_f64().filter(|x| (*x as f32).is_finite());
            number.ok_or_else(|| ConfigError::new(key, value, "give a finite number"))
        };
        let missing = json!("missing");
        let text = |key| fields.get(key).map(|_| fields.text(key).map(str::to_string)).transpose();
        let config = Self {
            rank: rank("r", fields.get("r").unwrap_or(&missing))?,
            alpha: alpha("lora_alpha", fields.get("lora_alpha").unwrap_or(&missing))?,
            rslora: fields.switch("use_rslora", false)?,
            targets,
            exclude: modules(fields, "exclude_modules")?,
            layers,
            rank_pattern: valued(ranks, |name, value| rank(&format!("rank_pattern.{name}"), value))?,
            alpha_pattern: valued(alphas, |name, value| alpha(&format!("alpha_pattern.{name}"), value))?,
            modules_to_save: match modules(fields, "modules_to_save")? {
                Some(Modules::Named(names)) => names,
                Some(_) => return Err(ConfigError::new("modules_to_save", "a text", "give a list of names")),
                None => Vec::new(),
            },
            base: text("base_model_name_or_path")?.filter(|base| !base.is_empty()),
            revision: text("revision")?.filter(|revision| !revision.is_empty()),
            other_task: task.filter(|task| task != "CAUSAL_LM" && !task.is_empty()),
        };
        for key in HARMLESS.iter().chain(&["rank_pattern", "alpha_pattern"]) {
            fields.get(key);
        }
        fields.refuse_unread()?;
        Ok(config)
    }

    /// A LoRA of one rank and alpha on all `targets`.
    pub fn plain(rank: usize, alpha: f64, targets: Modules, rslora: bool) -> Self {
        Self {
            rank,
            alpha,
            rslora,
            targets,
            exclude: None,
            layers: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            modules_to_save: Vec::new(),
            base: None,
            revision: None,
            other_task: None,
        }
    }

    /// What its user should know of it, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.alpha == 0.0 && self.alpha_pattern.iter().all(|(_, alpha)| *alpha == 0.0) {
            let but = if self.modules_to_save.is_empty() { "" } else { ", but for modules_to_save" };
            notes.push(format!("`lora_alpha` is 0: this adapter changes nothing{but}"));
        }
        if let Some(task) = &self.other_task {
            notes.push(format!(
                "`task_type` is \"{task}\": what the adapter changes in the language model is read, a head of its own is not"
            ));
        }
        notes
    }

    /// Whether it is one that [`Self::plain`] makes, on any base.
    pub(super) fn is_plain(&self) -> bool {
        let plain = Self::plain(self.rank, self.alpha, self.targets.clone(), self.rslora);
        *self == Self { base: self.base.clone(), revision: self.revision.clone(), ..plain }
    }

    /// The content of `adapter_config.json` of a plain one, with the keys that peft asks for. `fan_in_fan_out`: whether every
    /// weight that is adapted is stored as (inputs, outputs).
    pub(super) fn json(&self, fan_in_fan_out: bool) -> Value {
        let targets = match &self.targets {
            Modules::Named(names) => json!(names),
            Modules::Pattern(pattern) => json!(pattern),
            Modules::AllLinear => json!("all-linear"),
        };
        let whole = self.alpha.fract() == 0.0 && self.alpha.abs() < 1e15;
        json!({
            "alpha_pattern": {},
            "base_model_name_or_path": self.base,
            "bias": "none",
            "fan_in_fan_out": fan_in_fan_out,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": if whole { json!(self.alpha as i64) } else { json!(self.alpha) },
            "lora_bias": false,
            "lora_dropout": 0.0,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.rank,
            "rank_pattern": {},
            "revision": self.revision,
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": self.rslora,
        })
    }
}

/// Refuses any value of `key` but those of `all`; its absence too where it is `needed`.
fn only(fields: &Fields<'_>, key: &str, all: &[Value], needed: bool) -> Result<(), ConfigError> {
    let words: Vec<String> = all.iter().map(Value::to_string).collect();
    match fields.get(key) {
        Some(value) if !all.contains(value) => {
            Err(ConfigError::new(key, value, format!("not supported; only {} is", words.join(" or "))))
        }
        None if needed => Err(ConfigError::new(key, "missing", format!("give {}", words.join(" or ")))),
        _ => Ok(()),
    }
}

/// Names, a regular expression, or nothing.
fn modules(fields: &Fields<'_>, key: &str) -> Result<Option<Modules>, ConfigError> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let wrong = || ConfigError::new(key, value, "give a list of names, or a regular expression");
    match value {
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text.to_lowercase() == "all-linear" => Ok(Some(Modules::AllLinear)),
        Value::String(text) => Ok(Some(Modules::Pattern(text.clone()))),
        Value::Array(list) if list.is_empty() => Ok(None),
        Value::Array(list) if list.len() > MOST_ENTRIES => Err(few(key, list.len())),
        Value::Array(list) => {
            let names: Option<Vec<String>> = list.iter().map(|name| name.as_str().map(str::to_string)).collect();
            names.map(|names| Some(Modules::Named(names))).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

/// A whole number or a list of them.
fn numbers(value: &Value) -> Option<Vec<u64>> {
    match value {
        Value::Array(list) => list.iter().map(Value::as_u64).collect(),
        one => Some(vec![one.as_u64()?]),
    }
}

/// Refuses so many entries: each is tried on every module.
fn few(key: &str, count: usize) -> ConfigError {
    ConfigError::new(key, format!("{count} entries"), format!("give at most {MOST_ENTRIES}"))
}

fn valued<T>(
    pairs: Vec<(String, Value)>,
    read: impl Fn(&str, &Value) -> Result<T, ConfigError>,
) -> Result<Vec<(String, T)>, ConfigError> {
    pairs.into_iter().map(|(name, value)| read(&name, &value).map(|value| (name, value))).collect()
}

/// The keys whose order counts.
#[derive(Deserialize)]
struct Patterns {
    #[serde(default)]
    rank_pattern: Option<InOrder>,
    #[serde(default)]
    alpha_pattern: Option<InOrder>,
}

/// The entries of an object as they are in the file.
#[derive(Default)]
struct InOrder(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of patterns")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<InOrder, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests;
