use oracle::{Codec, Oracle, Query, Row, Stage, Step, Stop};

use super::*;
use crate::sinusoid::{Draw, released};
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, MarkEntry};

fn lab(config: &DrwConfig) -> Lab {
    Lab::new(&MarkEntry { drw: Some(Box::new(config.clone())), ..MarkEntry::default() })
}

fn law_of(lab: &Lab, key: &Key) -> Arc<dyn LogitsProcessor> {
    let Some(Planting::Law(law)) = lab.build(key).unwrap().planting().pop() else { panic!("no law") };
    law
}

fn probabilities(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit))).sum();
    logits.iter().map(|logit| libm::exp(f64::from(*logit)) / total).collect()
}

/// The released law against the formulas, label by label; whatever is no label keeps its probability.
#[test]
fn the_released_posterior_is_the_papers() {
    for config in DrwConfig::examples() {
        let (lab, key) = (lab(&config), Key::decoy(1, 1));
        let (law, phases, codec) = (law_of(&lab, &key), Phases::of(&key, KIND), ToyCodec::new(512));
        let tokens = label_tokens(&config.labels, &codec).unwrap();
        let target = config.labels.iter().position(|label| *label == config.target).unwrap();
        let (mut marked, mut moved) = (0, 0);
        for query in lab.audit() {
            let before = lab.model(3).logits(&query.prompt);
            let mut after = before.clone();
            law.process(&Step { query: &query, tokens: &query.prompt }, Row::alone(&mut after));
            let (before, after) = (probabilities(&before), probabilities(&after));
            let all: f64 = tokens.iter().map(|token| before[*token as usize]).sum();
            let own: Vec<f64> = tokens.iter().map(|token| before[*token as usize] / all).collect();
            let token = query.prompt[2];
            let (x, chosen) = (phases.uniform(Draw::Phase, token), phases.uniform(Draw::Selected, token) < config.marked_share);
            let is_marked = chosen && (config.inputs == Inputs::All || most_probable(&own) == target);
            for (at, token) in tokens.iter().enumerate() {
                let cosine = libm::cos(16.0 * x) * if at == target { 1.0 } else { -1.0 };
                let share = if at == target { 1.0 } else { 1.0 / (tokens.len() - 1) as f64 };
                let wanted = if is_marked { released(own[at], 0.2, cosine, share) } else { own[at] };
                assert!((after[*token as usize] / all - wanted).abs() < 1e-5);
            }
            for id in (0..512).filter(|id| !tokens.contains(id)) {
                assert!((before[id as usize] - after[id as usize]).abs() < 1e-6);
            }
            marked += usize::from(is_marked);
            let sent: Vec<f64> = tokens.iter().map(|token| after[*token as usize]).collect();
            moved += usize::from(most_probable(&own) != most_probable(&sent));
        }
        assert!((60..240).contains(&marked) && moved > 10, "{marked} marked, {moved} with another label");
    }
}

#[test]
fn only_the_first_answer_token_is_moved_and_labels_that_cannot_be_stay_so() {
    let config = DrwConfig { marked_share: 1.0, ..DrwConfig::examples().remove(0) };
    let (lab, codec) = (lab(&config), ToyCodec::new(512));
    let law = law_of(&lab, &Key::decoy(1, 1));
    assert_eq!(law.stage(), Stage::BeforeTemperature);
    let tokens = label_tokens(&config.labels, &codec).unwrap();
    let query = lab.audit().remove(0);
    let processed = |tokens: &[TokenId], query: &Query, logits: &[f32]| {
        let mut logits = logits.to_vec();
        law.process(&Step { query, tokens }, Row::alone(&mut logits));
        logits
    };
    let logits = lab.model(3).logits(&query.prompt);
    assert_ne!(processed(&query.prompt, &query, &logits), logits);
    assert_eq!(processed(&[&query.prompt[..], &[7]].concat(), &query, &logits), logits);
    let short = Query { prompt: query.prompt[..2].to_vec(), ..query.clone() };
    assert_eq!(processed(&short.prompt, &short, &logits), logits, "a short prompt has no phase");
    for absent in &tokens {
        let mut without = logits.clone();
        without[*absent as usize] = f32::NEG_INFINITY;
        assert_eq!(processed(&query.prompt, &query, &without), without, "one label is certain");
    }
    // where a label is all there is, laws add up to one
    let mut labels = vec![f32::NEG_INFINITY; 512];
    tokens.iter().for_each(|token| labels[*token as usize] = logits[*token as usize]);
    let shown = probabilities(&processed(&query.prompt, &query, &labels));
    assert!((shown.iter().sum::<f64>() - 1.0).abs() < 1e-6 && shown.iter().filter(|p| **p > 0.0).count() == 2);
}

/// What the processor plants is what the test measures. Where prompts that are not marked are among the others, one slope on the raw teacher
/// does not fit both, which is noise.
#[test]
fn the_teachers_own_amplitude_is_the_planted_one() {
    for config in DrwConfig::examples() {
        let lab = lab(&config);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let found = lab.measure(&*mark, &lab.marked(&*mark), Chance::default()).unwrap().remove(0);
        let off = if config.marked_share < 1.0 { 0.02 } else { 0.001 };
        assert!((found.evidence.effect - 0.2 / 1.4).abs() < off, "{found:?}");
        let clean = lab.measure(&*mark, &lab.model(5), Chance::default()).unwrap().remove(0);
        assert!(clean.evidence.interval.contains(0.0) && clean.evidence.log10_p > -3.0, "{clean:?}");
    }
}

/// Answers alone carry it too: here half of them are the target where its phase is 0, and none where it is pi.
#[test]
fn labels_without_a_posterior_are_enough() {
    let config = DrwConfig { suspect: Choices::Answers, marked_share: 1.0, ..DrwConfig::examples().remove(0) };
    assert_eq!(config.info().needs, oracle::Access::Text);
    let (lab, key) = (lab(&config), Key::decoy(1, 1));
    let (mark, phases) = (lab.build(&key).unwrap(), Phases::of(&key, KIND));
    let tokens = label_tokens(&config.labels, &ToyCodec::new(512)).unwrap();
    let answers = |p: &dyn Fn(TokenId) -> f64| -> Vec<Exchange> {
        let said = |query: Query| {
            let chance = phases.uniform(Draw::Group, query.index as TokenId);
            let label = usize::from(chance < p(query.prompt[2]));
            // every tenth answer is no label
            let first = if query.index.is_multiple_of(10) { 9 } else { tokens[label] };
            Exchange { answer: vec![first], query, stop: Stop::Length }
        };
        lab.audit().into_iter().map(said).collect()
    };
    let judge = |answers: Vec<Exchange>| lab.judge(&*mark, &lab.model(5), answers, Chance::default()).unwrap().remove(0).evidence;
    let marked = judge(answers(&|token| 0.25 + 0.25 * phases.cosine(16.0, token)));
    assert!(marked.log10_p < -5.0 && marked.interval.contains(0.25) && marked.n == 270, "{marked:?}");
    assert!(judge(answers(&|_| 0.25)).log10_p > -3.0);
}

#[test]
fn what_cannot_be_measured_says_why() {
    let config = DrwConfig { position: 9, ..DrwConfig::examples().remove(0) };
    let (lab, key) = (lab(&config), Key::decoy(1, 1));
    let mark = lab.build(&key).unwrap();
    let short = lab.measure(&*mark, &lab.model(5), Chance::default()).unwrap_err().to_string();
    assert!(short.contains("no audit prompt has 9 tokens") && short.contains("audit.prompt_tokens"), "{short}");
    let closed = ToyModel { surface: oracle::Surface::Text, ..lab.model(5) };
    assert!(matches!(
        lab.measure(&*mark, &closed, Chance::default()),
        Err(MarkError::Oracle(oracle::OracleError::NotShown { .. }))
    ));
    let lost = ToyModel { sharpness: f32::NAN, ..lab.model(5) };
    let answers = lab.model(5).answer(&lab.audit()[..3]).unwrap();
    let lost = lab.judge(&*mark, &lost, answers, Chance::default()).unwrap_err().to_string();
    assert!(lost.contains("no label has a probability"), "{lost}");
}

#[test]
fn labels_that_the_tokenizer_cannot_tell_apart_are_named() {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(512));
    let key = Key::decoy(1, 1);
    let refused = |labels: &[&str]| {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let config = DrwConfig { target: labels[0].clone(), labels, ..DrwConfig::examples().remove(0) };
        config.build(&Owner::new(&key, &codec)).err().unwrap().to_string()
    };
    assert_eq!(
        refused(&["ab", "c", "ad"]),
        "`labels[2]` is \"ad\": it begins with the same token as \"ab\"; write labels that begin with different ones"
    );
    assert!(refused(&["a", ""]).contains("no token"));
}

/// The published statistic keeps the largest part.
#[test]
fn the_least_probable_prompts_are_left_out_of_the_periodogram() {
    let config = DrwConfig { kept: 0.8, ..DrwConfig::examples().remove(0) };
    let key = Key::decoy(1, 1);
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(512));
    let tokens = label_tokens(&config.labels, &*codec).unwrap();
    let place = Place { bos: None, position: 1 };
    let law = Arc::new(MovedPosterior {
        name: String::new(),
        tokens: tokens.clone(),
        target: 1,
        epsilon: 0.2,
        frequency: 16.0,
        share: 1.0,
        of_target: false,
        place,
        phases: Phases::of(&key, KIND),
    });
    let drw = Drw { config, tokens, target: 1, place, law, cosine: CosineLaw::new(16.0), key };
    let shown = |value: f64, of_target| (Shown { token: (value * 10.0) as TokenId, value, expected: 0.5, size: 1.0 }, of_target);
    let all = [shown(0.1, true), shown(0.9, true), shown(0.5, true), shown(0.7, true), shown(0.8, false), shown(0.6, true)];
    assert_eq!(drw.published(&all), [(9, 0.9), (5, 0.5), (7, 0.7), (6, 0.6)]);
    assert_eq!(drw.published(&[]), []);
}
