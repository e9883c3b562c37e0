use std::path::{Path, PathBuf};

use lm::{GradientEngine, Runtime};
use store::StoreError;

use super::steps::steps;
use super::{BatchSource, CurvePoint, TrainPlan, TrainState, Trainable};
use crate::error::DistillError;

/// How many states are kept: should the newest be damaged, there is the one before.
const KEPT: usize = 2;
const SUFFIX: &str = ".safetensors";

/// The latest states of one training, in a directory that several trainings may share: what a killed training goes on from.
///
/// A batch is a pure function of its step and so are all random numbers, so a state is everything there is to keep. Each is
/// written under a temporary name, flushed to the disk and renamed: a kill leaves the states before it as they were.
pub struct Checkpoints {
    directory: PathBuf,
    identity: String,
    /// First part of the names of this training's files.
    prefix: String,
    /// Whether what the training reads is still what it was.
    sound: Box<dyn Fn() -> Result<(), StoreError>>,
}

impl Checkpoints {
    /// The checkpoints below `directory` of the training that `identity` names, with everything that decides its bits (for
    /// example the hash of its artifact). Nobody else may be writing there.
    ///
    /// # Errors
    /// When the directory cannot be read, or cleared of what a kill left half written.
    pub fn open(directory: &Path, identity: &str) -> Result<Self, DistillError> {
        store::remove_temporaries(directory)?;
        let prefix = format!("{}-", store::hash_bytes(identity.as_bytes()).short());
        Ok(Self { directory: directory.to_path_buf(), identity: identity.to_string(), prefix, sound: Box::new(|| Ok(())) })
    }

    /// The same, which save no state when `sound` refuses: one that was trained on what somebody changed meanwhile.
    #[must_use]
    pub fn while_sound(self, sound: impl Fn() -> Result<(), StoreError> + 'static) -> Self {
        Self { sound: Box::new(sound), ..self }
    }

    /// The newest state of at most `until` steps, of a training of `trained`; `None` when there is none. A damaged one is
    /// told to `note` in a line of words and removed, and the one before it is taken.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn latest(
        &self,
        trained: &dyn Trainable,
        until: u64,
        note: &mut dyn FnMut(&str),
    ) -> Result<Option<TrainState>, DistillError> {
        for (step, path) in self.files()?.into_iter().rev().filter(|(step, _)| *step <= until) {
            match TrainState::load(&path, trained, &self.identity) {
                Ok(state) if state.step == step => return Ok(Some(state)),
                Ok(state) => note(&format!("{}: holds step {}; an older state is used", path.display(), state.step)),
                Err(error @ DistillError::File { .. }) => note(&format!("{error}; an older state is used")),
                Err(error) => return Err(error),
            }
            remove(&path)?;
        }
        Ok(None)
    }

    /// Writes `state`, then removes all but the last two.
    ///
    /// # Errors
    /// When the disk refuses, or [`while_sound`](Self::while_sound) does; the states before are kept.
    pub fn save(&self, state: &TrainState) -> Result<(), DistillError> {
        (self.sound)()?;
        let path = self.directory.join(format!("{}{:012}{SUFFIX}", self.prefix, state.step));
        state.save(&path, &self.identity)?;
        let files = self.files()?;
        files[..files.len().saturating_sub(KEPT)].iter().try_for_each(|(_, path)| remove(path))
    }

    /// [`train`](super::train), which saves the state after each step for which `due` says so, and when it is cancelled.
    ///
    /// # Errors
    /// As [`train`](super::train), and when a state cannot be written.
    #[expect(clippy::too_many_arguments, reason = "those of `train`, and when to save")]
    pub fn train(
        &self,
        engine: &dyn GradientEngine,
        plan: &TrainPlan,
        source: &dyn BatchSource,
        state: &mut TrainState,
        until_step: u64,
        rt: &Runtime,
        due: &mut dyn FnMut() -> bool,
        observe: &mut dyn FnMut(&CurvePoint),
    ) -> Result<(), DistillError> {
        let mut saved = state.step;
        let trained = steps(engine, plan, source, state, until_step, rt, &mut |state, point| {
            observe(point);
            // the last state is the caller's result
            if state.step < until_step && due() {
                self.save(state)?;
                saved = state.step;
            }
            Ok(())
        });
        if matches!(trained, Err(DistillError::Cancelled)) && state.step > saved {
            self.save(state)?;
        }
        trained
    }

    /// Step and path of each state, oldest first.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>, DistillError> {
        let wrong = |e| DistillError::io(&self.directory, "list the directory", e);
        let entries = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(wrong)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(wrong)?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)?.strip_suffix(SUFFIX)?.parse().ok());
            files.extend(step.map(|step| (step, entry.path())));
        }
        files.sort();
        Ok(files)
    }
}

fn remove(path: &Path) -> Result<(), DistillError> {
    std::fs::remove_file(path).map_err(|e| DistillError::io(path, "remove it", e))
}

#[cfg(test)]
mod tests;
