//! What was typed becomes what will run: paths, specs and identities resolved, the grid expanded.
//!
//! An [`Experiment`] is what a file says. A [`Resolved`] experiment is everything the stages need and nothing they have
//! to look up: dataset specs are read, model directories are identified by the hash of their files, the secret is here
//! as an object and in everything that is hashed as a commitment. A [`Grid`] is all points of a file. A [`Run`] is one suspect of a point; its id does not
//! depend on which other budgets, surfaces or seeds the file names.

mod apart;
mod grid;
mod lookup;
mod model_directory;
mod outside;
mod resolved;
mod run;
mod selection;
mod world;

#[cfg(test)]
mod tests;

pub use apart::TrainedAgain;
pub use grid::{Grid, Point, resolve_grid};
pub use lookup::resolve;
pub use outside::from_outside;
pub use resolved::Resolved;
pub use run::Run;
pub use selection::Selection;
pub use world::{
    Asking, BaseSource, CorpusSource, ModelDirectory, ModelFile, ModelSource, TeacherSource, TranscriptFile, TranscriptSource,
    World,
};
