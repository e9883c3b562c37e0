//! Arguments that several commands share.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use harness::hub::Models;
use harness::resolve::{Grid, Selection};
use harness::written;
use lm::{Device, DeviceName};

/// An experiment file and what overrides it.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Experiment file (TOML), or the experiment.json of a results directory, which is the same resolved.
    pub file: PathBuf,
    /// Override a key, for example --set queries.budgets=[100,300] or --set distill[0].surface=text; repeatable. A table that is given
    /// replaces the whole one: --set 'teacher={ model = "DIR" }', --set 'base={ model = "DIR" }'.
    /// Paths given here start at the current directory, those in the file beside the `experiments` folder.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

impl FileArgs {
    /// Reads, expands, validates and looks up the experiment on `device`, shapes of its models included.
    pub fn grid(&self, device: &Device, models: &Models<'_>) -> anyhow::Result<Grid> {
        written::open(&self.file, &self.sets, models, device)
    }
}

/// A part of a grid.
#[derive(Debug, Args)]
pub struct PartArgs {
    /// Only points of the grid with this value of an axis, for example --only queries.max_new_tokens=16; repeatable: values of one
    /// axis are alternatives, several axes must all fit.
    #[arg(long, value_name = "KEY=VALUE")]
    only: Vec<String>,
    /// Only the first N of these points.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl PartArgs {
    /// The points of `grid` that are meant.
    pub fn chosen(&self, grid: &Grid) -> anyhow::Result<Vec<usize>> {
        let limit = self.limit.map(|limit| limit as usize);
        Ok(grid.selected(&Selection { only: self.only.clone(), limit })?)
    }
}

/// Workers.
#[derive(Debug, Args)]
pub struct ThreadArgs {
    /// Worker threads [default: as many as the machine has]. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadArgs {
    pub fn count(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// A whole number that may be 0.
pub fn count<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number, 0 or more".to_string())
}

/// A whole number above 0.
pub fn count_above_0<T: std::str::FromStr + PartialEq + Default>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|number| *number != T::default()).ok_or_else(|| "write a whole number, 1 or more".to_string())
}

/// Where models compute.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Where models compute: cpu, cuda, cuda:N (the GPU number N) or metal, if this birthmark was built for it. Bits are promised on
    /// the CPU; what another device computes is kept apart.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceName,
}

impl DeviceArgs {
    /// Opens it.
    pub fn open(&self) -> anyhow::Result<Device> {
        Device::open(self.device).with_context(|| format!("--device {}", self.device))
    }
}
