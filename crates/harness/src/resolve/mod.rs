//! What was typed becomes what will run: paths, specs and identities resolved, the grid expanded.
//!
//! An [`Experiment`] is what a file says. A [`Resolved`] experiment is everything the stages need and nothing they have
//! to look up: dataset specs are read, model directories are identified by the hash of their files, the secret is here
//! as an object and in everything that is hashed as a commitment. A [`Run`] is one suspect of the grid; its id does not
//! depend on which other budgets, surfaces or seeds the file names.

mod grid;
mod lookup;
mod model_directory;
mod world;

#[cfg(test)]
mod tests;

pub use grid::Run;
pub use lookup::resolve;
pub use world::{Asking, BaseSource, CorpusSource, ModelDirectory, ModelFile, ModelSource, TeacherSource, World};

use lm::Device;
use serde::Serialize;

use crate::experiment::Channel;
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
    /// Everything that all runs share.
    pub world: World,
    /// One survival curve each.
    pub channels: Vec<Channel>,
    /// Query budgets, increasing.
    pub budgets: Vec<u64>,
    /// The owner's secret; never serialised.
    #[serde(skip)]
    pub secret: OwnerSecret,
    /// What its models compute on; its kind is in the world.
    #[serde(skip)]
    pub device: Device,
}

impl Resolved {
    /// The same, computed on `device`. On any but the CPU it is another experiment, with results and artifacts of its own.
    pub fn computed_on(mut self, device: Device) -> Self {
        self.world.device = Some(device.name().kind()).filter(|_| !device.is_cpu());
        self.device = device;
        self
    }
}
