use std::cell::OnceCell;
use std::sync::Arc;

use ::marks::{Question, Seen, TeacherView};
use corpus::{Split, Task, TaskKind};
use oracle::{Codec, Exchange, OracleError, Query, TokenId};
use results::Arm;
use store::Hash;

use crate::stages::documents::documents;
use crate::stages::marks::Marks;
use crate::stages::queries::{Drawn, openings, prompts};
use crate::stages::suspect::{Peer, Suspect};
use crate::stages::unasked::opened_by_queries;
use crate::stages::{Asked, Context, Vocabulary};

/// What every suspect of a repetition is asked, and whom it is compared with. None of it occurs in a transcript.
pub struct Audit {
    /// The audit proper: openings of texts, answered as the audit's sampling says.
    pub queries: Vec<Query>,
    /// Held-out documents, token ids.
    pub held_out: Vec<Vec<TokenId>>,
    /// The same documents as models of other tokenizers read them, by tokenizer.
    pub retokenised: Vec<Retokenised>,
    /// Checkable tasks, each with its query.
    pub tasks: Vec<(Query, Task)>,
    /// Names `queries`.
    pub queries_hash: Hash,
    /// The owner's own model, raw.
    pub teacher: Peer,
    /// The same as it is served.
    pub served_teacher: Peer,
    /// Models that learned nothing from it: the rivals by channel, base, stranger.
    pub negatives: Vec<Negative>,
    /// What the served teacher answers to `queries`, asked once.
    fresh: OnceCell<Arc<Vec<Exchange>>>,
}

/// Held-out documents that all models hold whole, so that losses on them can be compared by the byte.
pub struct Retokenised {
    /// Names the tokenizer.
    vocabulary: Hash,
    /// In its tokens.
    pub rows: Vec<Vec<TokenId>>,
    /// Bytes of each that a loss in its tokens is on.
    pub bytes: Vec<u64>,
    /// Bytes of each that a loss in the teacher's tokens is on.
    pub teacher_bytes: Vec<u64>,
}

impl Retokenised {
    /// `documents` (the teacher's tokens) cut to texts that the teacher's vocabulary and all of `others` put into `context` tokens, without
    /// end tokens: the teacher's tokens, and those of each of `others`.
    fn all(
        ctx: &Context<'_>,
        others: &[&Vocabulary],
        documents: &[Vec<TokenId>],
        context: usize,
    ) -> (Vec<Vec<TokenId>>, Vec<Self>) {
        let blank =
            |own: &&Vocabulary| Self { vocabulary: own.hash, rows: Vec::new(), bytes: Vec::new(), teacher_bytes: Vec::new() };
        let (mut held_out, mut all) = (Vec::new(), others.iter().map(blank).collect::<Vec<_>>());
        for document in documents {
            let mut text = ctx.vocabulary.tokenizer.decode(document);
            text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
            let (ids, rows) = loop {
                let ids = ctx.vocabulary.tokenizer.encode_document(&text);
                let rows: Vec<_> = others.iter().map(|own| own.tokenizer.encode_document(&text)).collect();
                if rows.iter().map(Vec::len).max().unwrap_or(0).max(ids.len()) <= context {
                    break (ids, rows);
                }
                text.truncate(text.floor_char_boundary(text.len() * 9 / 10));
            };
            for ((this, own), row) in all.iter_mut().zip(others).zip(rows) {
                this.bytes.push(own.scored_bytes(&text));
                this.teacher_bytes.push(ctx.vocabulary.scored_bytes(&text));
                this.rows.push(row);
            }
            held_out.push(ids);
        }
        (held_out, all)
    }
}

/// A model that learned nothing from the teacher.
pub struct Negative {
    /// The channel of a rival.
    pub channel: Option<usize>,
    /// The model.
    pub peer: Peer,
}

impl Audit {
    /// Draws all questions.
    ///
    /// `context` is the shortest of the experiment's models, `shortest` that of all suspects: held-out documents are cut to it, since all must
    /// read the same. `others` are the vocabularies of models from outside that are not the teacher's. Nobody is compared with until
    /// [`compare_with`](Self::compare_with).
    ///
    /// # Errors
    /// When the grammar is not valid, the corpus has no tasks of a kind asked for, or a task is longer than `context`.
    pub fn new(
        ctx: &Context<'_>,
        marks: &Marks,
        teacher: &Asked,
        (context, shortest): (usize, usize),
        others: &[&Vocabulary],
    ) -> anyhow::Result<Self> {
        let world = &ctx.resolved.world;
        let queries = unasked(ctx)?;
        if let Some(own) = ctx.student_vocabulary {
            let to_own = ctx.to_own(own);
            let longest = queries.iter().map(|query| to_own.document(&query.prompt).len()).max().unwrap_or(0);
            if longest >= context {
                let problem =
                    format!("audit.prompt_tokens: a prompt takes {longest} of the student's own tokens, a model holds {context}");
                return Err(
                    crate::exit::UsageError(format!("{problem}; lower it, or take a student with a longer context")).into()
                );
            }
        }
        let texts = ctx.sources.of(ctx.seed_for("held out"))?;
        let held_out = documents(&*texts, Split::HeldOut, world.measure.held_out_documents, shortest, ctx.vocabulary, ctx.rt)?;
        let mut vocabularies: Vec<&Vocabulary> = ctx.student_vocabulary.into_iter().collect();
        for other in others {
            if vocabularies.iter().all(|known| known.hash != other.hash) {
                vocabularies.push(other);
            }
        }
        let (held_out, retokenised) = match vocabularies[..] {
            [] => (held_out, Vec::new()),
            _ => Retokenised::all(ctx, &vocabularies, &held_out, shortest),
        };
        let mut tasks = Vec::new();
        if let Some(config) = &world.measure.tasks {
            let texts = ctx.sources.of(ctx.seed_for("tasks"))?;
            for kind in TaskKind::ALL {
                for index in 0..config.per_kind {
                    let Some(task) = texts.task(kind, Split::Tasks, index) else { break };
                    let prompt = match world.queries.chat {
                        true => ctx.vocabulary.message(&task.prompt)?,
                        false => ctx.vocabulary.tokenizer.encode_document(&task.prompt),
                    };
                    let own = ctx.student_vocabulary.map_or(0, |own| own.tokenizer.encode_document(&task.prompt).len());
                    let tokens = prompt.len().max(own);
                    if tokens >= context {
                        let problem = format!("measure.tasks: a task takes {tokens} tokens, a model holds {context}");
                        let remedy = "leave measure.tasks out, or raise max_position_embeddings";
                        return Err(crate::exit::UsageError(format!("{problem}; {remedy}")).into());
                    }
                    tasks.push((Query::greedy(tasks.len() as u64, prompt, config.max_new_tokens), task));
                }
            }
            if tasks.is_empty() {
                let problem = "measure.tasks: this corpus has no checkable tasks; leave measure.tasks out";
                return Err(crate::exit::UsageError(problem.into()).into());
            }
        }
        check_rows(marks, context)?;
        let queries_hash = store::hash_json(&queries.iter().map(|query| (&query.prompt, query.seed)).collect::<Vec<_>>())?;
        let raw = || Peer::new(Arm::Teacher, teacher.teacher());
        let (teacher, served_teacher) = (raw(), raw().served(teacher.serving().clone()));
        let (negatives, fresh) = (Vec::new(), OnceCell::new());
        Ok(Self { queries, queries_hash, held_out, retokenised, tasks, teacher, served_teacher, negatives, fresh })
    }

    /// What the teacher answers to the audit as it is served.
    ///
    /// # Errors
    /// When it fails or the work is cancelled.
    pub fn fresh(&self, ctx: &Context<'_>) -> Result<Arc<Vec<Exchange>>, OracleError> {
        if let Some(fresh) = self.fresh.get() {
            return Ok(fresh.clone());
        }
        let seen = self.served_teacher.ask(ctx, &[Question::Audit], &self.queries)?;
        let missing = || OracleError::Model("the teacher did not answer the audit".into());
        let answers = seen.into_iter().find_map(|seen| if let Seen::Exchanges(answers) = seen { Some(answers) } else { None });
        let answers = answers.ok_or_else(missing)?;
        Ok(self.fresh.get_or_init(|| answers).clone())
    }

    /// The held-out documents in the tokens of a model whose vocabulary is `own`, where that is not the teacher's.
    pub fn held_out_of(&self, own: Option<&Vocabulary>) -> &[Vec<TokenId>] {
        match self.retokenised_for(own) {
            Some(retokenised) => &retokenised.rows,
            None => &self.held_out,
        }
    }

    /// Bytes of each held-out document that the loss of such a model is on; `None` where all read the same tokens.
    pub fn scored_bytes_of(&self, own: Option<&Vocabulary>) -> Option<&[u64]> {
        match (self.retokenised_for(own), self.retokenised.first()) {
            (Some(retokenised), _) => Some(&retokenised.bytes),
            (None, any) => any.map(|retokenised| &retokenised.teacher_bytes[..]),
        }
    }

    fn retokenised_for(&self, own: Option<&Vocabulary>) -> Option<&Retokenised> {
        own.and_then(|own| self.retokenised.iter().find(|retokenised| retokenised.vocabulary == own.hash))
    }

    /// The owner's own model as `view` asks it.
    pub fn teacher_as(&self, view: TeacherView) -> &Peer {
        match view {
            TeacherView::Served => &self.served_teacher,
            TeacherView::Raw => &self.teacher,
        }
    }

    /// Takes those of `suspects` that learned nothing from the teacher as the models others are compared with.
    pub fn compare_with(&mut self, ctx: &Context<'_>, suspects: &[Suspect]) {
        let nobodys = |arm: Arm| matches!(arm, Arm::Rival | Arm::Base | Arm::Stranger | Arm::Negative);
        for suspect in suspects.iter().filter(|suspect| nobodys(suspect.run.arm)) {
            let run = &suspect.run;
            let channel = run.channel.as_ref().and_then(|c| ctx.resolved.channels.iter().position(|known| known == c));
            let peer = Peer::new(run.arm, &suspect.trained).brought(suspect.outside.clone());
            self.negatives.push(Negative { channel, peer });
        }
    }

    /// The negatives that `suspect` is compared with: the rival of its channel (of the first channel for arms that have none), base,
    /// stranger and models from outside that never met the teacher, itself left out.
    pub fn references(&self, suspect: &Suspect, channel: Option<usize>) -> impl Iterator<Item = &Negative> {
        let (channel, arm, hash) = (channel.unwrap_or(0), suspect.run.arm, suspect.trained.hash);
        self.negatives.iter().filter(move |negative| {
            let peer = &negative.peer;
            let itself = peer.arm == arm && (arm != Arm::Negative || peer.trained.hash == hash);
            !itself && negative.channel.is_none_or(|its| its == channel)
        })
    }
}

/// Refuses a mark that asks longer rows than some model holds.
fn check_rows(marks: &Marks, context: usize) -> anyhow::Result<()> {
    for built in marks.all() {
        let longest = built.mark.questions(0).iter().map(Question::longest_row).max().unwrap_or(0);
        if longest > context {
            let problem = format!("marks.{}: it asks rows of {longest} tokens, a model holds {context}", built.name);
            return Err(
                crate::exit::UsageError(format!("{problem}; shorten what it asks, or give the models a longer context")).into()
            );
        }
    }
    Ok(())
}

/// The audit's queries: openings of audit texts, those left out that the thief's query stream happens to open with as well
/// (real texts often begin alike).
fn unasked(ctx: &Context<'_>) -> anyhow::Result<Vec<Query>> {
    let audit = &ctx.resolved.world.audit;
    let texts = ctx.sources.of(ctx.seed_for("audit"))?.len(Split::Audit).unwrap_or(u64::MAX);
    let wanted = usize::try_from(audit.prompts)?;
    let drawn = Drawn {
        purpose: "audit",
        split: Split::Audit,
        prompt_tokens: audit.prompt_tokens,
        max_new_tokens: audit.max_new_tokens,
        sampling: audit.sampling,
    };
    let mut tried = audit.prompts.saturating_mul(2);
    loop {
        let candidates = tried.min(texts);
        let all = prompts(ctx, &drawn, 0..candidates)?;
        // imported prompts are compared as they were asked, in the template
        let asked_as_put = ctx.imports.is_some() && ctx.resolved.world.queries.chat;
        let openings = match asked_as_put {
            true => all.iter().map(|query| query.prompt.clone()).collect(),
            false => openings(ctx, &drawn, 0..candidates)?,
        };
        let taken = opened_by_queries(ctx, &openings.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut kept: Vec<Query> = all.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(query, _)| query).collect();
        if kept.len() >= wanted {
            kept.truncate(wanted);
            // a teacher with a key for each account is heard under the thief's in turn
            let accounts = ctx.resolved.world.queries.accounts.max(1);
            for (query, account) in kept.iter_mut().zip((0..accounts).cycle()) {
                query.account = account;
            }
            return Ok(kept);
        }
        if candidates == texts || tried > audit.prompts.saturating_mul(64) {
            let problem =
                format!("audit.prompts = {}: only {} openings of audit texts are no query's", audit.prompts, kept.len());
            let remedy = "lower audit.prompts, raise audit.prompt_tokens, or bring more text";
            return Err(crate::exit::UsageError(format!("{problem}; {remedy}")).into());
        }
        tried = tried.saturating_mul(4);
    }
}
