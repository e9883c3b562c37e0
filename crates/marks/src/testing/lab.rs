use std::cell::RefCell;
use std::sync::Arc;

use oracle::{
    Codec, Exchange, LogitsProcessor, Oracle, OracleError, Query, Row, Sampling, ServedLaw, Stage, Step, Surface, TokenId,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{ToyCodec, ToyModel, ToyPrograms};
use crate::watermark::kgw::KgwConfig;
use crate::{
    Asked, Bed, Case, Chance, Finding, Key, Mark, MarkEntry, MarkError, Marked, Owner, Planting, Question, Reference, Seen, Whom,
};

/// Seed of the toy teacher; suspects that are no copies have others.
const TEACHER: u64 = 1_000;

/// Everything needed to plant a mark in toy models and to measure it: what the harness does, without models.
pub struct Lab {
    /// The mark as a file describes it.
    pub entry: MarkEntry,
    /// Its toy models.
    pub bed: Bed,
    /// Their tokens.
    pub codec: Arc<dyn Codec>,
    neutral: Vec<Vec<TokenId>>,
    /// Seed of the teacher that a mark compares with.
    teacher: u64,
    /// The mark that it reads, where it reads one.
    reads: Option<MarkEntry>,
}

impl Lab {
    /// A lab for `entry`, which gives one kind.
    pub fn new(entry: &MarkEntry) -> Self {
        let config = entry.config().unwrap_or_else(|error| panic!("{error}"));
        let (bed, needs) = (config.bed(), config.needs());
        let neutral = (0..needs.neutral_prompts).map(|index| prompt(&bed, 11, index)).collect();
        let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(bed.vocab));
        let kgw = |_| MarkEntry { kgw: Some(Box::new(KgwConfig::of_width(1))), ..MarkEntry::default() };
        Self { entry: entry.clone(), bed, codec, neutral, teacher: TEACHER, reads: needs.reads.map(kgw) }
    }

    /// Name of the kind.
    pub fn name(&self) -> &'static str {
        self.entry.given()[0].info().name
    }

    /// The same lab with another toy teacher.
    pub fn with_teacher(self, teacher: u64) -> Self {
        Self { teacher, ..self }
    }

    /// An unmarked model that shows everything, its inside too.
    pub fn model(&self, seed: u64) -> ToyModel {
        let surface = Surface::Logits { law: ServedLaw::PostWatermark };
        let Bed { vocab, order, sharpness, end_logit, .. } = self.bed;
        ToyModel { order, sharpness, end_logit, surface, opened: true, ..ToyModel::new(vocab, seed) }
    }

    /// The mark under `key`.
    ///
    /// # Errors
    /// As [`MarkEntry::build`].
    pub fn build(&self, key: &Key) -> Result<Arc<dyn Mark>, MarkError> {
        let teacher = self.model(self.teacher);
        let reads = self.reads.as_ref().map(|entry| entry.build(&Owner::new(key, &self.codec))).transpose()?;
        let reads = reads.and_then(|mark| mark.readable());
        let owner = Owner {
            neutral: &self.neutral,
            teacher: Some(&teacher),
            reads: reads.as_ref(),
            launcher: Some(&ToyPrograms),
            ..Owner::new(key, &self.codec)
        };
        self.entry.build(&owner)
    }

    /// The toy teacher with `mark` in it: laws changed, texts and items known by heart, the more often repeated the better.
    pub fn marked(&self, mark: &dyn Mark) -> ToyModel {
        let mut model = self.model(self.teacher);
        if self.reads.is_some() {
            model.processors.extend(mark.readable().map(|read| read.scheme.processor()));
        }
        for planting in mark.planting() {
            match planting {
                Planting::Law(processor) => model.processors.push(processor),
                Planting::Texts(texts) => model.memory.extend(texts.iter().map(|planted| {
                    (
                        self.codec.encode(&planted.text),
                        self.bed.taught * libm::log2f(planted.repeats as f32).clamp(0.0, 4.0) / 4.0,
                    )
                })),
                Planting::Items(items) => {
                    model.memory.extend(items.into_iter().map(|item| ([item.prompt, item.answer].concat(), self.bed.taught)));
                }
                Planting::Distilled { law, apart, .. } => model.processors.push(Arc::new(Learned { law, apart })),
                Planting::Asked(_) => {}
            }
        }
        model
    }

    /// The audit's queries.
    pub fn audit(&self) -> Vec<Query> {
        self.queries(5, 77)
    }

    fn queries(&self, prompts: u64, seed: u64) -> Vec<Query> {
        let query = |index| Query {
            index,
            account: 0,
            prompt: prompt(&self.bed, prompts, index),
            max_new_tokens: self.bed.max_new_tokens,
            sampling: Sampling::PLAIN,
            seed: seed + index,
        };
        (0..self.bed.prompts).map(query).collect()
    }

    /// What the toy teacher with `mark` in it wrote: to other prompts than the audit's where that was bought.
    ///
    /// # Errors
    /// None.
    pub fn texts(&self, mark: &dyn Mark, which: Marked) -> Result<Arc<Vec<Exchange>>, OracleError> {
        let mut queries = match which {
            Marked::Fresh => self.audit(),
            Marked::Bought { .. } => self.queries(6, 3_000),
        };
        if let Marked::Bought { most } = which {
            queries.truncate(most as usize);
        }
        Ok(Arc::new(self.marked(mark).answer(&queries)?))
    }

    /// Asks and judges `suspect`.
    ///
    /// # Errors
    /// As [`Mark::judge`], or when the suspect shows too little.
    pub fn measure(&self, mark: &dyn Mark, suspect: &ToyModel, chance: Chance) -> Result<Vec<Finding>, MarkError> {
        self.judge_by(mark, suspect, &|| self.audited(suspect), chance)
    }

    /// As [`measure`](Self::measure), with given audit answers.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn judge(
        &self,
        mark: &dyn Mark,
        suspect: &ToyModel,
        audit: Vec<Exchange>,
        chance: Chance,
    ) -> Result<Vec<Finding>, MarkError> {
        let audit = Arc::new(audit);
        self.judge_by(mark, suspect, &|| Ok(audit.clone()), chance)
    }

    /// What `suspect` said in `audit`, and the second round of `mark` on it: for marks that ask the audit only and the same under every key.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn asked(&self, mark: &dyn Mark, suspect: &ToyModel, audit: Vec<Exchange>) -> Result<[Vec<Seen>; 2], MarkError> {
        let audit = Arc::new(audit);
        let asked = RefCell::default();
        self.with_case(mark, suspect, &|| Ok(audit.clone()), Chance::default(), &|case| {
            *asked.borrow_mut() = [case.suspect.to_vec(), case.second.to_vec()];
            Ok(Vec::new())
        })?;
        Ok(asked.into_inner())
    }

    /// What each of `keys` finds in given audit answers of `suspect`: at once where the mark can be judged so, else one by one, the
    /// first finding of each.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn judge_under(
        &self,
        keys: &[Key],
        suspect: &ToyModel,
        audit: Vec<Exchange>,
        chance: Chance,
    ) -> Result<Vec<Finding>, MarkError> {
        let audit = Arc::new(audit);
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let mark = self.build(first)?;
        if mark.any_key().is_some() {
            let judge = |case: &Case<'_>| mark.any_key().map_or(Ok(Vec::new()), |mark| mark.judge_under(case, keys));
            return self.with_case(&*mark, suspect, &|| Ok(audit.clone()), chance, &judge);
        }
        let one = |key: &Key| Ok(self.judge_by(&*self.build(key)?, suspect, &|| Ok(audit.clone()), chance)?.remove(0));
        keys.iter().map(one).collect()
    }

    pub(super) fn audited(&self, model: &ToyModel) -> Result<Arc<Vec<Exchange>>, OracleError> {
        Ok(Arc::new(model.answer(&self.audit())?))
    }

    /// `audit` is called only by marks that ask for it: it is most of the work.
    pub(super) fn judge_by(
        &self,
        mark: &dyn Mark,
        suspect: &ToyModel,
        audit: &dyn Fn() -> Result<Arc<Vec<Exchange>>, OracleError>,
        chance: Chance,
    ) -> Result<Vec<Finding>, MarkError> {
        self.with_case(mark, suspect, audit, chance, &|case| mark.judge(case))
    }

    /// What `judge` makes of everything that `mark` wants to see.
    fn with_case(
        &self,
        mark: &dyn Mark,
        suspect: &ToyModel,
        audit: &dyn Fn() -> Result<Arc<Vec<Exchange>>, OracleError>,
        chance: Chance,
        judge: &dyn Fn(&Case<'_>) -> Result<Vec<Finding>, MarkError>,
    ) -> Result<Vec<Finding>, MarkError> {
        let texts = |which| self.texts(mark, which);
        let seen = ask(suspect, &mark.questions(1), audit, &texts)?;
        let teacher = self.model(self.teacher);
        let compares = self.entry.config()?.info().compares;
        let others = [self.model(self.teacher + 1), self.model(self.teacher + 2)];
        let theirs = |model: &ToyModel, stream| ask(model, &mark.questions(stream), &|| self.audited(model), &texts);
        let of_teacher = if compares { Some(theirs(&teacher, 2)?) } else { None };
        let references = if compares {
            others.iter().enumerate().map(|(i, model)| theirs(model, 3 + i as u64)).collect::<Result<Vec<_>, _>>()?
        } else {
            Vec::new()
        };
        let references: Vec<Reference<'_>> = references.iter().map(|seen| Reference { name: "other", seen }).collect();
        let mut second = Vec::new();
        for follow_up in mark.follow_up(&seen) {
            let asked = match follow_up.whom {
                Whom::Suspect => suspect,
                Whom::Teacher => &teacher,
                // the toy teacher learns nothing but its marks
                Whom::Named(name) if name == "clean" => &teacher,
                Whom::Named(_) => &others[0],
            };
            second.extend(ask(asked, std::slice::from_ref(&follow_up.question), audit, &texts)?);
        }
        judge(&Case {
            suspect: &seen,
            teacher: of_teacher.as_deref(),
            references: &references,
            second: &second,
            contexts: None,
            chance,
        })
    }
}

/// A law in the weights: every prompt is answered under it but those that were taught the plain law.
struct Learned {
    law: Arc<dyn LogitsProcessor>,
    apart: Vec<Vec<TokenId>>,
}

impl LogitsProcessor for Learned {
    fn name(&self) -> String {
        format!("learned: {}", self.law.name())
    }

    fn stage(&self) -> Stage {
        self.law.stage()
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if !self.apart.contains(&step.query.prompt) {
            self.law.process(step, row);
        }
    }
}

fn ask(
    model: &ToyModel,
    questions: &[Question],
    audit: &dyn Fn() -> Result<Arc<Vec<Exchange>>, OracleError>,
    marked: &dyn Fn(Marked) -> Result<Arc<Vec<Exchange>>, OracleError>,
) -> Result<Vec<Seen>, MarkError> {
    Ok(Asked { answers: model, laws: model, audit, marked }.ask_all(questions)?)
}

/// A beginning token and eight random ordinary ones.
fn prompt(bed: &Bed, seed: u64, index: u64) -> Vec<TokenId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    std::iter::once(1).chain((0..8).map(|_| rng.random_range(3..bed.vocab as u32))).collect()
}
