//! Planted texts in the teacher's training data.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use distill::{PackedDocuments, TrainState};
use oracle::TokenId;
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use store::Key;

use crate::stages::Context;
use crate::stages::context::Trained;
use crate::stages::course::{Course, PRETRAINED, REVISION};
use crate::stages::marks::Marks;

/// File of a trunk artifact.
const TRUNK: &str = "state.safetensors";

/// The models that come of one training with and without planted texts.
pub(super) struct Branches {
    /// With all of them.
    pub(super) marked: Trained,
    /// The twin without any.
    pub(super) clean: Trained,
    /// Without those of one mark each, by its name; marks that are to be set apart and plant no text have none.
    pub(super) apart: BTreeMap<String, Trained>,
}

impl Branches {
    /// Of a training into which nothing is planted.
    pub(super) fn same(model: Trained) -> Self {
        Self { marked: model.clone(), clean: model, apart: BTreeMap::new() }
    }
}

/// The marked model, its clean twin, and the models that lack one mark each, from a common trunk.
///
/// # Errors
/// When planted texts do not fit, a training diverges, or the work is cancelled.
pub(super) fn branches(ctx: &Context<'_>, course: &Course<'_>, marks: &Marks) -> anyhow::Result<Branches> {
    let tokens_per_step = (course.plan.batch_rows * course.row_tokens) as u64;
    let trunk_steps = (ctx.resolved.world.planted_after().unwrap_or(0) / tokens_per_step).min(course.plan.steps);
    let trunk_key = Key::new(REVISION, &json!({ "course": course.inputs, "steps": trunk_steps }))?;
    let mut packed = None;
    let mut documents = || -> anyhow::Result<Arc<PackedDocuments>> {
        if packed.is_none() {
            packed = Some(Arc::new(course.documents(ctx)?));
        }
        packed.clone().ok_or_else(|| anyhow::anyhow!("documents were packed"))
    };
    let mut branch = |what: &str, body: &str, planted: Value, lacks: Option<&str>| -> anyhow::Result<Trained> {
        let marked = !planted.is_null();
        let key = Key::new(REVISION, &json!({ "course": course.inputs, "trunk_steps": trunk_steps, "canaries": planted }))?;
        let artifact = ctx.resumable(PRETRAINED, &key, |making| {
            let plain = documents()?;
            let trunk = || {
                let trunk = ctx.resumable("trunk", &trunk_key, |making| {
                    let start = || Ok(TrainState::new(&course.start));
                    let state = course.train(ctx, making, "teacher, trunk", &plain, start, trunk_steps)?;
                    Ok(state.save(&making.path().join(TRUNK), &making.hash().hex())?)
                })?;
                Ok(TrainState::load(&trunk.file(TRUNK), &course.start, &trunk.hash().hex())?)
            };
            let read = match marked {
                true => Arc::new(planted_in(ctx, course, &plain, trunk_steps, marks, lacks)?),
                false => plain.clone(),
            };
            let state = course.train(ctx, making, what, &read, trunk, course.plan.steps)?;
            course.save(ctx, making.path(), &state, body)
        })?;
        ctx.load_model(&artifact)
    };
    let texts = marks.texts();
    let names = |lacks: Option<&str>| -> Vec<&Value> {
        texts.iter().filter(|(built, _)| Some(built.name.as_str()) != lacks).map(|(built, _)| &built.planted).collect()
    };
    let places = ctx.seed_for("canary places");
    let planted = json!({ "marks": names(None), "places": places });
    let marked = branch("teacher, with canaries", "trained with canaries in its data", planted, None)?;
    let clean = branch("teacher, clean twin", "the clean twin: same data order, no canaries", Value::Null, None)?;
    let mut apart = BTreeMap::new();
    for name in &ctx.resolved.marks_apart {
        if !texts.iter().any(|(built, _)| built.name == *name) {
            continue;
        }
        let others = names(Some(name));
        let model = if others.is_empty() {
            clean.clone()
        } else {
            // the others stand where they stand beside it
            let planted = json!({ "marks": others, "places": places, "beside": names(None) });
            let body = format!("trained with canaries in its data, those of `{name}` left out");
            branch(&format!("teacher, with canaries but for {name}"), &body, planted, Some(name))?
        };
        apart.insert(name.clone(), model);
    }
    Ok(Branches { marked, clean, apart })
}

/// The training stream with canaries in the places of ordinary documents, one copy to a row, rows after the trunk drawn without
/// replacement. A copy begins where the ordinary document began: only places count where the longest copy fits before the row's end, and
/// of those of a row each is as likely, so that canaries stand where ordinary documents do. The places of the mark `lacks` keep their
/// ordinary documents, and the others stand where they would stand beside it.
fn planted_in(
    ctx: &Context<'_>,
    course: &Course<'_>,
    plain: &PackedDocuments,
    trunk_steps: u64,
    marks: &Marks,
    lacks: Option<&str>,
) -> anyhow::Result<PackedDocuments> {
    let mut copies: Vec<Planted> = Vec::new();
    for (built, texts) in marks.texts() {
        let there = lacks != Some(built.name.as_str());
        for text in texts {
            let copy = Planted { document: ctx.vocabulary.document(&text.text), there };
            copies.extend(std::iter::repeat_n(copy, text.repeats as usize));
        }
    }
    let longest = copies.iter().map(|copy| copy.document.len()).max().unwrap_or(0);
    let first_row = trunk_steps * course.plan.batch_rows as u64;
    let rows = course.plan.total_rows().min(plain.n_rows());
    let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for document in (0..plain.n_documents()).filter(|&document| plain.fits(document, longest)) {
        let row = plain.row_of(document);
        if row >= first_row && row + 1 < rows {
            places.entry(row).or_default().push(document);
        }
    }
    let places: Vec<Vec<usize>> = places.into_values().collect();
    if copies.len() > places.len() {
        return Err(crate::exit::UsageError(format!(
            "marks: {} copies of planted texts need as many rows after the trunk in which {longest} tokens fit behind the beginning of a \
             text, and there are {}; raise the training tokens or row_tokens, or lower their repeats or \
             planting.canaries_after_tokens",
            copies.len(),
            places.len()
        ))
        .into());
    }
    plain.with_slots(&slots(copies, &places, ctx.seed_for("canary places"))).context("`marks`: planted texts")
}

/// One copy of a planted text.
#[derive(Clone)]
struct Planted {
    document: Vec<TokenId>,
    /// Whether it is really planted, or only takes its place.
    there: bool,
}

/// A place for every copy, at most one in each of `places` (the documents of a row that it may stand for); those that are there.
fn slots(copies: Vec<Planted>, places: &[Vec<usize>], seed: u64) -> Vec<(usize, Vec<TokenId>)> {
    let mut copies = copies;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    copies.shuffle(&mut rng);
    let chosen = index::sample(&mut rng, places.len(), copies.len());
    let mut slots = Vec::with_capacity(copies.len());
    for (row, copy) in chosen.into_iter().zip(copies) {
        let of_row = &places[row];
        let place = of_row[rng.random_range(0..of_row.len())];
        if copy.there {
            slots.push((place, copy.document));
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_marks_stand_where_they_would_stand_beside_the_one_that_lacks() {
        let places: Vec<Vec<usize>> = (0..40).map(|row| vec![3 * row, 3 * row + 1]).collect();
        let copies = |there: bool| {
            let ours = (0..10).map(|id| Planted { document: vec![id], there: true });
            ours.chain((10..20).map(|id| Planted { document: vec![id], there })).collect::<Vec<_>>()
        };
        let (all, without) = (slots(copies(true), &places, 7), slots(copies(false), &places, 7));
        assert_eq!((all.len(), without.len()), (20, 10));
        assert_eq!(without, all.iter().filter(|(_, document)| document[0] < 10).cloned().collect::<Vec<_>>());
    }
}
