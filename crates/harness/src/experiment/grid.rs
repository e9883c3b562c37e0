use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One experiment file, many points: each is this file with some keys overridden, an experiment of its own.
///
/// What is written here is read from the file's tree, so that a mistake points to its line; this type says what it looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GridConfig {
    /// Single points beside the crossed ones: dotted keys in quotes, a value each.
    #[serde(default)]
    pub point: Vec<BTreeMap<String, Json>>,
    /// Axes: dotted keys in quotes, a list of values each, crossed in the order of the file.
    #[serde(flatten)]
    pub axes: BTreeMap<String, Vec<Json>>,
}
