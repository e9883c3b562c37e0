//! What changes the law of an answer, split by stage once for all its tokens.

use std::sync::Arc;

use oracle::{CompanionId, LogitsProcessor, Raised, Row, Stage, Step, TokenId};

use crate::model::Model;
use crate::runtime::RunError;

/// Processors, and the proxy models that they may read.
#[derive(Clone, Copy, Default)]
pub struct Processing<'a> {
    /// Applied in this order within their stages.
    pub processors: &'a [Arc<dyn LogitsProcessor>],
    /// Models of the served model's vocabulary, by the names under which processors ask for them.
    pub companions: &'a [(CompanionId, Arc<Model>)],
}

impl<'a> Processing<'a> {
    /// The model's own law.
    pub const fn none() -> Self {
        Self { processors: &[], companions: &[] }
    }

    /// Processors that read no companion.
    pub const fn of(processors: &'a [Arc<dyn LogitsProcessor>]) -> Self {
        Self { processors, companions: &[] }
    }
}

/// [`Processing`] split by stage, each processor with the places of its companions.
pub struct Chain<'a> {
    pub(crate) before: Vec<Link<'a>>,
    pub(crate) after: Vec<Link<'a>>,
    shown: Vec<Link<'a>>,
    companions: Vec<(CompanionId, &'a Model)>,
    /// Ids that stand for no token.
    absent: Vec<TokenId>,
}

impl<'a> Chain<'a> {
    /// Splits `processing` for a model of `vocab_size` tokens.
    ///
    /// # Errors
    /// [`RunError::Input`] when a companion has another vocabulary or is given twice, or a processor reads one that is not given.
    pub fn new(processing: Processing<'a>, vocab_size: usize) -> Result<Self, RunError> {
        Self::with(processing, vocab_size, true)
    }

    /// The same for drawing tokens, in which what acts on shown laws has no part.
    pub(crate) fn drawing(processing: Processing<'a>, vocab_size: usize) -> Result<Self, RunError> {
        Self::with(processing, vocab_size, false)
    }

    fn with(processing: Processing<'a>, vocab_size: usize, keep_shown: bool) -> Result<Self, RunError> {
        check(processing, vocab_size)?;
        let mut chain =
            Self { before: Vec::new(), after: Vec::new(), shown: Vec::new(), companions: Vec::new(), absent: Vec::new() };
        for processor in processing.processors {
            let stage = processor.stage();
            if stage == Stage::Shown && !keep_shown {
                continue;
            }
            let places = processor.companions().iter().filter_map(|id| chain.place(*id, processing.companions));
            let link = Link { processor: &**processor, companions: places.collect() };
            match stage {
                Stage::BeforeTemperature => chain.before.push(link),
                Stage::AfterTruncation => chain.after.push(link),
                Stage::Shown => chain.shown.push(link),
            }
        }
        Ok(chain)
    }

    /// The same for a model of which the ids `absent` stand for no token.
    #[must_use]
    pub fn without(self, absent: &[TokenId]) -> Self {
        Self { absent: absent.to_vec(), ..self }
    }

    /// Takes all probability from ids that stand for no token, whatever a processor gave them.
    pub(crate) fn hide(&self, logits: &mut [f32]) {
        hide(&self.absent, logits);
    }

    /// Where the rows of companion `id` stand among those of all that are read.
    fn place(&mut self, id: CompanionId, given: &'a [(CompanionId, Arc<Model>)]) -> Option<usize> {
        if let Some(known) = self.companions.iter().position(|(known, _)| *known == id) {
            return Some(known);
        }
        let (_, model) = given.iter().find(|(given, _)| *given == id)?;
        self.companions.push((id, model));
        Some(self.companions.len() - 1)
    }

    /// The models that a processor of this chain reads. Wherever their rows are asked for, they come in this order.
    pub fn companions(&self) -> impl ExactSizeIterator<Item = &'a Model> {
        self.companions.iter().map(|(_, model)| *model)
    }

    /// The first companion whose context is shorter than `tokens`.
    pub(crate) fn too_short_for(&self, tokens: usize) -> Option<(CompanionId, &'a Model)> {
        self.companions.iter().copied().find(|(_, model)| model.context_length() < tokens)
    }

    /// Applies the processors of stage [`Stage::Shown`] to the natural-log probabilities (vocab) that are about to be reported.
    /// `companions`: raw logits of [`Self::companions`] after the same tokens.
    pub fn show(&self, log_probs: &mut [f32], step: &Step<'_>, companions: &[&[f32]]) {
        for link in &self.shown {
            link.process(step, log_probs, companions);
        }
        self.hide(log_probs);
    }
}

/// Takes all probability from the ids `absent` in raw `logits` (vocab).
pub(crate) fn hide(absent: &[TokenId], logits: &mut [f32]) {
    for id in absent {
        logits[*id as usize] = f32::NEG_INFINITY;
    }
}

/// A processor and the places of its companions' rows.
pub(crate) struct Link<'a> {
    processor: &'a dyn LogitsProcessor,
    companions: Vec<usize>,
}

impl Link<'_> {
    /// `companions`: the rows of all models that the chain reads.
    pub(crate) fn process(&self, step: &Step<'_>, logits: &mut [f32], companions: &[&[f32]]) {
        // an empty vector takes no memory
        let companions: Vec<&[f32]> = self.companions.iter().map(|place| companions[*place]).collect();
        self.processor.process(step, Row { logits, companions: &companions });
    }

    /// Whether it comes before the most probable token is taken.
    pub(crate) fn changes_greedy(&self) -> bool {
        self.processor.changes_greedy()
    }

    pub(crate) fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        self.processor.chosen(step, logits)
    }

    pub(crate) fn raised<'s>(&'s self, step: &Step<'s>) -> Option<Raised<'s>> {
        self.processor.raised(step)
    }
}

fn check(processing: Processing<'_>, vocab_size: usize) -> Result<(), RunError> {
    let given = processing.companions;
    for (at, (CompanionId(id), model)) in given.iter().enumerate() {
        if model.vocab_size() != vocab_size {
            return Err(RunError::Input(format!(
                "companion {id} has {} tokens and the served model {vocab_size}; give a companion of the same tokenizer",
                model.vocab_size()
            )));
        }
        if given[..at].iter().any(|(CompanionId(before), _)| before == id) {
            return Err(RunError::Input(format!("companion {id} is given twice; give every companion a number of its own")));
        }
    }
    for processor in processing.processors {
        if let Some(CompanionId(id)) = processor.companions().iter().find(|id| given.iter().all(|(known, _)| known != *id)) {
            let name = processor.name();
            return Err(RunError::Input(format!(
                "processor `{name}` reads companion {id}, which is not there; give its model beside the processors"
            )));
        }
    }
    Ok(())
}
