use std::collections::HashSet;

use oracle::{Codec, Surface};

use super::*;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, Key, MarkEntry};

fn small() -> SecretSharerConfig {
    let (secret, calibrate) = (SecretKind::Digits(5), Calibrate::None);
    SecretSharerConfig { repeats: vec![1, 8], canaries_per_level: 4, templates: 2, references: 60, secret, calibrate }
}

fn lab(config: SecretSharerConfig) -> Lab {
    Lab::new(&MarkEntry { secret_sharer: Some(Box::new(config)), ..MarkEntry::default() })
}

fn build(config: SecretSharerConfig, key: &Key) -> Arc<dyn Mark> {
    lab(config).build(key).unwrap()
}

fn texts(mark: &dyn Mark) -> Vec<PlantedText> {
    let Some(Planting::Texts(texts)) = mark.planting().pop() else { panic!("no texts") };
    texts
}

fn measure(model: &ToyModel, mark: &dyn Mark, draws: u64) -> Result<Finding, MarkError> {
    lab(small()).measure(mark, model, Chance { draws, draw_seed: 11, ..Chance::default() }).map(|mut found| found.remove(0))
}

fn open_model(seed: u64) -> ToyModel {
    lab(small()).model(seed)
}

/// A model that knows every canary by heart, the better the more often it was planted.
fn taught(mark: &dyn Mark, seed: u64, weight: fn(u32) -> f32) -> ToyModel {
    let codec = ToyCodec::text();
    let memory = texts(mark).iter().map(|planted| (codec.encode(&planted.text), weight(planted.repeats))).collect();
    ToyModel { memory, ..open_model(seed) }
}

#[test]
fn untaught_models_give_uniform_p_values_and_chance_exposure() {
    let measured: Vec<_> =
        (0..200).map(|seed| measure(&open_model(seed), &*build(small(), &Key::decoy(1, seed)), 199).unwrap()).collect();
    let mut p: Vec<f64> = measured.iter().map(|found| libm::pow(10f64, found.evidence.log10_p)).collect();
    p.sort_by(f64::total_cmp);
    let steps = p.iter().enumerate();
    let distance = steps.map(|(i, &p)| (p - i as f64 / 200.0).abs().max((p - (i + 1) as f64 / 200.0).abs())).fold(0.0, f64::max);
    // Kolmogorov bound at error rate 1e-3 (1.95 / sqrt(200)), plus the permutation grid of 1 / 200
    assert!(distance < 0.138 + 0.005, "{distance}");
    // mean exposure of 1600 canaries at chance: the effect is 0 within 4 standard errors (one exposure has sd 1.4 bits)
    let effect = measured.iter().map(|found| found.evidence.effect).sum::<f64>() / 200.0;
    assert!(effect.abs() < 4.0 * 1.5 / f64::sqrt(1600.0), "{effect}");
    assert!(measured.iter().all(|found| found.detail.ends_with("0 of 2 extracted") && found.evidence.decoys == 0));
}

#[test]
fn a_model_that_knows_them_by_heart_exposes_them_level_by_level() {
    let config =
        SecretSharerConfig { references: 1000, templates: 4, canaries_per_level: 8, repeats: vec![1, 4, 16, 64], ..small() };
    let mark = build(config, &Key::decoy(2, 0));
    let model = taught(&*mark, 3, |repeats| [0.0, 1.5, 3.0, 12.0][repeats.ilog2() as usize / 2]);
    let found = measure(&model, &*mark, 999).unwrap();

    let names: Vec<_> = found.metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    let levels = ["exposure_at_1_repeats", "exposure_at_4_repeats", "exposure_at_16_repeats", "exposure_at_64_repeats"];
    assert_eq!(names, levels.map(|name| (name, "bits")));
    let means: Vec<f64> = found.metrics.iter().map(|metric| metric.value).collect();
    assert!(means.is_sorted(), "{means:?}");
    // never taught: chance, 1.44 bits, within 4 standard errors; known by heart: log2 of 1000 references, first rank
    assert!((means[0] - 1.44).abs() < 4.0 * 1.5 / f64::sqrt(8.0), "{means:?}");
    assert!((means[3] - libm::log2(1000f64)).abs() < 1e-9, "{means:?}");
    assert!((found.evidence.log10_p + 3.0).abs() < 1e-9, "at the floor of 999 draws: {:?}", found.evidence);
    assert!(found.evidence.effect > 2.0 && found.evidence.interval.low > 0.0 && found.evidence.n == 32);
    // greedy completion says one secret per template, one of those known best
    assert!(found.detail.ends_with("4 of 4 extracted"), "{}", found.detail);
}

/// Seed of the twin that never met a mark.
const TWIN: u64 = 1_000;

/// The twin with a faint memory of every canary: what secrets differ by themselves hides it, until that is taken off.
#[test]
fn what_is_taken_off_shows_what_the_raw_rank_hides() {
    let key = Key::decoy(2, 3);
    let raw = build(small(), &key);
    let suspect = taught(&*raw, TWIN, |_| 0.15);
    let raw = measure(&suspect, &*raw, 999).unwrap();
    let calibrated = lab(SecretSharerConfig { calibrate: Calibrate::Clean, ..small() });
    let chance = Chance { draws: 999, draw_seed: 11, ..Chance::default() };
    let mark = calibrated.build(&key).unwrap();
    let found = calibrated.measure(&*mark, &suspect, chance).unwrap().remove(0);
    assert!(raw.evidence.log10_p > -1.5 && found.evidence.log10_p == -3.0, "{raw:?} {found:?}");
    // the rank that does not count stands beside the one that does
    assert_eq!(found.metric("raw_log10_p"), Some(raw.evidence.log10_p));
    assert_eq!(found.metric("raw_effect"), Some(raw.evidence.effect));
    assert!(raw.metric("raw_log10_p").is_none() && found.detail.contains("; less clean, raw p "), "{}", found.detail);
    assert!(found.evidence.null.words.contains("scores less those of clean"), "{}", found.evidence.null.words);
    // of the twin itself nothing is left
    let itself = calibrated.measure(&*mark, &open_model(TWIN), chance).unwrap().remove(0);
    assert_eq!((itself.evidence.log10_p, itself.evidence.effect), (0.0, 0.0), "{itself:?}");
}

#[test]
fn what_is_taken_off_must_be_there_and_finite() {
    let lab = lab(SecretSharerConfig { calibrate: Calibrate::Base, ..small() });
    let mark = lab.build(&Key::decoy(2, 3)).unwrap();
    let suspect =
        crate::Asked { answers: &lab.model(1), laws: &lab.model(1), audit: &|| Ok(Arc::default()), marked: &crate::no_texts };
    let suspect = suspect.ask_all(&mark.questions(1)).unwrap();
    let case = Case { suspect: &suspect, teacher: None, references: &[], second: &[], contexts: None, chance: Chance::default() };
    assert!(matches!(mark.judge(&case), Err(MarkError::Unmeasurable { .. })));
    let scores = vec![f64::NEG_INFINITY; suspect[0].scores().unwrap().len()];
    let second = [Seen::Scores(scores)];
    let error = mark.judge(&Case { second: &second, ..case }).unwrap_err().to_string();
    assert!(error.contains("calibrate = \"base\"") && error.contains("not finite"), "{error}");
}

#[test]
fn planted_texts_follow_the_configuration() {
    for config in SecretSharerConfig::examples() {
        let planted = texts(&*build(config.clone(), &Key::decoy(3, 0)));
        assert_eq!(planted.iter().map(|planted| &planted.text).collect::<HashSet<_>>().len(), planted.len());
        assert_eq!(planted, texts(&*build(config.clone(), &Key::decoy(3, 0))));
        let other = texts(&*build(config, &Key::decoy(3, 1)));
        assert!(planted.iter().zip(&other).all(|(a, b)| a.text != b.text && a.repeats == b.repeats));
    }
    let planted = texts(&*build(small(), &Key::decoy(3, 0)));
    assert_eq!(planted.iter().map(|planted| planted.repeats).collect::<Vec<_>>(), [1, 1, 1, 1, 8, 8, 8, 8]);
    for (index, planted) in planted.iter().enumerate() {
        assert!(planted.text.starts_with(TEMPLATES[index % 2].split(' ').next().unwrap()), "templates take turns");
    }
    let uneven = SecretSharerConfig { repeats: vec![1, 4], canaries_per_level: 3, templates: 4, ..small() };
    assert_eq!(texts(&*build(uneven, &Key::decoy(3, 0))).len(), 6);
}

#[test]
fn more_references_leave_the_canaries_as_they_are() {
    let key = Key::decoy(4, 0);
    let many = SecretSharerConfig { references: 500, ..small() };
    assert_eq!(texts(&*build(small(), &key)), texts(&*build(many, &key)));
}

#[test]
fn a_suspect_without_log_probabilities_does_not_answer() {
    let text = ToyModel { surface: Surface::Text, ..open_model(1) };
    let error = measure(&text, &*build(small(), &Key::decoy(5, 0)), 9).unwrap_err();
    assert!(matches!(error, MarkError::Oracle(_)) && error.to_string().contains("log-probabilities"), "{error}");
}

#[test]
fn a_diverged_model_is_unmeasurable_and_not_evidence() {
    let model = ToyModel { sharpness: f32::NAN, ..open_model(1) };
    let error = measure(&model, &*build(small(), &Key::decoy(5, 0)), 9).unwrap_err();
    assert!(matches!(error, MarkError::Unmeasurable { mark: "secret_sharer", .. }));
}

#[test]
fn findings_hold_no_secret() {
    let mark = build(small(), &Key::decoy(6, 0));
    let written = format!("{:?}", measure(&taught(&*mark, 3, |_| 12.0), &*mark, 99).unwrap());
    for planted in texts(&*mark) {
        let digits: String = planted.text.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.len() == 5 && !written.contains(&digits));
    }
}

/// A student may learn that secrets are five digits after this opening: that helps canaries and references alike.
#[test]
fn learning_the_template_alone_proves_nothing() {
    let codec = ToyCodec::text();
    let rejected = (0..100).filter(|&seed| {
        let strangers = texts(&*build(small(), &Key::decoy(8, seed)));
        let memory = strangers.iter().map(|planted| (codec.encode(&planted.text), 4.0)).collect();
        let model = ToyModel { memory, ..open_model(seed) };
        measure(&model, &*build(small(), &Key::decoy(7, seed)), 199).unwrap().evidence.log10_p <= libm::log10(0.05f64)
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
