use std::sync::Arc;

use lm::Model;
use serde::{Deserialize, Serialize};

use super::Attack;
use oracle::ConfigError;

use crate::error::DistillError;
use crate::pretrain::{PackedDocuments, PretrainSource};
use crate::tools::Tools;
use crate::train::{TrainState, train};

/// The finished student is trained further on clean text of the corpus (methods h): what it learned of a mark fades with what is
/// laid over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanFineTuning {
    /// Training tokens, rounded up to whole batches.
    pub tokens: u64,
    /// Tokens in a row; documents are packed into rows.
    pub row_tokens: usize,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// Highest learning rate.
    pub peak_lr: f64,
}

impl CleanFineTuning {
    fn steps(&self) -> u64 {
        self.tokens.div_ceil((self.row_tokens * self.batch_rows).max(1) as u64)
    }
}

impl Attack for CleanFineTuning {
    fn name(&self) -> &'static str {
        "clean_fine_tuning"
    }

    fn label(&self) -> String {
        format!("clean_fine_tuning({})", self.tokens)
    }

    fn source(&self) -> &'static str {
        "Gu et al. 2024, On the Learnability of Watermarks for Language Models, section 5.3, arXiv 2312.04469"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, least) in
            [("tokens", self.tokens, 1), ("row_tokens", self.row_tokens as u64, 2), ("batch_rows", self.batch_rows as u64, 1)]
        {
            if value < least {
                return Err(ConfigError::new(key, value, format!("write {least} or more")));
            }
        }
        if !(self.peak_lr > 0.0 && self.peak_lr <= 1.0) {
            return Err(ConfigError::new("peak_lr", self.peak_lr, "write a number above 0 and at most 1, usually 1e-4 to 1e-2"));
        }
        Ok(())
    }

    fn changes_student(&self) -> bool {
        true
    }

    fn training_tokens(&self) -> u64 {
        self.steps() * (self.row_tokens * self.batch_rows) as u64
    }

    fn student(&self, student: Arc<Model>, tools: &Tools<'_>) -> Result<Arc<Model>, DistillError> {
        if self.row_tokens > student.context_length() {
            let context = student.context_length();
            let error = ConfigError::new(
                "row_tokens",
                self.row_tokens,
                format!("a student holds {context} tokens: write {context} or less"),
            );
            return Err(error.into());
        }
        let plan = (tools.plan)(self.steps(), self.batch_rows, self.peak_lr);
        let rows = plan.total_rows();
        let documents = (tools.texts)(rows * self.row_tokens as u64 + 1)?;
        let packed = PackedDocuments::new(documents, self.row_tokens, rows, tools.codec.bos())?;
        let source = PretrainSource::new(&packed, &plan)?;
        let mut state = TrainState::new(&*student);
        let engine = lm::gradient_engine(student.config(), tools.runtime);
        train(&*engine, &plan, &source, &mut state, plan.steps, tools.runtime, &mut |_| ())?;
        Ok(Arc::new(state.model(&*student)))
    }

    fn examples() -> Vec<Self> {
        vec![Self { tokens: 256, row_tokens: 8, batch_rows: 4, peak_lr: 1e-3 }]
    }
}
