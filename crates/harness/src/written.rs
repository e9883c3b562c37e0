//! Experiments as they are given to a command.

use std::path::Path;

use lm::Device;

use crate::config_error::ConfigErrors;
use crate::grid;
use crate::hub::Models;
use crate::resolve::{Grid, resolve_grid};

/// The experiment in `file` with `sets` (`key=value`) applied, expanded, validated and looked up on `device`.
///
/// # Errors
/// Everything that is wrong with it. A resolved experiment (`.json`) does not say where its models and its secret are.
pub fn open(file: &Path, sets: &[String], models: &Models<'_>, device: &Device) -> anyhow::Result<Grid> {
    if file.extension().is_some_and(|kind| kind == "json") && file.is_file() {
        let what = "a resolved experiment, which does not say where its models and its secret are";
        return Err(ConfigErrors::whole(file, what, "name the experiment file that it was made from").into());
    }
    resolve_grid(&grid::read(file, sets)?, models, device)
}
