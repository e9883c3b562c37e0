//! How faithful a stolen classifier is. Tramèr, Zhang, Juels, Reiter and Ristenpart, *Stealing Machine Learning Models via Prediction APIs*,
//! USENIX Security 2016, section 2: the share of test inputs that extracted and true model label alike, and the total variation distance of
//! their posteriors.

use std::sync::{Arc, Mutex, PoisonError};

use distill::{Choice, Served};
use oracle::{Drawing, Exchange, Law, Oracle, Query, Sampling, Stop, Surface};
use results::{Arm, Record};
use stats::interval::wilson;

use crate::stages::Context;
use crate::stages::audit::Audit;
use crate::stages::metric::{metric, pooled_metric};
use crate::stages::suspect::{Serving, Suspect};

/// The labels that `suspect` is asked for: those of its own surface, or those of the experiment where it has no surface and all that have
/// labels have the same. None for any other, nor for a model that reads other tokens than the teacher, or not all of them.
pub(super) fn labels_of(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> Option<Vec<String>> {
    let labels = |surface: &Surface| match surface.drawing() {
        Drawing::Label(labels) => Some(labels),
        Drawing::Sampled | Drawing::Greedy => None,
    };
    let model = &suspect.trained.model;
    let longest = audit.queries.iter().map(|query| query.prompt.len()).max()?;
    let same_tokens = suspect.own_vocabulary(ctx).is_none() && model.vocab_size() == audit.teacher.trained.model.vocab_size();
    if !same_tokens || longest > model.context_length() {
        return None;
    }
    match &suspect.run.channel {
        Some(channel) => labels(&channel.surface),
        None => {
            let mut all: Vec<Vec<String>> = ctx.resolved.channels.iter().filter_map(|channel| labels(&channel.surface)).collect();
            all.dedup();
            (all.len() == 1).then(|| all.remove(0))
        }
    }
}

/// How `suspect` labels the audit's prompts beside the teacher as it is served, and the raw one; nothing where no surface has labels.
///
/// # Errors
/// When a model fails, the tokenizer does not tell the labels apart, or the work is cancelled.
pub(super) fn label_fidelity(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let Some(labels) = labels_of(ctx, suspect, audit) else { return Ok(Vec::new()) };
    let posteriors = |model: &Arc<lm::Model>, serving: &Serving| posteriors(ctx, model, serving, &labels, &audit.queries);
    let own = posteriors(&suspect.trained.model, &suspect.serving)?;
    let served = posteriors(&audit.teacher.trained.model, audit.served_teacher.serving())?;
    let raw = posteriors(&audit.teacher.trained.model, &Serving::default())?;
    let n = own.len() as u64;
    let share = |name: &str, hits: u64| {
        let interval = wilson(hits, n, 0.95);
        Record { low: Some(interval.low), high: Some(interval.high), ..metric(name, hits as f64 / n.max(1) as f64, "1") }
    };
    let alike = |theirs: &[Vec<f64>]| own.iter().zip(theirs).filter(|(own, theirs)| sent(own) == sent(theirs)).count() as u64;
    let apart = own.iter().zip(&served).map(|(own, served)| (total_variation(own, served), 1.0));
    let mut records = vec![
        share("label_agreement", alike(&served)),
        share("label_agreement_raw", alike(&raw)),
        pooled_metric("label_total_variation", "1", apart),
    ];
    if suspect.run.arm == Arm::Teacher {
        let most = (0..labels.len()).map(|label| served.iter().filter(|law| sent(law) == label).count()).max();
        records.push(share("label_majority", most.unwrap_or(0) as u64));
    }
    Ok(records)
}

/// The law of the labels after each of `queries`, as `model` changed by `serving` releases it: (queries, labels).
fn posteriors(
    ctx: &Context<'_>,
    model: &Arc<lm::Model>,
    serving: &Serving,
    labels: &[String],
    queries: &[Query],
) -> anyhow::Result<Vec<Vec<f64>>> {
    let surface = Surface::Label { labels: labels.to_vec(), posterior: true };
    let tokenizer = &*ctx.vocabulary.tokenizer;
    let firsts: Vec<u32> = Choice::of(&surface, tokenizer)?
        .map(|choice| choice.answers().iter().filter_map(|answer| answer.first().copied()).collect())
        .unwrap_or_default();
    let served = Served::new(model.clone(), serving.processors(), surface, ctx.rt.clone());
    let served = served.with_companions(serving.companions.clone()).with_labels(tokenizer)?;
    // the law of the first answer token does not depend on the token that it is asked for with
    let asked = |query: &Query| Exchange {
        query: Query { sampling: Sampling::GREEDY, max_new_tokens: 1, ..query.clone() },
        answer: firsts.first().into_iter().copied().collect(),
        stop: Stop::Length,
    };
    let given: Vec<Exchange> = queries.iter().map(asked).collect();
    let laws = Mutex::new(vec![vec![0.0; firsts.len()]; given.len()]);
    served.laws(&given.iter().collect::<Vec<_>>(), &|exchange, _, law| {
        let Law::Top { ids, log_probs } = law else { return };
        let p_of = |first: &u32| {
            let at = ids.iter().position(|id| id == first);
            at.map_or(0.0, |at| libm::exp(f64::from(log_probs[at])))
        };
        laws.lock().unwrap_or_else(PoisonError::into_inner)[exchange] = firsts.iter().map(p_of).collect();
    })?;
    Ok(laws.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The label that is sent of a law: the most probable, the first of equal ones.
fn sent(law: &[f64]) -> usize {
    (0..law.len()).reduce(|best, at| if law[at] > law[best] { at } else { best }).unwrap_or_default()
}

/// Half the sum of |p - q|.
fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_are_compared_by_what_is_sent_and_how_far_they_are() {
        assert_eq!((sent(&[0.2, 0.5, 0.3]), sent(&[0.4, 0.4, 0.2]), sent(&[])), (1, 0, 0));
        assert!((total_variation(&[0.2, 0.5, 0.3], &[0.4, 0.4, 0.2]) - 0.2).abs() < 1e-15);
        assert_eq!((total_variation(&[1.0, 0.0], &[0.0, 1.0]), total_variation(&[0.5, 0.5], &[0.5, 0.5])), (1.0, 0.0));
    }
}
