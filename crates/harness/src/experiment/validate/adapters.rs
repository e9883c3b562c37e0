//! Students that are trained through an adapter.

use distill::SavedAs;

use super::Check;
use crate::experiment::{BaseConfig, Experiment};

impl Check<'_> {
    pub(super) fn adapter(&mut self, experiment: &Experiment) {
        let Some(lora) = &experiment.student.lora else { return };
        if let Err(error) = lora.validate() {
            self.problem(&format!("student.lora.{}", error.key), "cannot be", error.remedy);
        }
        if lora.save == SavedAs::Adapter && matches!(experiment.base, BaseConfig::Cold(_)) {
            let what = "a freshly drawn base is kept nowhere that an adapter could lead to";
            self.problem("student.lora.save", what, "write save = \"merged\", or start from base.train or base.model");
        }
    }
}
