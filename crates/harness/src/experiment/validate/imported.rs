use std::path::Path;

use corpus::FileKind;
use oracle::Access;

use super::Check;
use crate::experiment::Experiment;

impl Check<'_> {
    /// What cannot be together with answers that were given elsewhere.
    pub(super) fn transcript(&mut self, experiment: &Experiment) {
        let Some(transcript) = &experiment.transcript else { return };
        let control = transcript.control.as_ref().map(|typed| ("transcript.control", typed));
        for (key, typed) in [("transcript.import", &transcript.import)].into_iter().chain(control) {
            if !matches!(FileKind::of(Path::new(typed)), Some(FileKind::JsonLines | FileKind::Parquet)) {
                self.problem(key, "unknown kind of file", "name one that ends in .jsonl or .parquet");
            }
        }
        if transcript.control.as_ref() == Some(&transcript.import) {
            let remedy = "name answers of the unmarked server, or drop it: no mark is proven then";
            self.problem("transcript.control", "the same file as transcript.import", remedy);
        }
        for (index, channel) in experiment.distill.iter().enumerate() {
            if channel.surface.access().max(channel.loss.build().needs()) > Access::Text {
                let what = "an imported transcript holds answers and no log-probabilities";
                self.problem(&format!("distill[{index}]"), what, "use surface = \"text\" with sequence_kd, or drop [transcript]");
            }
        }
        if !experiment.defences.is_empty() {
            let what = "a defence acts while answers are given, and those of [transcript] were given elsewhere";
            self.problem("defences", what, "drop it: what the server did is in its answers");
        }
        for (index, attack) in experiment.attacks.iter().enumerate() {
            if attack.build().changes_questions() {
                let what = "it changes what is asked, and the prompts of [transcript] were asked elsewhere";
                self.problem(&format!("attacks[{index}]"), what, "drop it");
            }
        }
    }
}
