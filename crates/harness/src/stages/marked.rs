use std::sync::Arc;

use ::marks::{MarkError, Marked, Question};
use distill::ExchangeStream;
use oracle::{Exchange, OracleError};
use serde_json::{Value, json};

use crate::resolve::Run;
use crate::stages::answers::Transcript;
use crate::stages::audit::Audit;
use crate::stages::{Asked, Context};

/// Texts that the owner's model wrote as it is served, for marks that judge a suspect along them.
#[derive(Clone, Copy)]
pub struct MarkedTexts<'a> {
    /// The teacher that is asked, with its transcripts.
    pub teacher: &'a Asked,
    /// The audit's prompts, which it answers too.
    pub audit: &'a Audit,
}

impl MarkedTexts<'_> {
    /// Names the texts of the first round of a mark's `questions`; null where it asks for none.
    ///
    /// # Errors
    /// When the teacher cannot be asked.
    pub fn identity(&self, ctx: &Context<'_>, run: &Run, questions: &[Question]) -> anyhow::Result<Value> {
        let audit = &ctx.resolved.world.audit;
        let name = |question: &Question| -> anyhow::Result<Option<Value>> {
            Ok(match question {
                Question::Marked(Marked::Bought { most }) => {
                    let (transcript, bought) = self.bought(ctx, run)?;
                    Some(json!([transcript.hash, bought.min(*most)]))
                }
                Question::Marked(Marked::Fresh) => {
                    let served = self.audit.served_teacher.identity();
                    Some(json!([served, self.audit.queries_hash, audit.max_new_tokens, audit.sampling]))
                }
                _ => None,
            })
        };
        let names = questions.iter().filter_map(|question| name(question).transpose()).collect::<anyhow::Result<Vec<Value>>>()?;
        Ok(if names.is_empty() { Value::Null } else { json!(names) })
    }

    /// The texts themselves.
    ///
    /// # Errors
    /// When the teacher fails, a shard cannot be read, or the work is cancelled.
    pub fn read(&self, ctx: &Context<'_>, run: &Run, which: Marked) -> Result<Arc<Vec<Exchange>>, OracleError> {
        match which {
            Marked::Fresh => self.audit.fresh(ctx),
            Marked::Bought { most } => {
                self.first(ctx, run, most).map(Arc::new).map_err(|error| OracleError::Model(format!("{error:#}")))
            }
        }
    }

    /// Why the texts of `questions` are not to be had, where they are not.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] for fresh texts where a server outside gave the answers: the teacher here is not its model.
    pub fn check(&self, mark: &'static str, questions: &[Question]) -> Result<(), MarkError> {
        let fresh = questions.iter().any(|question| matches!(question, Question::Marked(Marked::Fresh)));
        if fresh && self.teacher.imported().is_some() {
            let why = "the answers are imported, and nobody here writes fresh ones: use supervised = true";
            return Err(MarkError::unmeasurable(mark, why));
        }
        Ok(())
    }

    fn first(&self, ctx: &Context<'_>, run: &Run, most: u64) -> anyhow::Result<Vec<Exchange>> {
        let (transcript, bought) = self.bought(ctx, run)?;
        transcript.first(bought.min(most))
    }

    /// The teacher's answers that the suspect of `run` read, or would have, and how many: a control is tried along the marked answers to
    /// its prompts, and whoever bought nothing along those of the first curve.
    fn bought(&self, ctx: &Context<'_>, run: &Run) -> anyhow::Result<(&Transcript, u64)> {
        let channels = &ctx.resolved.channels;
        let channel = run.channel.as_ref().or(channels.first()).ok_or_else(|| anyhow::anyhow!("nobody bought answers"))?;
        let transcript = self.teacher.transcript(ctx, &channel.surface)?;
        Ok((transcript, run.budget.unwrap_or(ctx.resolved.largest_budget()).min(transcript.files.len())))
    }
}
