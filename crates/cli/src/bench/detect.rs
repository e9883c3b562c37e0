use std::sync::Arc;

use marks::{Case, Chance, Question, Seen};
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
const DECOYS: usize = 999;

/// Detection in random text: of one key on one core, and beside decoy keys on all.
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
    for timed in timed(VOCAB)?.iter().filter(|timed| matches!(timed.mark.questions(0)[..], [Question::Audit])) {
        for (decoys, threads) in [(0, 1), (DECOYS, sitting.rt.threads())] {
            let chance = Chance { decoys, decoy_seed: 1, ..Chance::default() };
            let case = Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance };
            let mut search = || {
                sitting.rt.pool.install(|| timed.mark.judge(&case))?;
                Ok(())
            };
            let [seconds] = sitting.medians([&mut search])?;
            let line = Line {
                batch: Some(TOKENS / ANSWER_TOKENS),
                tokens_per_s: Some(TOKENS as f64 / seconds),
                keys: Some(decoys + 1),
                ..Line::new(What::Detect, threads)
            };
            lines.push(line.of_mark(timed));
        }
    }
    Ok(lines)
}
