use distill::Compute;

use super::Check;
use crate::experiment::Experiment;

impl Check<'_> {
    /// What owner and thief do against each other.
    pub(super) fn defences_and_attacks(&mut self, experiment: &Experiment) {
        for (index, config) in experiment.defences.iter().enumerate() {
            let defence = config.build();
            if let Err(error) = defence.validate() {
                self.problem(&format!("defences[{index}].{}.{}", defence.name(), error.key), "out of range", error.remedy);
            }
            for name in defence.models() {
                self.named_model(experiment, &format!("defences[{index}].{}", defence.name()), &name, &[]);
            }
        }
        for (index, config) in experiment.attacks.iter().enumerate() {
            let attack = config.build();
            if let Err(error) = attack.validate() {
                self.problem(&format!("attacks[{index}].{}.{}", attack.name(), error.key), "out of range", error.remedy);
            }
            for name in attack.models() {
                self.named_model(experiment, &format!("attacks[{index}].{}", attack.name()), &name, &[]);
            }
            if attack.changes_bought() && matches!(experiment.student.compute, Compute::SinglePass { .. }) {
                let what = "it changes what was bought, and a single pass takes its snapshots along the whole stream";
                self.problem(&format!("attacks[{index}]"), what, "use another `student.compute`, for example `one_pass`");
            }
        }
    }
}
