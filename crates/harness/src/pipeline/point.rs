//! One point of a grid, from its vocabulary to its records.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use lm::{ComputePath, Runtime};
use results::{LossSeries, Record};
use store::{Hash, Journal, Store};

use super::files::{make_directory, write_timings};
use super::job::{JOURNAL, RunOptions};
use crate::progress::{Predicted, Progress};
use crate::resolve::{Point, World};
use crate::stages::{Context, Identity, Imports, Sources, SuspectRow, Timings, Vocabulary, check_labels, repeat};

/// Everything one point found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Named, not yet judged.
    pub records: Vec<Record>,
    /// Loss curves of the models that were trained.
    pub curves: Vec<LossSeries>,
    /// What the served teacher answers.
    pub samples: Vec<String>,
    /// Where every suspect lies.
    pub suspects: Vec<SuspectRow>,
}

/// What points are run with.
pub(super) struct Workshop<'a> {
    options: &'a RunOptions,
    progress: &'a Progress,
    directory: &'a Path,
    store: Store,
    rt: Arc<Runtime>,
    journal: Journal,
    /// Texts of the last point: the next usually has the same.
    sources: Option<(Hash, Arc<Sources>)>,
    /// Whether any stage was really run.
    pub worked: bool,
}

impl<'a> Workshop<'a> {
    /// Opens store and journal; the journal's lock keeps a second process away from `directory`.
    pub fn open(
        directory: &'a Path,
        device: lm::Device,
        options: &'a RunOptions,
        progress: &'a Progress,
        cancelled: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        // what an earlier run left there is found again by its artifacts
        let journal = Journal::begin(&directory.join(JOURNAL))?;
        store::remove_temporaries(directory)?;
        let store = open_store(options)?.cancelled_by(cancelled.clone());
        let mut rt = Runtime::new(options.threads, ComputePath::Fused, cancelled.clone())?.with_device(device);
        if let Some(rows) = options.decode_rows {
            rt = rt.with_decode_rows(rows);
        }
        Ok(Self { options, progress, directory, store, rt: Arc::new(rt), journal, sources: None, worked: false })
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.rt.check_cancelled().is_err()
    }

    /// Removes the journal of a finished run.
    pub fn close(self) {
        let _ = std::fs::remove_file(self.journal.path());
    }

    fn sources(&mut self, world: &World) -> anyhow::Result<Arc<Sources>> {
        let name = store::hash_json(&world.corpus)?;
        if let Some((_, sources)) = self.sources.as_ref().filter(|(known, _)| *known == name) {
            return Ok(sources.clone());
        }
        let sources = Arc::new(Sources::open(&world.corpus, &self.rt).context("`corpus.file`")?);
        self.sources = Some((name, sources.clone()));
        Ok(sources)
    }

    /// Runs every stage of `point` that is not done yet; all of it was `predicted` to take so long.
    ///
    /// # Errors
    /// What stopped it; everything finished before is kept and found again. That something was changed while it was in use comes before
    /// whatever else that led to.
    pub fn run(&mut self, point: &Point, predicted: &Predicted) -> anyhow::Result<Found> {
        let found = self.stages(point, predicted);
        match self.store.check() {
            Err(changed) if !self.is_cancelled() => Err(changed.into()),
            _ => found,
        }
    }

    fn stages(&mut self, point: &Point, predicted: &Predicted) -> anyhow::Result<Found> {
        let experiment = &point.resolved;
        // nothing of an earlier point is in use any more, and one of them may have failed because something changed
        self.store.forget();
        experiment.world.files().into_iter().for_each(|(path, seen)| self.store.watch(path, seen));
        let sources = self.sources(&experiment.world)?;
        // imported prompts are none of the corpus'
        let asked = if experiment.world.transcript.is_some() { 0 } else { experiment.largest_budget() };
        sources.check(experiment.world.measure.held_out_documents, asked)?;
        let (store, rt, progress) = (&self.store, &self.rt, self.progress);
        let vocabulary = Vocabulary::open(&experiment.world, &sources, store, rt, progress)?;
        check_labels(experiment, &vocabulary)?;
        let student_vocabulary = Vocabulary::of_student(experiment, &vocabulary, &sources, store, rt, progress)?;
        let imports = Imports::open(experiment, (&vocabulary, student_vocabulary.as_ref()), store, rt, progress)?;
        let timings = Timings::default();
        let identity =
            Identity { experiment: experiment.name.clone(), experiment_hash: point.hash.hex(), axes: point.axes.clone() };
        let mut found = Found::default();
        for &seed in &experiment.seeds {
            let ctx = Context {
                resolved: experiment,
                seed,
                store,
                rt,
                checkpoint_every: self.options.checkpoint_every,
                progress,
                predicted: predicted.of_one(experiment.seeds.len()),
                timings: &timings,
                sources: &sources,
                vocabulary: &vocabulary,
                student_vocabulary: student_vocabulary.as_ref(),
                imports: imports.as_ref(),
            };
            let journal = &mut self.journal;
            let noted =
                &mut |found: &[Record]| -> anyhow::Result<()> { found.iter().try_for_each(|record| Ok(journal.append(record)?)) };
            let repetition = repeat(&ctx, &identity, noted);
            // also of a run that was stopped: what it finished will not be done again
            self.worked |= write_timings(&timings, self.directory)?;
            let repetition = repetition?;
            found.records.extend(repetition.records);
            let placed = |curve: LossSeries| LossSeries { axes: point.axes.clone(), ..curve };
            found.curves.extend(repetition.curves.into_iter().map(placed));
            found.samples.extend(repetition.samples);
            found.suspects.extend(repetition.suspects);
        }
        Ok(found)
    }
}

/// The store that `options` name.
pub(super) fn open_store(options: &RunOptions) -> anyhow::Result<Store> {
    if options.offline_artifacts {
        return Ok(Store::offline(&options.artifacts));
    }
    make_directory("--artifacts", &options.artifacts, &options.artifacts)?;
    Ok(Store::open(&options.artifacts)?)
}
