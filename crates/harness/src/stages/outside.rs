//! Models that are brought from outside to an audit.

use std::cell::OnceCell;
use std::sync::Arc;

use ::marks::Question;
use oracle::{Query, TokenId};
use results::Arm;

use crate::exit::UsageError;
use crate::resolve::{ModelDirectory, Run};
use crate::stages::lineage::Lineage;
use crate::stages::suspect::{Outside, Serving, Suspect};
use crate::stages::teacher::load_with;
use crate::stages::worth::Worth;
use crate::stages::{Context, Vocabulary};

/// A model that somebody named for an audit.
#[derive(Debug, Clone)]
pub struct Brought {
    /// What it is to the audit: the suspect, or a negative.
    pub arm: Arm,
    /// The flag that named it, with what was typed, for messages.
    pub flag: String,
    /// What records call it.
    pub name: String,
    /// Its files.
    pub directory: ModelDirectory,
}

impl Brought {
    /// The model as a suspect, its tokenizer its own where that is not the teacher's.
    ///
    /// # Errors
    /// When it cannot be read, or the experiment asks in a way that a model of another tokenizer cannot follow.
    pub fn open(&self, ctx: &Context<'_>) -> anyhow::Result<Suspect> {
        let tokenizer = self.directory.found().needed_tokenizer()?.within(ctx.vocabulary.tokenizer.size());
        let vocabulary = match ctx.vocabulary.means_the_same(&tokenizer, ctx.sources)? {
            true => None,
            false => Some(Arc::new(Vocabulary::of_model(&self.directory, false, None, usize::MAX)?)),
        };
        if vocabulary.is_some() && ctx.resolved.world.queries.chat {
            let what = "another tokenizer than the teacher's, and queries.chat writes tokens that are no text";
            let remedy = "only models with the teacher's tokenizer can be audited by this experiment";
            return Err(UsageError(format!("{}: {what}; {remedy}", self.flag)).into());
        }
        let (trained, _) = load_with(ctx, &self.flag, &self.directory, vocabulary.is_some())?;
        let run = Run { seed: ctx.seed, arm: self.arm, lacks: None, channel: None, budget: None, steps: None };
        Ok(Suspect {
            run,
            taught: None,
            trained,
            outside: Some(Outside { name: self.name.clone(), vocabulary }),
            serving: Serving::default(),
            cost: None,
            lineage: Lineage::default(),
            audit: OnceCell::new(),
            kept: OnceCell::new(),
            worth: Worth::default(),
        })
    }
}

/// Why a model from outside cannot be asked `questions`, where it cannot: what the experiment's own models hold is known before, and a
/// model from outside may hold less.
pub(super) fn cannot_be_asked(ctx: &Context<'_>, suspect: &Suspect, questions: &[Question], audit: &[Query]) -> Option<String> {
    suspect.outside.as_ref()?;
    let own = suspect.own_vocabulary(ctx).map(|own| ctx.to_own(own));
    if own.is_some() && questions.iter().any(|question| matches!(question, Question::Hidden { .. })) {
        return Some("needs a model of the teacher's tokenizer: hidden states are compared token by token".to_string());
    }
    let reads = |ids: &[TokenId]| own.as_ref().map_or(ids.len(), |to_own| to_own.document(ids).len());
    let longest = |question: &Question| match question {
        // a cut answer is an answer too
        Question::Audit => audit.iter().map(|query| reads(&query.prompt) + 1).max().unwrap_or(0),
        Question::Answers(queries) if own.is_some() => {
            queries.iter().map(|query| reads(&query.prompt) + query.max_new_tokens).max().unwrap_or(0)
        }
        Question::Scores(items) if own.is_some() => {
            items.iter().map(|item| reads(&[&item.prompt[..], &item.continuation].concat())).max().unwrap_or(0)
        }
        // what does not fit of given texts is cut; of a prompt that was bought nothing can be
        Question::Marked(_) => ctx.resolved.world.queries.prompt_tokens.max(ctx.resolved.world.audit.prompt_tokens) + 1,
        question => question.longest_row(),
    };
    let (needed, context) = (questions.iter().map(longest).max().unwrap_or(0), suspect.trained.model.context_length());
    (needed > context).then(|| format!("needs a context of {needed} tokens; this model holds {context}"))
}
