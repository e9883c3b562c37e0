use std::collections::HashSet;

use oracle::{Access, Codec, ServedLaw, Surface};

use super::secrets::{TEMPLATES, fill};
use super::*;
use crate::testing::{ToyCodec, ToyModel};

const SURFACE: Surface = Surface::Logits { law: ServedLaw::PostWatermark };

fn open_model(seed: u64) -> ToyModel {
    ToyModel { surface: SURFACE, ..ToyModel::new(ToyCodec::text().vocab_size(), seed) }
}

fn small() -> SecretSharerConfig {
    SecretSharerConfig { repeats: vec![1, 8], canaries_per_level: 4, templates: 2, references: 60, secret: SecretKind::Digits(5) }
}

fn measure(model: &ToyModel, canary: &dyn Canary, draws: u64) -> Result<CanaryMeasurement, MarkError> {
    canary.measure(&Suspect::new(model), &ToyCodec::text(), draws, 11)
}

/// A model that knows every canary by heart, the better the more often it was planted.
fn taught(canary: &dyn Canary, seed: u64, weight: fn(u32) -> f32) -> ToyModel {
    let codec = ToyCodec::text();
    let memory = canary.planted_texts().iter().map(|planted| (codec.encode(&planted.text), weight(planted.repeats))).collect();
    ToyModel { memory, ..open_model(seed) }
}

#[test]
fn untaught_models_give_uniform_p_values_and_chance_exposure() {
    let config = CanaryConfig::SecretSharer(small());
    let measured: Vec<_> =
        (0..200).map(|seed| measure(&open_model(seed), &*config.build(&Key::decoy(1, seed)).unwrap(), 199).unwrap()).collect();
    let mut p: Vec<f64> = measured.iter().map(|measured| 10f64.powf(measured.evidence.log10_p)).collect();
    p.sort_by(f64::total_cmp);
    let steps = p.iter().enumerate();
    let distance = steps.map(|(i, &p)| (p - i as f64 / 200.0).abs().max((p - (i + 1) as f64 / 200.0).abs())).fold(0.0, f64::max);
    // Kolmogorov bound at error rate 1e-3 (1.95 / sqrt(200)), plus the permutation grid of 1 / 200
    assert!(distance < 0.138 + 0.005, "{distance}");
    // Binomial(200, 0.05) exceeds 21 with probability below 1e-3
    assert!(p.iter().filter(|&&p| p <= 0.05).count() <= 21);
    // mean exposure of 1600 canaries at chance: the effect is 0 within 4 standard errors (one exposure has sd 1.4 bits)
    let effect = measured.iter().map(|measured| measured.evidence.effect).sum::<f64>() / 200.0;
    assert!(effect.abs() < 4.0 * 1.5 / f64::sqrt(1600.0), "{effect}");
    assert!(measured.iter().all(|measured| measured.extracted == 0 && measured.evidence.decoys == 0));
}

#[test]
fn a_model_that_knows_them_by_heart_exposes_them_level_by_level() {
    let config = SecretSharerConfig {
        references: 1000,
        ..SecretSharerConfig { templates: 4, canaries_per_level: 8, repeats: vec![1, 4, 16, 64], ..small() }
    };
    let canary = CanaryConfig::SecretSharer(config).build(&Key::decoy(2, 0)).unwrap();
    let model = taught(&*canary, 3, |repeats| [0.0, 1.5, 3.0, 12.0][repeats.ilog2() as usize / 2]);
    let found = measure(&model, &*canary, 999).unwrap();

    let means: Vec<f64> = found.by_repeats.iter().map(|level| level.mean_exposure).collect();
    assert_eq!(
        found.by_repeats.iter().map(|level| (level.repeats, level.canaries)).collect::<Vec<_>>(),
        [(1, 8), (4, 8), (16, 8), (64, 8)]
    );
    assert!(means.is_sorted(), "{means:?}");
    // never taught: chance, 1.44 bits, within 4 standard errors; known by heart: log2 of 1000 references, first rank
    assert!((means[0] - 1.44).abs() < 4.0 * 1.5 / f64::sqrt(8.0), "{means:?}");
    assert!((means[3] - 1000f64.log2()).abs() < 1e-9, "{means:?}");
    assert!((found.evidence.log10_p + 3.0).abs() < 1e-9, "at the floor of 999 draws: {:?}", found.evidence);
    assert!(found.evidence.effect > 2.0 && found.evidence.interval.low > 0.0 && found.evidence.n == 32);

    // greedy completion says one secret per template, and it is one of those known best
    assert_eq!((found.extracted, found.extractable), (4, 4));
    assert_eq!(found.by_repeats[3].extracted, 4);
    assert_eq!(
        found.canaries.iter().filter(|canary| canary.extracted).map(|canary| canary.template).collect::<HashSet<_>>().len(),
        4
    );
}

#[test]
fn planted_texts_follow_the_configuration() {
    for config in CanaryConfig::examples() {
        let canary = config.build(&Key::decoy(3, 0)).unwrap();
        let texts = canary.planted_texts();
        let distinct: HashSet<_> = texts.iter().map(|planted| &planted.text).collect();
        assert_eq!(distinct.len(), texts.len());
        assert_eq!(texts, config.build(&Key::decoy(3, 0)).unwrap().planted_texts());
        let other = config.build(&Key::decoy(3, 1)).unwrap().planted_texts();
        assert!(texts.iter().zip(&other).all(|(a, b)| a.text != b.text && a.repeats == b.repeats));
        assert!(texts.iter().all(|planted| planted.repeats > 0));
    }
    let canary = CanaryConfig::SecretSharer(small()).build(&Key::decoy(3, 0)).unwrap();
    let repeats: Vec<u32> = canary.planted_texts().iter().map(|planted| planted.repeats).collect();
    assert_eq!(repeats, [1, 1, 1, 1, 8, 8, 8, 8]);
    for (index, planted) in canary.planted_texts().iter().enumerate() {
        assert!(planted.text.starts_with(TEMPLATES[index % 2].split(' ').next().unwrap()), "templates take turns");
    }
    let uneven = SecretSharerConfig { repeats: vec![1, 4], canaries_per_level: 3, templates: 4, ..small() };
    assert_eq!(CanaryConfig::SecretSharer(uneven).build(&Key::decoy(3, 0)).unwrap().planted_texts().len(), 6);
}

#[test]
fn more_references_leave_the_canaries_as_they_are() {
    let key = Key::decoy(4, 0);
    let few = CanaryConfig::SecretSharer(small()).build(&key).unwrap();
    let many = CanaryConfig::SecretSharer(SecretSharerConfig { references: 500, ..small() }).build(&key).unwrap();
    assert_eq!(few.planted_texts(), many.planted_texts());
}

#[test]
fn a_suspect_without_log_probabilities_is_refused_by_name() {
    let text = ToyModel { surface: Surface::Text, ..open_model(1) };
    for config in CanaryConfig::examples() {
        let canary = config.build(&Key::decoy(5, 0)).unwrap();
        let error = measure(&text, &*canary, 9).unwrap_err();
        assert!(matches!(error, MarkError::NeedsAccess { needs: Access::Logprobs, has: Access::Text, .. }));
        assert_eq!(error.to_string(), format!("{} needs logprobs access to the suspect, which shows text", config.name()));
        // a suspect that promises more than its oracle shows
        let boaster = Suspect { oracle: &text, access: Access::Weights };
        assert!(matches!(canary.measure(&boaster, &ToyCodec::text(), 9, 1), Err(MarkError::Oracle(_))));
    }
}

#[test]
fn a_diverged_model_is_unmeasurable_and_not_evidence() {
    let model = ToyModel { sharpness: f32::NAN, ..open_model(1) };
    let canary = CanaryConfig::SecretSharer(small()).build(&Key::decoy(5, 0)).unwrap();
    assert!(matches!(measure(&model, &*canary, 9), Err(MarkError::Unmeasurable { mark: "secret_sharer", .. })));
}

#[test]
fn measurements_hold_no_secret() {
    let canary = CanaryConfig::SecretSharer(small()).build(&Key::decoy(6, 0)).unwrap();
    let found = measure(&taught(&*canary, 3, |_| 12.0), &*canary, 99).unwrap();
    let written = serde_json::to_string(&found).unwrap();
    for planted in canary.planted_texts() {
        let digits: String = planted.text.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.len() == 5 && !written.contains(&digits));
    }
    assert_eq!(serde_json::from_str::<CanaryMeasurement>(&written).unwrap().by_repeats.len(), 2);
}

/// A student may learn that secrets are five digits after this opening: that helps canaries and references alike.
#[test]
fn learning_the_template_alone_proves_nothing() {
    let codec = ToyCodec::text();
    let config = CanaryConfig::SecretSharer(small());
    let rejected = (0..100).filter(|&seed| {
        let canary = config.build(&Key::decoy(7, seed)).unwrap();
        let strangers = config.build(&Key::decoy(8, seed)).unwrap();
        let memory = strangers.planted_texts().iter().map(|planted| (codec.encode(&planted.text), 4.0)).collect();
        let model = ToyModel { memory, ..open_model(seed) };
        measure(&model, &*canary, 199).unwrap().evidence.log10_p <= 0.05f64.log10()
    });
    // Binomial(100, 0.05) exceeds 13 with probability below 1e-3
    assert!(rejected.count() <= 13);
}

#[test]
fn every_template_can_be_filled_and_encoded() {
    let codec = ToyCodec::text();
    for template in 0..TEMPLATES.len() {
        assert_eq!(codec.decode(&codec.encode(&fill(template, "apple 12"))), fill(template, "apple 12"));
    }
}
