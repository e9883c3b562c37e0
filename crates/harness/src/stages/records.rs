use std::collections::BTreeMap;

use results::{Arm, Kind, RECORD_SCHEMA, Record};

use crate::resolve::Resolved;
use crate::stages::suspect::Suspect;

/// The name of the experiment that records belong to.
pub struct Identity {
    /// Its name.
    pub experiment: String,
    /// The hash of everything that decides its results.
    pub experiment_hash: String,
    /// What the point takes of each axis of its grid; empty where there is none.
    pub axes: BTreeMap<String, String>,
}

impl Identity {
    /// Puts names on a suspect's measurements.
    ///
    /// # Errors
    /// When the run has no canonical form.
    pub fn fill(&self, resolved: &Resolved, suspect: &Suspect, records: Vec<Record>) -> anyhow::Result<Vec<Record>> {
        let run = &suspect.run;
        // of a model from outside nobody knows how it was made: what it is names it
        let run_id = match &suspect.outside {
            Some(_) => suspect.trained.hash.hex(),
            None => resolved.run_id(run)?.hex(),
        };
        let channel = run.channel.as_ref();
        let compute = channel.map_or("-", |_| resolved.world.student.compute.name());
        let uncontrolled = run.arm == Arm::Student && !resolved.world.has_control();
        let is_primary = |record: &Record| record.kind == Kind::Mark && record.mark.is_some() && record.mark == resolved.primary;
        let named = |record: Record| Record {
            schema: RECORD_SCHEMA,
            experiment: self.experiment.clone(),
            experiment_hash: self.experiment_hash.clone(),
            run_id: run_id.clone(),
            seed: run.seed,
            arm: run.arm,
            lacks: run.lacks.clone(),
            model: suspect.outside.as_ref().map(|outside| outside.name.clone()),
            surface: channel.map_or("-".into(), |c| c.surface.label()),
            loss: channel.map_or("-".into(), |c| c.loss.build().name().into()),
            budget_queries: run.budget,
            compute: compute.into(),
            steps: run.steps,
            train_tokens: suspect.cost.map(|cost| cost.training_tokens),
            exchanges_read: suspect.cost.map(|cost| cost.read.exchanges),
            passes: suspect.cost.map(|cost| cost.read.passes()),
            distinct_prompts: suspect.cost.map(|cost| cost.read.distinct_prompts),
            peak_lr: suspect.taught.as_ref().map(|taught| taught.recipe.peak_lr),
            student_id: run.arm.is_distilled().then(|| suspect.trained.id()),
            teacher_id: suspect.lineage.teacher.clone(),
            transcript_id: suspect.lineage.transcript.clone(),
            device: resolved.device.name().kind().into(),
            attack: channel.and_then(|_| resolved.world.attack()),
            defence: resolved.world.defence(),
            axes: self.axes.clone(),
            primary: is_primary(&record).then_some(true),
            uncontrolled: (uncontrolled && record.kind == Kind::Mark).then_some(true),
            ..record
        };
        Ok(records.into_iter().map(named).collect())
    }
}
