use super::*;
use crate::testing::{Parity, VOCAB, exchange, model, query, runtime};

const DELTA: f32 = 2.5;
const PRE: ServedLaw = ServedLaw::PreWatermark;
const POST: ServedLaw = ServedLaw::PostWatermark;

fn served(surface: Surface) -> Served {
    Served::new(Arc::new(model(4)), vec![Arc::new(Parity { delta: DELTA })], surface, runtime(2))
}

/// The law after `before`, worked out here: raw logits from the model, then bias, temperature, softmax in f64.
fn law(before: &[TokenId], bias: f32, temperature: f64) -> Vec<f64> {
    let found = Mutex::new(Vec::new());
    let row = Row { ids: before, laws: before.len()..before.len() + 1 };
    lm::for_each_law(&model(4), &[row], &runtime(1), &|_, _, logits| *found.lock().unwrap() = logits.to_vec()).unwrap();
    let previous = *before.last().unwrap() as usize;
    let logits: Vec<f64> = found
        .into_inner()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(id, &l)| (f64::from(l) + if (id + previous).is_multiple_of(2) { f64::from(bias) } else { 0.0 }) / temperature)
        .collect();
    let log_sum = libm::log(logits.iter().map(|l| libm::exp(*l)).sum::<f64>());
    logits.iter().map(|l| l - log_sum).collect()
}

fn items() -> Vec<ScoreItem> {
    vec![
        ScoreItem { prompt: vec![1, 7], continuation: vec![9, 10, 11, 30] },
        ScoreItem { prompt: vec![1], continuation: vec![5] },
        ScoreItem { prompt: vec![1, 8, 9], continuation: vec![] },
    ]
}

#[test]
fn scores_are_log_probabilities_of_the_law_the_surface_names() {
    for (law_name, bias) in [(POST, DELTA), (PRE, 0.0)] {
        for surface in [Surface::TopLogprobs { k: 3, law: law_name }, Surface::Logits { law: law_name }] {
            let scores = served(surface).score(&items()).unwrap();
            for (item, score) in items().iter().zip(&scores) {
                let chosen = |i: usize| {
                    let before = [&item.prompt[..], &item.continuation[..i]].concat();
                    law(&before, bias, 1.0)[item.continuation[i] as usize]
                };
                let expected: f64 = (0..item.continuation.len()).map(chosen).sum();
                assert!((score - expected).abs() < 4e-5, "{score} instead of {expected} under {law_name:?}");
            }
        }
    }
}

#[test]
fn text_surfaces_show_no_probabilities() {
    for surface in [Surface::Text, Surface::GreedyText] {
        let (name, served) = (surface.name(), served(surface));
        let of_score = served.score(&items()).unwrap_err();
        let of_laws = served.laws(&[&exchange(&[1], &[5])], &|_, _, _| panic!("nothing is shown")).unwrap_err();
        for error in [of_score, of_laws] {
            assert!(
                matches!(&error, OracleError::NotShown { surface, instead: "top_logprobs", .. } if surface == name),
                "{error}"
            );
        }
    }
}

#[test]
fn laws_are_those_the_answers_were_drawn_from() {
    let temperature = 0.7;
    for (law_name, bias) in [(POST, DELTA), (PRE, 0.0)] {
        for k in [None, Some(4), Some(1000)] {
            let surface = k.map_or(Surface::Logits { law: law_name }, |k| Surface::TopLogprobs { k, law: law_name });
            let served = served(surface);
            let sampling = Sampling { temperature: 0.7, ..Sampling::PLAIN };
            let exchanges = served.answer(&[query(0, 4, sampling), query(1, 3, sampling)]).unwrap();
            let seen = Mutex::new(Vec::new());
            served
                .laws(&exchanges.iter().collect::<Vec<_>>(), &|exchange, position, shown| {
                    let Exchange { query, answer, .. } = &exchanges[exchange];
                    let expected = law(&[&query.prompt[..], &answer[..position]].concat(), bias, temperature);
                    match shown {
                        Law::Whole(log_probs) => {
                            assert_eq!((k, log_probs.len()), (None, VOCAB));
                            for (l, e) in log_probs.iter().zip(&expected) {
                                assert!((f64::from(*l) - e).abs() < 1e-5);
                            }
                        }
                        Law::Top { ids, log_probs } => {
                            let k = k.unwrap().min(VOCAB);
                            let mut best: Vec<TokenId> = (0..VOCAB as TokenId).collect();
                            best.sort_by(|a, b| expected[*b as usize].total_cmp(&expected[*a as usize]));
                            assert_eq!((ids, log_probs.len()), (&best[..k], k), "only {k} tokens are shown, best first");
                            for (id, l) in ids.iter().zip(log_probs) {
                                assert!((f64::from(*l) - expected[*id as usize]).abs() < 1e-5);
                            }
                        }
                    }
                    seen.lock().unwrap().push((exchange, position));
                })
                .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            let all: Vec<(usize, usize)> =
                exchanges.iter().enumerate().flat_map(|(e, x)| (0..x.answer.len()).map(move |p| (e, p))).collect();
            assert_eq!(seen, all);
        }
    }
}

#[test]
fn truncation_and_greed_show_in_the_laws() {
    let served = served(Surface::Logits { law: POST });
    let asked = |sampling: Sampling| {
        let mut exchange = exchange(&[1, 7], &[9]);
        exchange.query.sampling = sampling;
        let found = Mutex::new(Vec::new());
        let sink = |_: usize, _: usize, law: Law<'_>| {
            if let Law::Whole(log_probs) = law {
                *found.lock().unwrap() = log_probs.to_vec();
            }
        };
        served.laws(&[&exchange], &sink).unwrap();
        found.into_inner().unwrap()
    };
    let plain = asked(Sampling::PLAIN);
    assert_eq!(asked(Sampling::GREEDY), plain, "a greedy query is shown the law at temperature 1");
    let cut = asked(Sampling { top_k: 3, ..Sampling::PLAIN });
    assert_eq!(cut.iter().filter(|l| l.is_finite()).count(), 3);
    assert!((cut.iter().map(|l| libm::exp(f64::from(*l))).sum::<f64>() - 1.0).abs() < 1e-5);
    assert_eq!(most_probable(&cut, 3), most_probable(&plain, 3));
}

#[test]
fn a_greedy_surface_answers_greedily_whatever_is_asked() {
    let hot = Sampling { temperature: 2.0, ..Sampling::PLAIN };
    let queries: Vec<Query> = (0..5).map(|i| query(i, 6, hot)).collect();
    let greedy: Vec<Query> = queries.iter().map(|q| Query { sampling: Sampling::GREEDY, ..q.clone() }).collect();
    let answers = served(Surface::GreedyText).answer(&queries).unwrap();
    assert_eq!(answers, served(Surface::Text).answer(&greedy).unwrap());
    assert_ne!(
        answers.iter().map(|e| &e.answer).collect::<Vec<_>>(),
        served(Surface::Text).answer(&queries).unwrap().iter().map(|e| &e.answer).collect::<Vec<_>>()
    );
    assert!(answers.iter().all(|e| e.query.sampling == Sampling::GREEDY));
}

/// A bias of 40 leaves the other tokens e^-40 of probability: every answer token has an even sum with the one before.
#[test]
fn answers_are_drawn_from_the_bent_law() {
    let strong = |surface| Served::new(Arc::new(model(4)), vec![Arc::new(Parity { delta: 40.0 })], surface, runtime(2));
    let queries: Vec<Query> = (0..20).map(|i| query(i, 6, Sampling::PLAIN)).collect();
    // what is reported does not change what is drawn
    let surfaces = [Surface::Text, Surface::TopLogprobs { k: 2, law: PRE }, Surface::Logits { law: POST }];
    let answers: Vec<Vec<Exchange>> = surfaces.into_iter().map(|s| strong(s).answer(&queries).unwrap()).collect();
    assert!(answers.iter().all(|a| *a == answers[0]));
    for exchange in &answers[0] {
        let tokens = [&exchange.query.prompt[..], &exchange.answer].concat();
        let answer = tokens[exchange.query.prompt.len() - 1..].windows(2).all(|w| (w[0] + w[1]) % 2 == 0);
        assert!(answer, "{tokens:?}");
    }
}

#[test]
fn equal_values_are_reported_by_id() {
    assert_eq!(most_probable(&[1.0, 3.0, 3.0, f32::NEG_INFINITY, 3.0], 2), [1, 2]);
    assert_eq!(most_probable(&[1.0, 3.0, 3.0, f32::NEG_INFINITY, 3.0], 9), [1, 2, 4, 0, 3]);
    assert_eq!(most_probable(&[0.0; 3], 0), [0; 0]);
}

#[test]
fn a_raised_flag_stops_the_oracle() {
    let served = served(Surface::Logits { law: POST });
    served.runtime.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let queries: Vec<Query> = (0..20).map(|i| query(i, 6, Sampling::PLAIN)).collect();
    assert!(matches!(served.answer(&queries), Err(OracleError::Cancelled)));
}

/// Rounds what is shown to whole nats and takes one more for each account number, and says which steps it saw.
struct Rounded(Mutex<Vec<(u64, Vec<TokenId>)>>);

impl LogitsProcessor for Rounded {
    fn name(&self) -> String {
        "rounded".into()
    }

    fn stage(&self) -> Stage {
        Stage::Shown
    }

    fn process(&self, step: &Step<'_>, row: oracle::Row<'_>) {
        self.0.lock().unwrap().push((step.query.index, step.tokens.to_vec()));
        for value in row.logits {
            *value = value.round() - step.query.account as f32;
        }
    }
}

#[test]
fn what_acts_on_shown_laws_changes_reports_and_no_answer() {
    for law_name in [POST, PRE] {
        let rounded = Arc::new(Rounded(Mutex::default()));
        let surface = Surface::TopLogprobs { k: VOCAB, law: law_name };
        let processors: Vec<Arc<dyn LogitsProcessor>> = vec![rounded.clone(), Arc::new(Parity { delta: DELTA })];
        let defended = Served::new(Arc::new(model(4)), processors, surface.clone(), runtime(2));
        let queries: Vec<Query> = (0..6).map(|i| Query { account: i % 3, ..query(u64::from(i), 5, Sampling::PLAIN) }).collect();
        let answers = defended.answer(&queries).unwrap();
        assert_eq!(answers, served(surface.clone()).answer(&queries).unwrap());
        assert!(rounded.0.lock().unwrap().is_empty());
        assert!(answers.iter().zip(&queries).all(|(answer, query)| answer.query == *query));

        let given: Vec<&Exchange> = answers.iter().collect();
        let whole = |of: &Served| {
            let found = Mutex::new(std::collections::BTreeMap::new());
            of.laws(&given, &|exchange, position, law| {
                let Law::Top { ids, log_probs } = law else { panic!("not the surface asked for") };
                found.lock().unwrap().insert((exchange, position), (ids.to_vec(), log_probs.to_vec()));
            })
            .unwrap();
            found.into_inner().unwrap()
        };
        let (shown, plain) = (whole(&defended), whole(&served(surface)));
        assert_eq!(shown.len(), plain.len());
        for (((exchange, position), (ids, log_probs)), (plain_ids, plain)) in shown.iter().zip(plain.values()) {
            let mut expected = vec![0.0; VOCAB];
            for (id, value) in plain_ids.iter().zip(plain) {
                expected[*id as usize] = value.round() - answers[*exchange].query.account as f32;
            }
            assert_eq!(*ids, most_probable(&expected, VOCAB), "ranked as they are left");
            assert!(ids.iter().zip(log_probs).all(|(id, l)| *l == expected[*id as usize]));
            let tokens = [&answers[*exchange].query.prompt[..], &answers[*exchange].answer[..*position]].concat();
            assert!(rounded.0.lock().unwrap().contains(&(*exchange as u64, tokens)));
        }
        let scores = defended.score(&items()).unwrap();
        assert!(scores.iter().all(|score| score.fract() == 0.0), "{scores:?}");
    }
}

/// `logits += 0.5 * (a - b)`.
struct Between([CompanionId; 2]);

impl LogitsProcessor for Between {
    fn name(&self) -> String {
        "between".into()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn companions(&self) -> &[CompanionId] {
        &self.0
    }

    fn process(&self, _step: &Step<'_>, row: oracle::Row<'_>) {
        let [a, b] = row.companions[..] else { panic!("two companions") };
        row.logits.iter_mut().zip(a).zip(b).for_each(|((logit, a), b)| *logit += 0.5 * (a - b));
    }
}

#[test]
fn companions_take_part_in_answers_laws_and_scores() {
    let ids = [CompanionId(0), CompanionId(1)];
    let of = |companions: Vec<(CompanionId, Arc<Model>)>| {
        let surface = Surface::Logits { law: POST };
        Served::new(Arc::new(model(4)), vec![Arc::new(Between(ids))], surface, runtime(2)).with_companions(companions)
    };
    let served = of(vec![(ids[0], Arc::new(model(5))), (ids[1], Arc::new(model(6)))]);
    // what two equal models say between them is nothing
    let equal = of(vec![(ids[0], Arc::new(model(5))), (ids[1], Arc::new(model(5)))]);
    let plain = Served::new(Arc::new(model(4)), Vec::new(), Surface::Logits { law: POST }, runtime(2));
    let queries: Vec<Query> = (0..20).map(|i| query(i, 6, Sampling::PLAIN)).collect();
    let answers = served.answer(&queries).unwrap();
    assert_ne!(answers, plain.answer(&queries).unwrap());
    assert_eq!(equal.answer(&queries).unwrap(), plain.answer(&queries).unwrap());
    assert_eq!(equal.score(&items()).unwrap(), plain.score(&items()).unwrap());

    let raw = |model: Model, before: &[TokenId]| {
        let found = Mutex::new(Vec::new());
        let row = Row { ids: before, laws: before.len()..before.len() + 1 };
        lm::for_each_law(&model, &[row], &runtime(1), &|_, _, logits| *found.lock().unwrap() = logits.to_vec()).unwrap();
        found.into_inner().unwrap()
    };
    served
        .laws(&[&answers[0]], &|_, position, shown| {
            let Law::Whole(log_probs) = shown else { panic!("not the surface asked for") };
            let before = [&answers[0].query.prompt[..], &answers[0].answer[..position]].concat();
            let [own, a, b] = [4, 5, 6].map(|seed| raw(model(seed), &before));
            let mut expected: Vec<f32> = own.iter().zip(&a).zip(&b).map(|((own, a), b)| own + 0.5 * (a - b)).collect();
            vecmath::log_softmax_in_place(&mut expected);
            assert_eq!(log_probs, expected);
        })
        .unwrap();

    let missing = of(vec![(ids[0], Arc::new(model(5)))]);
    for error in [missing.answer(&queries).unwrap_err(), missing.score(&items()).unwrap_err()] {
        assert!(error.to_string().contains("reads companion 1, which is not there"), "{error}");
    }
}

#[test]
fn the_inside_shows_where_it_was_opened() {
    let closed = served(Surface::Text);
    assert!(closed.open().is_none());
    let opened = closed.opened();
    let open = opened.open().unwrap();
    let states = open.hidden(&[vec![1, 7, 9]], open.layers()).unwrap();
    assert_eq!((open.layers(), states.rows, states.cols), (2, 3, 16));
}

/// Ids that stand for no token: not even where every token is asked for, and not where a processor raises them.
#[test]
fn no_surface_shows_what_stands_for_no_token() {
    let absent = [4, 9, 10];
    let holed = Arc::new(model(4).cut(VOCAB, &absent));
    let raised: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(Parity { delta: 50.0 })];
    for surface in [Surface::TopLogprobs { k: VOCAB, law: POST }, Surface::Logits { law: POST }] {
        let served = Served::new(holed.clone(), raised.clone(), surface, runtime(1));
        let seen = Mutex::new(0);
        served
            .laws(&[&exchange(&[1, 6], &[5, 8, 2])], &|_, _, law| {
                *seen.lock().unwrap() += 1;
                match law {
                    Law::Top { ids, log_probs } => {
                        assert_eq!(ids.len(), VOCAB - absent.len());
                        assert!(ids.iter().all(|id| !absent.contains(id)) && log_probs.iter().all(|x| x.is_finite()));
                    }
                    Law::Whole(log_probs) => {
                        assert!(absent.iter().all(|id| log_probs[*id as usize] == f32::NEG_INFINITY));
                        let sum: f64 = log_probs.iter().map(|x| libm::exp(f64::from(*x))).sum();
                        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
                    }
                }
            })
            .unwrap();
        assert_eq!(seen.into_inner().unwrap(), 3);
        let answers = served.answer(&(0..20).map(|i| query(i, 20, Sampling::PLAIN)).collect::<Vec<_>>()).unwrap();
        assert!(answers.iter().all(|answer| answer.answer.iter().all(|id| !absent.contains(id))));
    }
}
