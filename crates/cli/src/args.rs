//! Arguments that several commands share.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use harness::grid;
use harness::hub::Models;
use harness::resolve::{Grid, Selection, resolve_grid};
use lm::{Device, DeviceName};

/// An experiment file and what overrides it.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Experiment file (TOML).
    pub file: PathBuf,
    /// Override a key, for example --set queries.budgets=[100,300] or --set distill[0].surface=text; repeatable.
    /// Paths given here start at the current directory, those in the file beside the `experiments` folder.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

impl FileArgs {
    /// Reads, expands, validates and looks up the experiment on `device`, shapes of its models included.
    pub fn grid(&self, device: &Device, models: &Models<'_>) -> anyhow::Result<Grid> {
        resolve_grid(&grid::read(&self.file, &self.sets)?, models, device)
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
