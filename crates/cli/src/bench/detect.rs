use std::sync::Arc;
use std::time::Instant;

use marks::{Case, Chance, Mark, Question, Seen};
use oracle::{Exchange, Query, Sampling, Stop};
use stats::NullKind;

use super::line::{Line, What};
use super::marked::timed;
use super::shapes::random_ids;
use super::sitting::Sitting;

/// Answer tokens searched.
const TOKENS: usize = 100_000;
const ANSWER_TOKENS: usize = 32;
const PROMPT_TOKENS: usize = 16;
const VOCAB: usize = 1_024;
/// Decoy keys: as many of these as are searched in [`LONGEST`], or the fewest.
const DECOYS: [usize; 3] = [999, 99, 9];
/// Seconds that the search for all decoy keys may take, as the fewest let expect.
const LONGEST: f64 = 2.0;

/// Decoy keys of marks that have no other null: the fewest that they take.
const RANKED: usize = 99;

/// Whether the mark says nothing without decoy keys, seen by its first answers.
fn is_rank(mark: &dyn Mark, seen: &[Seen]) -> anyhow::Result<bool> {
    let [Seen::Exchanges(answers)] = seen else { return Ok(false) };
    let few = [Seen::Exchanges(Arc::new(answers.iter().take(4).cloned().collect()))];
    let case = Case { suspect: &few, teacher: None, references: &[], second: &[], contexts: None, chance: Chance::default() };
    Ok(mark.judge(&case)?.iter().any(|found| found.evidence.null.kind == NullKind::Decoys))
}

/// Detection in random text: of one key on one core, and beside decoy keys on all. Of marks that need no model's laws.
pub(super) fn detect(kinds: &[String], sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let answer = |index: usize| {
        let tokens = random_ids(PROMPT_TOKENS + ANSWER_TOKENS, VOCAB, index as u64);
        let (prompt, answer) = tokens.split_at(PROMPT_TOKENS);
        let index = index as u64;
        let prompt = prompt.to_vec();
        let query = Query { sampling: Sampling::PLAIN, seed: index, ..Query::greedy(index, prompt, ANSWER_TOKENS) };
        Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
    };
    let answers: Vec<Exchange> = (0..TOKENS / ANSWER_TOKENS).map(answer).collect();
    let seen = [Seen::Exchanges(Arc::new(answers))];
    let mut lines = Vec::new();
    let alone = |mark: &dyn Mark| matches!(mark.questions(0)[..], [Question::Audit]) && mark.detector().is_some();
    for timed in timed(VOCAB, kinds)?.iter().filter(|timed| alone(&*timed.mark)) {
        let judge = |decoys: usize| -> anyhow::Result<()> {
            let chance = Chance { decoys, decoy_seed: 1, ..Chance::default() };
            let case = Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance };
            sitting.rt.pool.install(|| timed.mark.judge(&case))?;
            Ok(())
        };
        let once = |decoys: usize| -> anyhow::Result<f64> {
            let began = Instant::now();
            judge(decoys)?;
            Ok(began.elapsed().as_secs_f64())
        };
        let mut search = |decoys: usize, threads: usize| -> anyhow::Result<()> {
            let [seconds] = sitting.medians([&mut || judge(decoys)])?;
            let line = Line {
                batch: Some(TOKENS / ANSWER_TOKENS),
                tokens_per_s: Some(TOKENS as f64 / seconds),
                keys: Some(decoys + 1),
                ..Line::new(What::Detect, threads)
            };
            lines.push(line.of_mark(timed));
            Ok(())
        };
        if is_rank(&*timed.mark, &seen)? {
            // no search of one key says anything
            search(RANKED, sitting.rt.threads())?;
            continue;
        }
        search(0, 1)?;
        let [.., fewest] = DECOYS;
        let (one, few) = (once(0)?, once(fewest)?);
        let by_key = (few - one).max(0.0) / fewest as f64;
        let decoys = DECOYS.into_iter().find(|decoys| one + by_key * *decoys as f64 <= LONGEST).unwrap_or(fewest);
        search(decoys, sitting.rt.threads())?;
    }
    Ok(lines)
}
