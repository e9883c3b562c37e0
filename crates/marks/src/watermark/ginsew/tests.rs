use oracle::{Oracle, Query, Row, Stage, Step};

use super::groups::Group;
use super::*;
use crate::sinusoid::{Draw, released};
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, MarkEntry};

fn lab(config: &GinsewConfig) -> Lab {
    Lab::new(&MarkEntry { ginsew: Some(Box::new(config.clone())), ..MarkEntry::default() })
}

fn law_of(lab: &Lab, key: &Key) -> Arc<dyn LogitsProcessor> {
    let Some(Planting::Law(law)) = lab.build(key).unwrap().planting().pop() else { panic!("no law") };
    law
}

fn probabilities(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit))).sum();
    logits.iter().map(|logit| libm::exp(f64::from(*logit)) / total).collect()
}

/// The law is the paper's: it adds up to one, groups have the mass of the formula, and tokens keep their ratios within them.
#[test]
fn the_released_law_is_the_papers() {
    let (config, key) = (GinsewConfig::examples().remove(0), Key::decoy(1, 1));
    let (lab, codec) = (lab(&config), ToyCodec::new(256));
    let (law, groups, phases) = (law_of(&lab, &key), Groups::of(&Phases::of(&key, KIND), 0.5, &codec), Phases::of(&key, KIND));
    assert_eq!(law.stage(), Stage::BeforeTemperature);
    let end = 2;
    let model = ToyModel { end_logit: 2.0, ..lab.model(3) };
    for query in lab.audit().into_iter().take(40) {
        // the phase stays the same along the answer
        for answer in [&[][..], &[9, 11]] {
            let tokens = [&query.prompt[..], answer].concat();
            let before = model.logits(&tokens);
            let mut after = before.clone();
            law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut after));
            let (before, after) = (probabilities(&before), probabilities(&after));
            let mass = |law: &[f64], group| -> f64 {
                (0..256).filter(|id| groups.group(*id) == Some(group)).map(|id| law[id as usize]).sum()
            };
            assert!((after.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!((after[end] - before[end]).abs() < 1e-6, "an answer ends where it would");
            let text = 1.0 - before[end];
            let cosine = libm::cos(16.0 * phases.uniform(Draw::Phase, query.prompt[6]));
            for (group, cosine) in [(Group::First, cosine), (Group::Second, -cosine)] {
                let (was, is) = (mass(&before, group) / text, mass(&after, group) / text);
                assert!((is - released(was, 0.2, cosine, 1.0)).abs() < 1e-5, "{was} {is}");
                for id in (0..256_u32).filter(|id| groups.group(*id) == Some(group)) {
                    let (was, is) = (before[id as usize] / was, after[id as usize] / is);
                    assert!((was - is).abs() < 1e-6, "ratios within a group");
                }
            }
        }
    }
    let query = Query { prompt: vec![1, 5, 6, 7], ..lab.audit().remove(0) };
    let before = model.logits(&query.prompt);
    let mut after = before.clone();
    law.process(&Step { query: &query, tokens: &query.prompt }, Row::alone(&mut after));
    assert_eq!(before, after, "a short prompt has no phase");
    // one group alone cannot be moved
    let mut alone = vec![f32::NEG_INFINITY; 256];
    alone[(3..256).find(|id| groups.group(*id) == Some(Group::First)).unwrap() as usize] = 1.0;
    let before = alone.clone();
    let query = lab.audit().remove(0);
    law.process(&Step { query: &query, tokens: &query.prompt }, Row::alone(&mut alone));
    assert_eq!(before, alone);
}

#[test]
fn groups_have_their_share_and_leave_special_tokens_out() {
    let codec = ToyCodec::new(1_003);
    for fraction in [0.3, 0.5] {
        let of_first: usize =
            (0..20).map(|index| Groups::of(&Phases::of(&Key::decoy(1, index), KIND), fraction, &codec).sizes().0).sum();
        // error rate 1e-4 by the normal bound
        let off = 3.9 * (fraction * (1.0 - fraction) / 20_000.0_f64).sqrt();
        assert!((of_first as f64 / 20_000.0 - fraction).abs() < off, "{of_first}");
    }
    let groups = Groups::of(&Phases::of(&Key::decoy(1, 1), KIND), 0.5, &codec);
    assert!((0..3).all(|special| groups.group(special).is_none()) && groups.group(5_000).is_none());
    let (first, second) = groups.sizes();
    assert_eq!(first + second, 1_000);
}

/// What the processor plants is what laws and texts show.
#[test]
fn the_teachers_own_amplitude_is_the_planted_one() {
    for config in GinsewConfig::examples() {
        let lab = lab(&config);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let found = lab.measure(&*mark, &lab.marked(&*mark), Chance::default()).unwrap().remove(0);
        assert!((found.evidence.effect - 0.2 / 1.4).abs() < 0.03, "{found:?}");
        if config.suspect == Choices::Answers {
            assert!(found.evidence.interval.contains(0.2 / 1.4), "{found:?}");
        }
        let clean = lab.measure(&*mark, &lab.model(5), Chance::default()).unwrap().remove(0);
        assert!(clean.evidence.interval.contains(0.0) && clean.evidence.log10_p > -3.0, "{clean:?}");
    }
}

#[test]
fn what_cannot_be_measured_says_why() {
    let config = GinsewConfig { position: 9, ..GinsewConfig::examples().remove(0) };
    assert_eq!((config.info().needs, GinsewConfig::examples()[1].info().needs), (oracle::Access::Logprobs, oracle::Access::Text));
    let (lab, key) = (lab(&config), Key::decoy(1, 1));
    let mark = lab.build(&key).unwrap();
    let short = lab.measure(&*mark, &lab.model(5), Chance::default()).unwrap_err().to_string();
    assert!(short.contains("no audit prompt has 9 tokens") && short.contains("audit.prompt_tokens"), "{short}");
    let closed = ToyModel { surface: oracle::Surface::Text, ..lab.model(5) };
    assert!(matches!(
        lab.measure(&*mark, &closed, Chance::default()),
        Err(MarkError::Oracle(oracle::OracleError::NotShown { .. }))
    ));
    // answers that say nothing are no evidence
    let ended: Vec<_> = lab
        .model(5)
        .answer(&lab.audit())
        .unwrap()
        .into_iter()
        .map(|answer| oracle::Exchange { answer: vec![2], ..answer })
        .collect();
    let text = self::lab(&GinsewConfig::examples()[1]);
    let found = text.judge(&*text.build(&key).unwrap(), &text.model(5), ended, Chance::default()).unwrap().remove(0);
    assert_eq!((found.evidence.n, found.evidence.log10_p), (0, 0.0));
}

#[test]
fn a_split_without_a_token_on_each_side_is_refused() {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(4));
    let key = Key::decoy(1, 1);
    let refused = GinsewConfig::examples()[0].build(&Owner::new(&key, &codec)).err().unwrap().to_string();
    assert!(refused.contains("`fraction` is 0.5, which leaves") && refused.contains("on both sides"), "{refused}");
}
