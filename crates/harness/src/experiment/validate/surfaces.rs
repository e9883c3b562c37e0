//! What a surface can show of one of its own, before anything is known of tokens.

use oracle::Surface;

use super::Check;
use crate::experiment::{Experiment, TokenizerConfig};

impl Check<'_> {
    /// The surface at `key`. Which tokens labels are is checked when the tokenizer is there.
    pub(super) fn surface(&mut self, key: &str, experiment: &Experiment, surface: &Surface) {
        match surface {
            Surface::TopLogprobs { k, .. } => {
                let most = match &experiment.tokenizer {
                    TokenizerConfig::Bpe(bpe) => bpe.vocab_size,
                    TokenizerConfig::OfTeacher => usize::MAX,
                };
                if *k == 0 || *k > most {
                    let remedy = if *k == 0 { "write 1 or more".into() } else { format!("the vocabulary has {most} tokens") };
                    self.problem(&format!("{key}.top_logprobs.k"), "out of range", remedy);
                }
            }
            Surface::Label { .. } => {
                if let Err(error) = surface.validate() {
                    self.problem(&format!("{key}.{}", error.key), "cannot be answered with", error.remedy);
                }
                let waits = |entry: &marks::MarkEntry| entry.config().is_ok_and(|config| config.needs().waits_for_prompts);
                if let Some((mark, _)) = experiment.marks.iter().find(|(_, entry)| waits(entry)) {
                    let what = format!("`marks.{mark}` gives answers of its own to some prompts, which are no labels");
                    self.problem(key, what, "show text there, or drop the mark");
                }
            }
            Surface::Text | Surface::GreedyText | Surface::Logits { .. } => {}
        }
    }
}
