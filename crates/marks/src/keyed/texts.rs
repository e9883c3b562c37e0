//! Given texts, each on its own and all together, by the count of distinct units.

use oracle::Exchange;
use rayon::prelude::*;
use stats::{Evidence, EvidenceError};

use super::count::Count;
use super::scheme::Scheme;
use crate::{Chance, Detected, Detection, Judged, Key};

/// What `key` finds in `texts`.
pub(super) fn detection<S: Scheme>(
    scheme: &S,
    key: &Key,
    texts: &[Exchange],
    chance: Chance,
) -> Result<Detection, EvidenceError> {
    let each = texts.par_iter().map(|text| detected(scheme, key, std::slice::from_ref(text), chance));
    let each = each.collect::<Result<Vec<_>, _>>()?;
    let pooled = detected(scheme, key, texts, chance)?;
    Ok(Detection { account: None, texts: (0..texts.len()).collect(), each, pooled })
}

fn detected<S: Scheme>(scheme: &S, key: &Key, texts: &[Exchange], chance: Chance) -> Result<Detected, EvidenceError> {
    let count = Count::of(scheme, texts, None);
    let mut finding = count.finding(key)?;
    let (statistics, log10_p): (Vec<f64>, Vec<f64>) = count.decoys(chance).into_iter().unzip();
    finding.evidence = Evidence::with_decoys(finding.evidence, &statistics)?;
    (finding.decoy_statistics, finding.decoy_log10_p) = (statistics, log10_p);
    let judged = judged(scheme, texts, &count, finding.evidence.n);
    Ok(Detected { finding, judged })
}

fn judged<S: Scheme>(scheme: &S, texts: &[Exchange], count: &Count<'_, S>, units: u64) -> Judged {
    let end = scheme.rules().end;
    let before_end = |text: &Exchange| text.answer.iter().take_while(|token| Some(**token) != end).count() as u64;
    let total = |of: &dyn Fn(&Exchange) -> u64| texts.iter().map(of).sum::<u64>();
    let (tokens, kept) = (total(&|text| text.answer.len() as u64), total(&before_end));
    let (walked, skipped) = (count.units.len() as u64, count.units.skipped);
    let met = walked + skipped.special + skipped.in_prompt + skipped.repeated;
    Judged {
        texts: texts.len() as u64,
        prompt_tokens: total(&|text| text.query.prompt.len() as u64),
        tokens,
        units,
        ended: tokens - kept,
        without_context: kept - met,
        special: skipped.special,
        in_prompt: skipped.in_prompt,
        // a scheme may find under its key that two units have one draw
        repeated: skipped.repeated + (walked - units),
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Query, Stop};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Mark, MarkEntry};

    const CHANCE: Chance = Chance { decoys: 99, decoy_seed: 7, draws: 9, draw_seed: 1 };

    /// A lab for every mark that shows in texts alone.
    fn labs() -> Vec<Lab> {
        let key = Key::decoy(1, 0);
        let served = |lab: &Lab| lab.bed == crate::Bed::default() && lab.build(&key).is_ok_and(|mark| mark.detector().is_some());
        let labs: Vec<Lab> = MarkEntry::examples().iter().map(Lab::new).filter(served).collect();
        assert!(labs.len() >= 8, "{}", labs.len());
        labs
    }

    fn answers(lab: &Lab, model: &ToyModel) -> Vec<Exchange> {
        // few answers: a mark without context has soon said every token
        let query = |query: Query| Query { max_new_tokens: 48, ..query };
        model.answer(&lab.audit().into_iter().take(30).map(query).collect::<Vec<_>>()).unwrap()
    }

    fn found(mark: &dyn Mark, texts: &[Exchange]) -> Detection {
        mark.detector().unwrap().detect(texts, CHANCE).unwrap().remove(0)
    }

    /// Error rate 1e-4 for each unmarked text.
    #[test]
    fn every_mark_is_found_in_its_own_text_and_not_in_other_text() {
        for lab in labs() {
            let mark = lab.build(&Key::decoy(3, 1)).unwrap();
            let marked = found(&*mark, &answers(&lab, &lab.marked(&*mark)));
            let (name, evidence) = (lab.name(), &marked.pooled.finding.evidence);
            assert!(evidence.log10_p < -5.0 && evidence.effect > 0.0, "{name}: {evidence:?}");
            assert_eq!((evidence.decoys, evidence.log10_p_decoy), (99, Some(-2.0)), "{name}");
            let plain = found(&*mark, &answers(&lab, &lab.model(1_000)));
            assert!(plain.pooled.finding.evidence.log10_p > -4.0, "{name}: {:?}", plain.pooled.finding.evidence);
        }
    }

    #[test]
    fn every_token_is_accounted_for() {
        for lab in labs() {
            let mark = lab.build(&Key::decoy(3, 1)).unwrap();
            let mut texts = answers(&lab, &lab.model(1_000));
            // an answer that ends and goes on, one with a special token, and one that copies its prompt
            texts[0].answer.splice(10..10, [2]);
            texts[1].answer[5] = 0;
            texts[2].answer = texts[2].query.prompt[1..].to_vec();
            let detection = found(&*mark, &texts);
            let sum = |judged: &Judged| {
                let left_out = judged.ended + judged.without_context + judged.special + judged.in_prompt + judged.repeated;
                judged.units + left_out
            };
            for detected in detection.each.iter().chain([&detection.pooled]) {
                assert_eq!(sum(&detected.judged), detected.judged.tokens, "{}: {:?}", lab.name(), detected.judged);
                assert_eq!(detected.judged.units, detected.finding.evidence.n);
            }
            let pooled = detection.pooled.judged;
            let total = |of: &dyn Fn(&Judged) -> u64| detection.each.iter().map(|each| of(&each.judged)).sum::<u64>();
            let of_all =
                [pooled.tokens, pooled.prompt_tokens, pooled.ended, pooled.special, pooled.in_prompt, pooled.without_context];
            let summed = [
                total(&|judged| judged.tokens),
                total(&|judged| judged.prompt_tokens),
                total(&|judged| judged.ended),
                total(&|judged| judged.special),
                total(&|judged| judged.in_prompt),
                total(&|judged| judged.without_context),
            ];
            assert_eq!(of_all, summed, "{}", lab.name());
            assert!(pooled.ended > 30 && pooled.special > 0 && pooled.in_prompt > 0 && pooled.texts == 30, "{pooled:?}");
            assert!(pooled.units <= total(&|judged| judged.units));
        }
    }

    /// The count over all texts is the one that an audit makes, and the same text twice is one.
    #[test]
    fn pooled_units_are_distinct_over_all_texts() {
        for lab in labs() {
            let mark = lab.build(&Key::decoy(3, 1)).unwrap();
            let texts = answers(&lab, &lab.marked(&*mark));
            let once = found(&*mark, &texts).pooled;
            let twice = found(&*mark, &[texts.clone(), texts.clone()].concat()).pooled;
            let (one, two) = (&once.finding.evidence, &twice.finding.evidence);
            assert_eq!((one.n, one.log10_p, one.statistic), (two.n, two.log10_p, two.statistic), "{}", lab.name());
            assert!(twice.judged.repeated > once.judged.repeated && twice.judged.texts == 2 * once.judged.texts);
        }
    }

    #[test]
    fn nothing_is_no_evidence() {
        for lab in labs() {
            let mark = lab.build(&Key::decoy(3, 1)).unwrap();
            let query = Query::greedy(0, vec![1, 5], 4);
            let empty = Exchange { query, answer: Vec::new(), stop: Stop::Length };
            let evidence = found(&*mark, &[empty]).pooled.finding.evidence;
            assert_eq!((evidence.n, evidence.log10_p, evidence.log10_p_decoy), (0, 0.0, Some(0.0)), "{}", lab.name());
        }
    }
}
