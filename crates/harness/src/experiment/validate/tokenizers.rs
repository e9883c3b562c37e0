//! Tokenizers that are trained here, and a student whose own is another than the teacher's.

use oracle::Access;

use super::Check;
use crate::experiment::{BaseConfig, Experiment, TokenizerConfig, TrainedBpe};

impl Check<'_> {
    /// A tokenizer to be trained, at `key`.
    pub(super) fn trained_tokenizer(&mut self, key: &str, bpe: &TrainedBpe) {
        if bpe.vocab_size < 260 || bpe.vocab_size > 1 << 20 {
            let remedy = "write 260 to 1048576: the 256 bytes always have an entry";
            self.problem(&format!("{key}.bpe.vocab_size"), "out of range", remedy);
        }
        self.at_least(&format!("{key}.bpe.documents"), bpe.documents, 1);
    }

    /// A student of another tokenizer learns from text alone.
    pub(super) fn student_tokenizer(&mut self, experiment: &Experiment) {
        let Some(TokenizerConfig::Bpe(bpe)) = &experiment.student.tokenizer else { return };
        self.trained_tokenizer("student.tokenizer", bpe);
        if matches!(experiment.base, BaseConfig::Model(_)) {
            self.problem("student.tokenizer", "`base.model` brings its own", "drop it");
        }
        for (index, channel) in experiment.distill.iter().enumerate() {
            let loss = channel.loss.build();
            if loss.needs() > Access::Text {
                let what = format!("`{}` compares laws token by token, and the student has another tokenizer", loss.name());
                self.problem(&format!("distill[{index}].loss"), what, "use sequence_kd, or drop `student.tokenizer`");
            }
        }
    }
}
