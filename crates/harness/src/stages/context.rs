use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use distill::{Curve, RetokenisedOracle, Retokeniser, Served, TrainPlan};
use lm::{Model, ModelCard, Runtime};
use oracle::Oracle;
use results::Arm;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Artifact, Claim, Hash, Key, Making, Store};

use crate::progress::{Predicted, Progress};
use crate::resolve::Resolved;
use crate::seeds::seed_for;
pub use crate::stages::json::{load_json, save_json};
use crate::stages::place::place_of;
use crate::stages::{Imports, Sources, Vocabulary};

/// How long one stage took: kept apart from records, which hold nothing that depends on a clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What was done.
    pub stage: String,
    /// The repetition.
    pub seed: u64,
    /// Wall time.
    pub wall_seconds: f64,
    /// Tokens trained on, generated or scored, where the stage counts them.
    pub tokens: u64,
}

/// Timings of the stages that were really run, in order of completion.
#[derive(Debug, Default)]
pub struct Timings(Mutex<Vec<Timing>>);

impl Timings {
    /// Notes one finished stage.
    pub fn push(&self, stage: &str, seed: u64, started: Instant, tokens: u64) {
        let timing = Timing { stage: stage.to_string(), seed, wall_seconds: started.elapsed().as_secs_f64(), tokens };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }

    /// All of them.
    pub fn take(&self) -> Vec<Timing> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What every stage of one repetition shares.
pub struct Context<'a> {
    /// The experiment, looked up.
    pub resolved: &'a Resolved,
    /// The repetition.
    pub seed: u64,
    /// Where artifacts lie.
    pub store: &'a Store,
    /// Workers, compute path, cancellation.
    pub rt: &'a Arc<Runtime>,
    /// Wall time between two checkpoints of a training.
    pub checkpoint_every: Duration,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// What one repetition was predicted to take.
    pub predicted: Predicted,
    /// How long stages took.
    pub timings: &'a Timings,
    /// Texts by purpose.
    pub sources: &'a Sources,
    /// Text to token ids: the teacher's, in which the owner asks and measures.
    pub vocabulary: &'a Vocabulary,
    /// The student's, where it is another.
    pub student_vocabulary: Option<&'a Vocabulary>,
    /// Answers from outside, where there are any.
    pub imports: Option<&'a Imports>,
}

/// A trained model with the name of its artifact.
#[derive(Clone)]
pub struct Trained {
    /// The model.
    pub model: Arc<Model>,
    /// Names everything it was made from.
    pub hash: Hash,
    /// Directory of its artifact below the artifacts, `kind/hash`; `None` for a model that was brought or freshly drawn.
    pub place: Option<String>,
    /// Loss by step of the training that made it; empty for a model that was brought.
    pub curve: Curve,
}

/// File of an artifact that holds a training's loss curve.
pub(super) const CURVE: &str = "curve.json";
/// Points it is thinned to: a training of half a million steps needs no more to be drawn.
const CURVE_POINTS: usize = 4096;

impl Context<'_> {
    /// The seed of one purpose within this repetition.
    pub fn seed_for(&self, purpose: &str) -> u64 {
        seed_for(self.seed, purpose)
    }

    /// The vocabulary of the experiment's own model at `arm`, where it is not the teacher's.
    pub fn own_vocabulary(&self, arm: Arm) -> Option<&Vocabulary> {
        self.student_vocabulary.filter(|_| arm.is_distilled() || arm == Arm::Base)
    }

    /// From the teacher's tokens to those of `own`.
    pub fn to_own(&self, own: &Vocabulary) -> Retokeniser {
        Retokeniser::new(self.vocabulary.tokenizer.clone(), own.tokenizer.clone())
    }

    /// A model as the owner asks it, in the teacher's tokens; `own` is its vocabulary, where that is another.
    pub fn asked(&self, own: Option<&Vocabulary>, served: Served) -> Box<dyn Oracle> {
        match own {
            Some(own) => {
                let context = served.model().context_length();
                Box::new(RetokenisedOracle::new(served, self.to_own(own), context))
            }
            None => Box::new(served),
        }
    }

    /// The experiment's optimiser over `steps` steps.
    pub fn plan(&self, steps: u64, batch_rows: usize, peak_lr: f64) -> TrainPlan {
        self.resolved.world.optimizer.plan(steps, batch_rows, peak_lr)
    }

    /// The artifact of `key`: found, or made by `make` in an empty directory. A damaged one is said aloud and made again.
    ///
    /// # Errors
    /// Those of `make`, and what the disk refuses.
    pub fn artifact(&self, kind: &str, key: &Key, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Artifact> {
        self.resumable(kind, key, |making| make(making.path()))
    }

    /// As [`artifact`](Self::artifact) for work long enough to keep checkpoints, in [`Making::scratch`].
    ///
    /// # Errors
    /// As [`artifact`](Self::artifact).
    pub fn resumable(&self, kind: &str, key: &Key, make: impl FnOnce(&Making) -> anyhow::Result<()>) -> anyhow::Result<Artifact> {
        self.rt.check_cancelled()?;
        self.store.get_or_build(kind, &self.on_device(key), make, &mut |text| self.progress.warn(text))
    }

    /// Gives the caller the task of making the artifact of `key`, unless it is there: for work that overlaps with the next.
    ///
    /// # Errors
    /// What the disk refuses, and cancellation.
    pub fn claim(&self, kind: &str, key: &Key) -> anyhow::Result<Claim> {
        self.rt.check_cancelled()?;
        Ok(self.store.claim(kind, &self.on_device(key), &mut |text| self.progress.warn(text))?)
    }

    /// `key`, with the kind of the device where that is not the CPU: artifacts of two kinds never meet.
    fn on_device<'k>(&self, key: &'k Key) -> Cow<'k, Key> {
        computed_on(self.resolved.world.device, key)
    }

    /// Saves a model with its curve into an artifact under construction, in the form transformers loads.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_model(
        &self,
        directory: &Path,
        model: &Model,
        vocabulary: &Vocabulary,
        curve: &Curve,
        card: &ModelCard,
    ) -> anyhow::Result<()> {
        model.save(directory, Some(&vocabulary.tokenizer), card)?;
        self.save_curve(directory, curve)
    }

    /// Saves a training's curve into an artifact under construction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_curve(&self, directory: &Path, curve: &Curve) -> anyhow::Result<()> {
        save_json(&directory.join(CURVE), &curve.thinned(CURVE_POINTS))
    }

    /// Loads what [`save_model`](Self::save_model) saved.
    ///
    /// # Errors
    /// When a file is not what was written.
    pub fn load_model(&self, artifact: &Artifact) -> anyhow::Result<Trained> {
        // ids that stand for no token are told by the tokenizer alone
        let all = std::iter::once(self.vocabulary).chain(self.student_vocabulary);
        let model = if all.into_iter().all(|vocabulary| vocabulary.tokenizer.absent().is_empty()) {
            Model::load(artifact.path())?
        } else {
            Model::load_with_tokenizer(artifact.path())?.0
        };
        self.load_curve(artifact, model)
    }

    /// `model`, which came of `artifact`, with the curve kept there.
    ///
    /// # Errors
    /// When the file is not what was written.
    pub fn load_curve(&self, artifact: &Artifact, model: Model) -> anyhow::Result<Trained> {
        let curve = load_json(&artifact.file(CURVE))?;
        Ok(Trained { model: Arc::new(model), hash: artifact.hash(), place: Some(place_of(artifact)), curve })
    }
}

impl Trained {
    /// The directory of its artifact; of a model without one the hash that names it.
    pub fn id(&self) -> String {
        self.place.clone().unwrap_or_else(|| self.hash.hex())
    }
}

fn computed_on<'k>(device: Option<&str>, key: &'k Key) -> Cow<'k, Key> {
    match device {
        None => Cow::Borrowed(key),
        Some(kind) => Cow::Owned(Key { inputs: json!({ "device": kind, "inputs": key.inputs }), ..*key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_artifacts_of_its_own_and_the_cpu_those_it_always_had() {
        let key = Key::new(3, &json!({ "model": "x" })).unwrap();
        assert_eq!(*computed_on(None, &key), key);
        let (cuda, metal) = (computed_on(Some("cuda"), &key), computed_on(Some("metal"), &key));
        assert_eq!((cuda.revision, &cuda.inputs["device"]), (3, &json!("cuda")));
        let names = [&key, &*cuda, &*metal].map(|key| key.hash("student").unwrap());
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
        let other = Key::new(3, &json!({ "model": "y" })).unwrap();
        assert_ne!(computed_on(Some("cuda"), &other).hash("student").unwrap(), names[1]);
    }
}
