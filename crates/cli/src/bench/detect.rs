use std::sync::Arc;

use marks::{Case, Chance, Mark, Question, Seen};
use oracle::{Exchange, Query, Sampling, Stop};

use super::line::{Line, What};
use super::marked::timed;
use super::shapes::random_ids;
use super::sitting::Sitting;

/// Answer tokens searched.
const TOKENS: usize = 100_000;
const ANSWER_TOKENS: usize = 32;
const PROMPT_TOKENS: usize = 16;
const VOCAB: usize = 1_024;
/// Decoy keys, or as many as are searched in [`LONGEST`].
const DECOYS: usize = 999;
/// Seconds that the search for all decoy keys may take, as one key lets expect.
const LONGEST: f64 = 4.0;

/// Detection in random text: of one key on one core, and beside decoy keys on all. Of marks that need no model's laws.
pub(super) fn detect(sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
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
    for timed in timed(VOCAB)?.iter().filter(|timed| alone(&*timed.mark)) {
        let mut search = |decoys: usize, threads: usize| -> anyhow::Result<f64> {
            let chance = Chance { decoys, decoy_seed: 1, ..Chance::default() };
            let case = Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance };
            let mut judge = || {
                sitting.rt.pool.install(|| timed.mark.judge(&case))?;
                Ok(())
            };
            let [seconds] = sitting.medians([&mut judge])?;
            let line = Line {
                batch: Some(TOKENS / ANSWER_TOKENS),
                tokens_per_s: Some(TOKENS as f64 / seconds),
                keys: Some(decoys + 1),
                ..Line::new(What::Detect, threads)
            };
            lines.push(line.of_mark(timed));
            Ok(seconds)
        };
        let threads = sitting.rt.threads();
        let one = search(0, 1)?;
        search(DECOYS.min((LONGEST * threads as f64 / one) as usize).max(9), threads)?;
    }
    Ok(lines)
}
