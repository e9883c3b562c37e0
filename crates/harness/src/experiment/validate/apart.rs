use ::marks::{MarkEntry, Phase};

use super::Check;
use crate::experiment::Experiment;

impl Check<'_> {
    /// Marks of which a teacher may be without one.
    pub(super) fn marks_apart(&mut self, experiment: &Experiment) {
        let apart = &experiment.marks_apart;
        if experiment.transcript.is_some() && !apart.is_empty() {
            let what =
                "the answers of [transcript] were given elsewhere, and nobody has those of a server without one of its marks";
            self.problem("marks_apart", what, "drop it");
            return;
        }
        let planted = experiment.marks.values().filter(|entry| is_planted(entry)).count();
        for (index, name) in apart.iter().enumerate() {
            let key = format!("marks_apart[{index}]");
            let Some(entry) = self.known_mark(&key, experiment, name) else { continue };
            // what is wrong with the mark itself is said of the mark
            if entry.config().is_err() {
                continue;
            }
            if apart[..index].contains(name) {
                self.problem(&key, "given twice", "drop one of them");
            } else if !is_planted(entry) {
                self.problem(&key, "nobody plants it, so every teacher has it as it is", "name a mark that is planted");
            } else if planted == 1 {
                let what = "it is the only mark that is planted, so the student without it is the control";
                self.problem(&key, what, "drop it: the control stands beside every student");
            }
        }
    }
}

fn is_planted(entry: &MarkEntry) -> bool {
    entry.config().is_ok_and(|config| config.info().planted && config.needs().phase != Phase::Nothing)
}
