use std::sync::Arc;

use corpus::Split;
use distill::WantedLaw;
use marks::{AskedPrompt, Key, Mark, MarkEntry, MarkInfo, Needs, Owner, Phase, PlantedText, Planting, TrainingItem};
use oracle::{Codec, LogitsProcessor, Oracle, TokenId};
use serde_json::{Value, json};

use crate::process::Programs;
use crate::stages::Context;
use crate::stages::documents::documents;
use crate::stages::unasked::opened_by_queries;

/// Shortest and longest opening that a neutral question holds, tokens: openings of many lengths meet many kinds of law.
const QUESTION_TOKENS: std::ops::RangeInclusive<usize> = 4..=24;

/// A mark of the experiment under this repetition's key.
pub struct Built {
    /// Its name in the experiment, which goes into records.
    pub name: String,
    /// What kind it is.
    pub info: MarkInfo,
    /// What it needs.
    pub needs: Needs,
    /// The mark.
    pub mark: Arc<dyn Mark>,
    /// Names everything that decides what it plants, asks and finds, its neutral prompts left out.
    pub identity: Value,
    /// The same of what it plants alone.
    pub planted: Value,
    /// Names its neutral prompts; null where it has none.
    pub neutral: Value,
}

/// Finds a model by the name that a mark gives it.
pub type FindModel<'a> = dyn Fn(&str) -> anyhow::Result<Box<dyn Oracle>> + 'a;

/// What a mark is built from beside its key, as far as it is there.
#[derive(Clone, Copy, Default)]
pub struct BuiltFrom<'a> {
    /// The trained teacher, raw.
    pub teacher: Option<&'a dyn Oracle>,
    /// Its training texts, in order.
    pub training_order: Option<&'a [Vec<TokenId>]>,
    /// Who writes texts for marks that name an author.
    pub author: Option<&'a FindModel<'a>>,
}

/// The experiment's marks, built phase by phase: what needs no model first, so that a mark that does not fit is refused before any
/// training.
#[derive(Default)]
pub struct Marks {
    built: Vec<Built>,
}

impl Marks {
    /// The marks that need no trained model.
    ///
    /// # Errors
    /// When a mark does not fit the vocabulary or the corpus.
    pub fn build(ctx: &Context<'_>) -> anyhow::Result<Self> {
        let mut marks = Self::default();
        marks.add(ctx, BuiltFrom::default(), |needs| !needs.teacher && !needs.training_order && needs.author.is_none())?;
        Ok(marks)
    }

    /// Builds those of `phase` and of earlier phases that are not built yet.
    ///
    /// # Errors
    /// As [`build`](Self::build), or when a model that a mark asks does not answer.
    pub fn build_phase(&mut self, ctx: &Context<'_>, phase: Phase, from: BuiltFrom<'_>) -> anyhow::Result<()> {
        self.add(ctx, from, |needs| needs.phase <= phase || needs.reads.is_some())
    }

    fn add(&mut self, ctx: &Context<'_>, from: BuiltFrom<'_>, wanted: impl Fn(&Needs) -> bool) -> anyhow::Result<()> {
        // a mark that reads another comes behind it
        for reads in [false, true] {
            for (name, entry) in &ctx.resolved.world.marks {
                let needs = entry.config()?.needs();
                let known = |name: &str| self.built.iter().find(|built| built.name == name);
                if known(name).is_some() || needs.reads.is_some() != reads || !wanted(&needs) {
                    continue;
                }
                let read = needs.reads.as_deref().and_then(known);
                if reads && read.is_none() {
                    continue;
                }
                let built = build(ctx, name, entry, from, read)?;
                self.built.push(built);
            }
        }
        self.built.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// All that are built, by name.
    pub fn all(&self) -> &[Built] {
        &self.built
    }

    /// What is planted, that of the mark `lacks` left out.
    fn plantings(&self, lacks: Option<&str>) -> impl Iterator<Item = (&Built, Planting)> {
        let there = self.built.iter().filter(move |built| lacks != Some(built.name.as_str()));
        there.flat_map(|built| built.mark.planting().into_iter().map(move |planting| (built, planting)))
    }

    /// Texts for the training data, by mark.
    pub fn texts(&self) -> Vec<(&Built, Vec<PlantedText>)> {
        let texts = |(built, planting)| match planting {
            Planting::Texts(planted) => Some((built, planted)),
            _ => None,
        };
        self.plantings(None).filter_map(texts).collect()
    }

    /// Items for the weights, those of the mark `lacks` left out, and the names of their marks.
    pub fn items(&self, lacks: Option<&str>) -> (Vec<TrainingItem>, Vec<Value>) {
        let mut items = Vec::new();
        let mut names = Vec::new();
        for (built, planting) in self.plantings(lacks) {
            if let Planting::Items(planted) = planting {
                items.extend(planted);
                names.push(json!([built.planted, built.neutral]));
            }
        }
        (items, names)
    }

    /// Laws for the weights, those of the mark `lacks` left out, and the names of their marks.
    pub fn distilled(&self, lacks: Option<&str>) -> (Vec<WantedLaw>, Vec<Value>) {
        let mut laws = Vec::new();
        let mut names = Vec::new();
        for (built, planting) in self.plantings(lacks) {
            if let Planting::Distilled { law, on, apart } = planting {
                laws.push(WantedLaw { law, on, apart });
                names.push(json!([built.planted, built.neutral]));
            }
        }
        (laws, names)
    }

    /// Whether the mark called `name` enters the weights of the trained teacher.
    pub fn enters_weights(&self, name: &str) -> bool {
        let enters = |planting: &Planting| matches!(planting, Planting::Items(_) | Planting::Distilled { .. });
        self.plantings(None).any(|(built, planting)| built.name == name && enters(&planting))
    }

    /// What changes the teacher's law while it is served, with the name of its mark; that of the mark `lacks` left out.
    pub fn laws(&self, lacks: Option<&str>) -> Vec<(Option<String>, Arc<dyn LogitsProcessor>)> {
        let law = |(built, planting): (&Built, Planting)| match planting {
            Planting::Law(law) => Some((Some(built.name.clone()), law)),
            _ => None,
        };
        self.plantings(lacks).filter_map(law).collect()
    }

    /// Prompts that are put among the queries, and the names of their marks.
    pub fn asked(&self) -> (Vec<AskedPrompt>, Vec<Value>) {
        let mut asked = Vec::new();
        let mut names = Vec::new();
        for (built, planting) in self.plantings(None) {
            if let Planting::Asked(prompts) = planting {
                asked.extend(prompts);
                names.push(built.planted.clone());
            }
        }
        (asked, names)
    }

    /// Accounts that have keys of their own: the most of any mark.
    pub fn accounts(&self) -> u32 {
        self.built.iter().map(|built| built.needs.accounts).max().unwrap_or(0)
    }
}

/// The mark called `name`, which reads `read` where it reads another one.
fn build(ctx: &Context<'_>, name: &str, entry: &MarkEntry, from: BuiltFrom<'_>, read: Option<&Built>) -> anyhow::Result<Built> {
    let config = entry.config()?;
    let (info, needs) = (config.info(), config.needs());
    let key = key(ctx, name, &info);
    let codec: Arc<dyn Codec> = ctx.vocabulary.tokenizer.clone();
    // what is implanted on prompts must not be met by marks that ask neutral ones
    let purpose = if info.planted { "planted prompts" } else { "audit" };
    let neutral = neutral(ctx, purpose, needs.neutral_prompts)?;
    let author = match (&needs.author, from.author) {
        (Some(named), Some(find)) => Some(find(named)?),
        _ => None,
    };
    let files = ctx.resolved.world.mark_files.get(name);
    let launcher =
        Programs { mark: name, root: &ctx.resolved.root, identity: serde_json::to_string(&files)?, cancelled: &ctx.rt.cancelled };
    let reads = read.and_then(|read| read.mark.readable());
    let owner = Owner {
        key: &key,
        codec: &codec,
        neutral: &neutral,
        author: author.as_deref(),
        teacher: from.teacher,
        training_order: from.training_order,
        reads: reads.as_ref(),
        launcher: Some(&launcher),
    };
    let mark = entry.build(&owner).map_err(|error| match error {
        marks::MarkError::Config(error) => marks::MarkError::Config(error.within(&format!("marks.{name}"))),
        other => other,
    })?;
    // neither that another one is beside it nor how often it is served changes anything of the mark itself: served laws name themselves
    let alone = entry.alone();
    let named = |mark: &MarkEntry| match files {
        Some(files) => json!({ "mark": mark, "key": key.name(), "files": files }),
        None => json!({ "mark": mark, "key": key.name() }),
    };
    Ok(Built {
        name: name.to_string(),
        identity: match read {
            Some(read) => json!([named(&alone), read.planted]),
            None => named(&alone),
        },
        planted: named(&alone.planted()),
        neutral: if neutral.is_empty() { Value::Null } else { json!(store::hash_json(&neutral)?) },
        info,
        needs,
        mark,
    })
}

/// The key of the mark called `name`.
fn key(ctx: &Context<'_>, name: &str, info: &MarkInfo) -> Key {
    ctx.resolved.secret.key_of_mark(name, info, ctx.seed)
}

/// At least `wanted` neutral questions, where there are so many: openings of audit texts behind those of the audit itself, token ids, cut
/// to many lengths; those that open as one of the thief's queries does, as they are cut, are left out. More of them begin with the same
/// ones.
fn neutral(ctx: &Context<'_>, purpose: &str, wanted: u64) -> anyhow::Result<Vec<Vec<TokenId>>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let world = &ctx.resolved.world;
    // openings of the same words are asked once only, and short ones are often a query's: hence more than needed
    let asked = 8 * wanted;
    let texts = ctx.sources.of(ctx.seed_for(purpose))?;
    // one more than is ever kept: what is whole is never asked whole
    let most = QUESTION_TOKENS.end() + 1;
    let rows = documents(&*texts, Split::Audit, world.audit.prompts + asked, most, ctx.vocabulary, ctx.rt)?;
    let (shortest, span) = (*QUESTION_TOKENS.start(), QUESTION_TOKENS.end() - QUESTION_TOKENS.start() + 1);
    let cut = |(i, mut ids): (usize, Vec<TokenId>)| {
        ids.truncate((shortest + i % span).min(ids.len().saturating_sub(1).max(1)));
        ids
    };
    let rows: Vec<Vec<TokenId>> = rows.into_iter().skip(world.audit.prompts as usize).enumerate().map(cut).collect();
    let taken = opened_by_queries(ctx, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    Ok(rows.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(ids, _)| ids).collect())
}
