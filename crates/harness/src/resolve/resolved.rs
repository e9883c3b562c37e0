use std::collections::BTreeMap;
use std::path::PathBuf;

use lm::Device;
use results::Expectation;
use serde::Serialize;

use super::world::World;
use crate::experiment::Channel;
use crate::places::{Places, SecretPlace};
use crate::secret::OwnerSecret;

/// An experiment with everything looked up.
#[derive(Debug, Clone, Serialize)]
pub struct Resolved {
    /// The folder of its results.
    pub name: String,
    /// What is asked.
    pub question: String,
    /// What was expected.
    pub hypothesis: String,
    /// Repetitions.
    pub seeds: Vec<u64>,
    /// Significance level of the verdict `proven`.
    pub alpha: f64,
    /// The mark that is tested first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Marks of which one more student each learned from a teacher without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks_apart: Vec<String>,
    /// Everything that all runs share.
    pub world: World,
    /// One survival curve each.
    pub channels: Vec<Channel>,
    /// Query budgets, increasing.
    pub budgets: Vec<u64>,
    /// Conditions on the records; no part of what the experiment is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Expectation>,
    /// The owner's secret; never serialised.
    #[serde(skip)]
    pub secret: OwnerSecret,
    /// Where relative paths of the file start; no part of what the experiment is.
    #[serde(skip)]
    pub root: PathBuf,
    /// Where the secret was read; likewise.
    #[serde(skip)]
    pub secret_place: SecretPlace,
    /// What its models compute on; its kind is in the world.
    #[serde(skip)]
    pub device: Device,
}

impl Resolved {
    /// Where everything that it was made from lies.
    pub fn places(&self) -> Places {
        let (secret, salt) = (self.secret_place.clone(), self.secret.salt().map(str::to_string));
        Places { root: self.root.clone(), secret, salt, files: self.world.places().into_iter().collect() }
    }

    /// The same, computed on `device`. On any but the CPU it is another experiment, with results and artifacts of its own.
    pub fn computed_on(mut self, device: Device) -> Self {
        self.world.device = Some(device.name().kind()).filter(|_| !device.is_cpu());
        self.device = device;
        self
    }
}
