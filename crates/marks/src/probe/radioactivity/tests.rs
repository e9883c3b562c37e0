use std::sync::Arc;

use oracle::{Codec, Exchange, Oracle, Query, Stop};

use super::*;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Asked, Chance, Key, MarkEntry, Reduce};

const CHANCE: Chance = Chance { decoys: 99, decoy_seed: 5, draws: 9, draw_seed: 1 };

fn config(student: Student, supervised: bool, dedup: Dedup) -> RadioactivityConfig {
    let texts = supervised.then_some(40);
    RadioactivityConfig { of: "watermark".into(), student, supervised, texts, filter: false, dedup }
}

fn lab(config: RadioactivityConfig) -> Lab {
    Lab::new(&MarkEntry { radioactivity: Some(Box::new(config)), ..MarkEntry::default() })
}

/// Every cell of the grid, with every way to count in it.
fn grid() -> Vec<RadioactivityConfig> {
    let (argmax, mass) = (Student::Open(Predict::Argmax), Student::Open(Predict::Mass));
    let mut all = Vec::new();
    for supervised in [true, false] {
        all.push(config(mass, supervised, Dedup::Contexts));
        for student in [argmax, Student::Closed] {
            all.extend([Dedup::Contexts, Dedup::Pairs].map(|dedup| config(student, supervised, dedup)));
        }
    }
    all
}

fn said(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { sampling: oracle::Sampling::PLAIN, ..Query::greedy(0, prompt.to_vec(), answer.len()) };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

/// A model without the key that copies: what came after its last token before comes again with much of the probability, as in language
/// models that learned to. Marked text that it reads repeats, so that copies of it are green.
#[derive(Clone)]
struct Copying(ToyModel);

impl Oracle for Copying {
    fn surface(&self) -> &oracle::Surface {
        self.0.surface()
    }

    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, oracle::OracleError> {
        self.0.answer(queries)
    }

    fn score(&self, items: &[oracle::ScoreItem]) -> Result<Vec<f64>, oracle::OracleError> {
        self.0.score(items)
    }

    fn laws(&self, given: &[&Exchange], sink: &oracle::LawSink<'_>) -> Result<(), oracle::OracleError> {
        self.0.laws(given, &|index, position, law| {
            let oracle::Law::Whole(log_probs) = law else { panic!("whole laws") };
            let input = [&given[index].query.prompt[..], &given[index].answer[..position]].concat();
            let mut law = log_probs.to_vec();
            let last = input.len() - 1;
            if let Some(before) = (0..last).rev().find(|&at| input[at] == input[last]) {
                law.iter_mut().for_each(|log_prob| *log_prob += libm::logf(0.1));
                let copied = &mut law[input[before + 1] as usize];
                *copied = libm::logf(libm::expf(*copied) + 0.9);
            }
            sink(index, position, oracle::Law::Whole(&law));
        })
    }
}

/// What is found in `suspect` under `key`, along texts that are marked with that very key, without decoys.
fn found_in(lab: &Lab, key: &Key, suspect: &dyn Oracle) -> Finding {
    let mark = lab.build(key).unwrap();
    let answers = Arc::new(suspect.answer(&lab.audit()).unwrap());
    let texts = |which| lab.texts(&*mark, which);
    let asked = Asked { answers: suspect, laws: suspect, audit: &|| Ok(answers.clone()), marked: &texts };
    let first = asked.ask_all(&mark.questions(1)).unwrap();
    let questions: Vec<Question> = mark.follow_up(&first).into_iter().map(|follow_up| follow_up.question).collect();
    let second = asked.ask_all(&questions).unwrap();
    let chance = Chance { decoys: 0, ..CHANCE };
    let case = Case { suspect: &first, teacher: None, references: &[], second: &second, contexts: None, chance };
    mark.judge(&case).unwrap().remove(0)
}

/// A student that copies what it reads knows no key: under 80 keys, each the true one of the texts, p keeps its level in every open
/// cell.
/// Without the rule about contexts that come again in an input it would not: their copies are counted here to show it.
#[test]
fn a_student_that_copies_marked_text_is_no_evidence() {
    const KEYS: u64 = 80;
    for config in grid().into_iter().filter(|config| config.student != Student::Closed) {
        let lab = lab(config.clone());
        let suspect = Copying(lab.model(3));
        let p: Vec<f64> = (0..KEYS).map(|key| found_in(&lab, &Key::decoy(70, key), &suspect).evidence.log10_p).collect();
        for alpha in [0.2_f64, 0.05, 0.01] {
            let rejected = p.iter().filter(|p| **p <= libm::log10(alpha)).count() as f64;
            // error rate 1e-4 by the normal bound, and one more
            let most = KEYS as f64 * alpha + 3.8 * (KEYS as f64 * alpha * (1.0 - alpha)).sqrt() + 1.0;
            assert!(rejected <= most, "{config:?}: {rejected} of {KEYS} at {alpha}");
        }
    }
    // the copies themselves: green far above the rate
    let lab = lab(config(Student::Open(Predict::Argmax), true, Dedup::Pairs));
    let mark = lab.build(&Key::decoy(70, 1)).unwrap();
    let texts = lab.texts(&*mark, Marked::Bought { most: 40 }).unwrap();
    let read = mark.readable().unwrap();
    let (mut windows, mut scores) = (Vec::new(), Vec::new());
    for text in &*texts {
        for at in 1..text.answer.len() {
            let before = text.answer[..at - 1].iter().rposition(|token| *token == text.answer[at - 1]);
            windows.extend(before.into_iter().flat_map(|before| [text.answer[at - 1], text.answer[before + 1]]));
        }
    }
    scores.resize(windows.len() / 2, 0.0);
    (read.scheme.scorer(&read.key))(&windows, &mut scores);
    let rate = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!(scores.len() > 50 && rate > 0.4, "{rate} of {}", scores.len());
}

/// The marked teacher shows the mark in every cell; the green mass of one text for each context shows more than its likeliest token counted
/// beside Hoeffding's bound.
#[test]
fn a_student_with_the_mark_is_found_in_every_cell() {
    for config in grid() {
        let lab = lab(config.clone());
        let mark = lab.build(&Key::decoy(9, 1)).unwrap();
        let found = lab.measure(&*mark, &lab.marked(&*mark), CHANCE).unwrap().remove(0);
        let evidence = &found.evidence;
        assert!(evidence.log10_p < -6.0 && evidence.effect > 0.1 && evidence.interval.low > 0.0, "{config:?}: {found:?}");
        assert_eq!(evidence.decoys, 99);
        assert_eq!(evidence.log10_p_decoy, (config.student == Student::Closed).then_some(-2.0), "{config:?}");
        assert!(found.audit_queries_to_detect(1e-3).is_some_and(|queries| queries <= 40), "{config:?}");
        if config.student == Student::Open(Predict::Mass) {
            let hoeffding = found.metric("hoeffding_log10_p").unwrap();
            assert!(evidence.log10_p < hoeffding, "{} {hoeffding}", evidence.log10_p);
            assert!(evidence.n < 128, "a context of a vocabulary of 128 counts once: {}", evidence.n);
        }
    }
}

#[test]
fn a_predicted_unit_is_of_a_fresh_context_and_replaces_what_the_text_says() {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(128));
    let rules = |dedup| Rules::new(1, dedup, &*codec);
    // 10 stands in the prompt, 20 comes twice, 0 is special, 2 ends the answer
    let texts = [said(&[1, 10, 11], &[20, 10, 20, 30, 0, 31, 2, 32]), said(&[1, 12], &[30, 20, 40])];
    let units = |dedup, token: &dyn Fn(usize) -> Option<TokenId>| {
        let units = Units::predicted(&texts, &rules(dedup), |text, _| token(text));
        (units.windows().map(<[TokenId]>::to_vec).collect::<Vec<_>>(), units.ends().to_vec(), units.skipped)
    };
    let (windows, ends, skipped) = units(Dedup::Pairs, &|text| Some(50 + text as TokenId));
    assert_eq!(windows, [[20, 50], [30, 50], [30, 51], [20, 51]]);
    assert_eq!((ends, skipped.special, skipped.repeated), (vec![2, 4], 1, 0));
    let (windows, ends, skipped) = units(Dedup::Contexts, &|text| Some(50 + text as TokenId));
    assert_eq!((windows, ends, skipped.repeated), (vec![vec![20, 50], vec![30, 50]], vec![2, 2], 2));
    // the same prediction twice is one pair; a special or an end token is no unit, whatever a model predicts
    assert_eq!(units(Dedup::Pairs, &|_| Some(50)).0, [[20, 50], [30, 50]]);
    for token in [Some(0), Some(2), None] {
        assert!(units(Dedup::Pairs, &|_| token).0.is_empty());
    }
    // contexts of two tokens that lie in prompt and answer both are met too
    let wide = Rules::new(2, Dedup::Pairs, &*codec);
    let text = [said(&[1, 10, 11], &[20, 11, 20, 30, 11, 20, 31])];
    let places: Vec<usize> = wide.fresh_places(&text[0]).map(|place| place.at()).collect();
    // 20 11 | 11 20 (came as the end of the prompt and the first token) | 20 30 | 30 11 | 11 20
    assert_eq!(places, [2, 4, 5]);
}

/// The filter keeps contexts that were met, and nothing without counts is left out.
#[test]
fn a_filter_keeps_contexts_that_the_clean_twin_said() {
    for student in [Student::Closed, Student::Open(Predict::Argmax), Student::Open(Predict::Mass)] {
        let lab = lab(RadioactivityConfig { filter: true, ..config(student, false, Dedup::Contexts) });
        let mark = lab.build(&Key::decoy(9, 1)).unwrap();
        let suspect = lab.marked(&*mark);
        let answers = Arc::new(suspect.answer(&lab.audit()).unwrap());
        let texts = |which| lab.texts(&*mark, which);
        let asked = Asked { answers: &suspect, laws: &suspect, audit: &|| Ok(answers.clone()), marked: &texts };
        let first = asked.ask_all(&mark.questions(1)).unwrap();
        let questions: Vec<Question> = mark.follow_up(&first).into_iter().map(|follow_up| follow_up.question).collect();
        let second = asked.ask_all(&questions).unwrap();
        let mut counts = mark.contexts(&first).unwrap();
        let case = Case { suspect: &first, teacher: None, references: &[], second: &second, contexts: None, chance: CHANCE };
        let judged = |contexts: Option<&ContextCounts>| mark.judge(&Case { contexts, ..case }).unwrap().remove(0);
        let all = judged(None);
        assert_eq!(all.metric("filter_kept"), None);
        let none = judged(Some(&counts));
        assert_eq!((none.evidence.n, none.evidence.log10_p, none.metric("filter_kept")), (0, 0.0, Some(0.0)));
        // the twin said every even token before another
        (4..128).step_by(2).for_each(|token| counts.add(&[token, 3]));
        let half = judged(Some(&counts));
        let kept = half.metric("filter_kept").unwrap();
        assert!(half.evidence.n < all.evidence.n && (0.3..0.7).contains(&kept), "{kept}");
        assert_eq!(half.evidence.n as f64, (kept * all.evidence.n as f64).round());
        assert_eq!(half.max_log10_e_by_query.len(), 40, "one for every text");
    }
}

/// Of equal probabilities the lowest id is the likeliest, and what a model predicts beyond its law's end is nothing.
#[test]
fn broken_laws_are_refused_and_short_ones_are_no_evidence() {
    let lab = lab(config(Student::Open(Predict::Argmax), true, Dedup::Contexts));
    let mark = lab.build(&Key::decoy(9, 1)).unwrap();
    let first = [Seen::Exchanges(lab.texts(&*mark, Marked::Bought { most: 4 }).unwrap())];
    let judged = |second: &[Seen]| {
        mark.judge(&Case { suspect: &first, teacher: None, references: &[], second, contexts: None, chance: CHANCE })
    };
    let short = judged(&[Seen::Laws(vec![Reduced::default(); 4])]).unwrap().remove(0).evidence;
    assert_eq!((short.n, short.log10_p), (0, 0.0));
    assert!(judged(&[]).unwrap_err().to_string().contains("laws along the texts"));
    assert!(judged(&[Seen::Laws(vec![Reduced::default(); 3])]).is_err());
    let broken = Reduced::new(vec![vec![f64::NAN]; 24]);
    assert!(judged(&[Seen::Laws(vec![broken; 4])]).unwrap_err().to_string().contains("not a number"));
}

/// Which mark is meant.
type Pick = fn(&MarkEntry) -> bool;

#[test]
fn marks_that_cannot_be_read_are_refused_with_what_to_do() {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(512));
    let key = Key::decoy(1, 1);
    let examples = MarkEntry::examples();
    let built = |config: &RadioactivityConfig, of: &dyn Fn(&MarkEntry) -> bool| {
        let entry = examples.iter().find(|entry| of(entry)).unwrap();
        let read = entry.build(&Owner::new(&key, &codec)).unwrap().readable();
        config.build(&Owner { reads: read.as_ref(), ..Owner::new(&key, &codec) }).map(|_| ()).map_err(|error| error.to_string())
    };
    let open = |predict| config(Student::Open(predict), true, Dedup::Contexts);
    let closed = config(Student::Closed, false, Dedup::Pairs);
    let (kgw, unigram): (Pick, Pick) = (|e| e.kgw.is_some(), |e| e.unigram.is_some());
    let (gumbel, sweet, kth): (Pick, Pick, Pick) = (|e| e.gumbel.is_some(), |e| e.sweet.is_some(), |e| e.kth.is_some());
    assert_eq!(built(&open(Predict::Mass), &kgw), Ok(()));
    assert_eq!(built(&open(Predict::Argmax), &gumbel), Ok(()));
    for of in [kgw, unigram, gumbel] {
        assert_eq!(built(&closed, &of), Ok(()));
    }
    for (config, of, words) in [
        (open(Predict::Mass), gumbel, "argmax"),
        (open(Predict::Argmax), unigram, "closed"),
        (closed.clone(), sweet, "entropies"),
        (closed, kth, "name a watermark"),
    ] {
        let error = built(&config, &of).unwrap_err();
        assert!(error.contains(words) && error.contains("of"), "{error}");
    }
    let of = |config: RadioactivityConfig| config.validate().unwrap_err().key;
    assert_eq!(of(config(Student::Open(Predict::Mass), true, Dedup::Pairs)), "dedup");
    assert_eq!(of(RadioactivityConfig { texts: Some(3), ..config(Student::Closed, false, Dedup::Pairs) }), "texts");
}

/// What is kept of a law is what [`Candidates`] keeps: a prediction of text, whatever else is likelier.
#[test]
fn a_prediction_is_a_token_of_text() {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(128));
    let reduce = Candidates::new(&Rules::new(1, Dedup::Contexts, &*codec));
    let mut law = vec![libm::logf(0.001); 128];
    (law[2], law[40], law[41]) = (libm::logf(0.5), libm::logf(0.2), libm::logf(0.2));
    let text = said(&[1, 10], &[20, 21, 22]);
    let mut kept = Vec::new();
    reduce.reduce(&text, 0, oracle::Law::Whole(&law), &mut kept);
    assert!(kept.is_empty(), "the context of the first token is the prompt's");
    reduce.reduce(&text, 1, oracle::Law::Whole(&law), &mut kept);
    let reduced = Reduced::new([kept]);
    let likeliest = Candidates::at(&reduced, 0).reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap();
    assert_eq!(likeliest.0, 40);
}
