use oracle::{ServedLaw, TokenId};
use rand::RngExt;

use super::*;
use crate::testing::rng;

mod divergences;
mod mixtures;
mod orders;

const V: usize = 12;

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let log_sum = max + libm::log(logits.iter().map(|l| libm::exp(l - max)).sum::<f64>());
    logits.iter().map(|l| l - log_sum).collect()
}

/// A teacher's law, and its `k` most probable tokens.
struct Law {
    whole: Vec<f32>,
    ids: Vec<TokenId>,
    log_probs: Vec<f32>,
}

fn law(logits: &[f64], k: usize) -> Law {
    let whole: Vec<f32> = log_softmax(logits).iter().map(|&l| l as f32).collect();
    let mut ids: Vec<TokenId> = (0..whole.len() as TokenId).collect();
    ids.sort_by(|a, b| whole[*b as usize].total_cmp(&whole[*a as usize]));
    ids.truncate(k);
    let log_probs = ids.iter().map(|&id| whole[id as usize]).collect();
    Law { whole, ids, log_probs }
}

impl Law {
    fn top(&self) -> Shown<'_> {
        Shown::Top { ids: &self.ids, log_probs: &self.log_probs }
    }

    /// Everything that `loss` can be trained on, the least first.
    fn all_for(&self, loss: &dyn Loss) -> Vec<Shown<'_>> {
        match loss.needs() {
            Access::Text => vec![Shown::Nothing, self.top(), Shown::Whole(&self.whole)],
            Access::Logprobs => vec![self.top(), Shown::Whole(&self.whole)],
            _ => vec![Shown::Whole(&self.whole)],
        }
    }
}

fn normal_row(seed: u64, spread: f64) -> Vec<f64> {
    let mut rng = rng(seed);
    (0..V).map(|_| spread * (0..12).map(|_| rng.random::<f64>() - 0.5).sum::<f64>()).collect()
}

fn ln(probabilities: &[f64]) -> Vec<f64> {
    probabilities.iter().map(|p| libm::log(*p)).collect()
}

/// What `config` does with what is not reported, if it is asked to do anything.
fn tail_of(config: &LossConfig) -> Option<Tail> {
    match config {
        LossConfig::TopkKl(TopkKl { tail })
        | LossConfig::ReverseKl(ReverseKl { tail })
        | LossConfig::GeneralisedJsd(GeneralisedJsd { tail, .. })
        | LossConfig::TotalVariation(TotalVariation { tail }) => Some(*tail),
        _ => None,
    }
}

/// Whether `config` is 0 where the student is the teacher: cross-entropy has its minimum elsewhere, and so has the order of tokens.
fn is_divergence(config: &LossConfig) -> bool {
    match config {
        LossConfig::SequenceKd(_) | LossConfig::Ranking(_) => false,
        LossConfig::Hinton(hinton) => hinton.lambda == 1.0,
        _ => true,
    }
}

/// Loss of `config` for a student with these logits, and its gradient.
fn row(config: &LossConfig, token: TokenId, shown: Shown<'_>, logits: &[f64]) -> (f64, Vec<f32>) {
    let mut row: Vec<f32> = logits.iter().map(|&l| l as f32).collect();
    (config.build().row(token, shown, &mut row), row)
}

#[test]
fn gradients_are_the_finite_differences_of_every_registered_loss() {
    for config in LossConfig::examples() {
        for seed in 0..4 {
            let (teacher, student) = (law(&normal_row(seed, 1.5), 4), normal_row(100 + seed, 1.5));
            let loss = config.build();
            for (shown, i) in teacher.all_for(&*loss).into_iter().flat_map(|shown| (0..V).map(move |i| (shown, i))) {
                let (_, gradient) = row(&config, 3, shown, &student);
                // the loss is rounded to about 1e-6, so a difference over 2 h errs by 1e-4 and by h^2 / 6 of the third derivative
                let h = 0.02;
                let at = |step: f64| {
                    let mut moved = student.clone();
                    moved[i] += step;
                    row(&config, 3, shown, &moved).0
                };
                let difference = (at(h) - at(-h)) / (2.0 * h);
                let error = (difference - f64::from(gradient[i])).abs();
                assert!(error < 3e-4, "{config:?}, logit {i}: {difference} by differences, {} in closed form", gradient[i]);
            }
        }
    }
}

#[test]
fn a_shift_of_all_logits_changes_no_registered_loss() {
    for config in LossConfig::examples() {
        let (teacher, student) = (law(&normal_row(7, 2.0), 5), normal_row(8, 2.0));
        for shown in teacher.all_for(&*config.build()) {
            let (loss, gradient) = row(&config, 0, shown, &student);
            let shifted: Vec<f64> = student.iter().map(|l| l + 30.0).collect();
            assert!((loss - row(&config, 0, shown, &shifted).0).abs() < 2e-5, "{config:?}");
            assert!(gradient.iter().sum::<f32>().abs() < 1e-5, "{config:?}: {gradient:?}");
            assert!(loss > 0.0);
        }
    }
}

#[test]
fn a_student_equal_to_its_teacher_is_at_the_minimum_of_every_divergence() {
    let logits = normal_row(3, 2.0);
    let teacher = law(&logits, 5);
    for config in LossConfig::examples() {
        for shown in teacher.all_for(&*config.build()) {
            // a teacher renormalised on its reported tokens is not the student even if both laws agree
            let is_other = matches!(shown, Shown::Top { .. }) && tail_of(&config) == Some(Tail::Zero);
            if !is_divergence(&config) || is_other {
                continue;
            }
            let (loss, gradient) = row(&config, 0, shown, &logits);
            assert!(loss.abs() < 1e-5, "{config:?}: {loss}");
            assert!(gradient.iter().all(|g| g.abs() < 1e-5), "{config:?}: {gradient:?}");
        }
    }
}

/// methods, appendix A, rows "KL / JSD" and "tail bucket".
#[test]
fn golden_divergences() {
    let (q, p) = (law(&ln(&[0.2, 0.5, 0.3]), 1), ln(&[0.7, 0.2, 0.1]));
    let full = LossConfig::FullKl(FullKl { temperature: 1.0 });
    let bucket = LossConfig::TopkKl(TopkKl { tail: Tail::Bucket });
    assert!((row(&full, 0, Shown::Whole(&q.whole), &p).0 - 0.537_176_458_8).abs() < 1e-6);
    assert!((row(&bucket, 0, q.top(), &p).0 - 0.223_143_551_3).abs() < 1e-6);
    assert!((row(&bucket, 0, Shown::Whole(&q.whole), &p).0 - 0.537_176_458_8).abs() < 1e-6);
}

#[test]
fn tempering_follows_its_definition() {
    let (teacher, student) = (normal_row(21, 2.0), normal_row(22, 2.0));
    let halved = |row: &[f64]| log_softmax(&row.iter().map(|l| l / 2.0).collect::<Vec<_>>());
    let (q, p) = (halved(&teacher), halved(&student));
    let expected: f64 = 4.0 * q.iter().zip(&p).map(|(q, p)| libm::exp(*q) * (q - p)).sum::<f64>();
    let config = LossConfig::FullKl(FullKl { temperature: 2.0 });
    let teacher = law(&teacher, V);
    let (loss, _) = row(&config, 0, Shown::Whole(&teacher.whole), &student);
    assert!((loss - expected).abs() < 1e-5, "{loss} instead of {expected}");
}

#[test]
fn the_bucket_bounds_the_full_divergence_from_below_and_reaches_it_at_k_equal_vocabulary() {
    let full = LossConfig::FullKl(FullKl { temperature: 1.0 });
    let bucket = LossConfig::TopkKl(TopkKl { tail: Tail::Bucket });
    for seed in 0..20 {
        let (teacher, student) = (normal_row(seed, 2.0), normal_row(50 + seed, 2.0));
        let whole = law(&teacher, V);
        let (exact, _) = row(&full, 0, Shown::Whole(&whole.whole), &student);
        let mut last = 0.0;
        for k in 1..=V {
            let (loss, _) = row(&bucket, 0, law(&teacher, k).top(), &student);
            assert!(loss >= last - 1e-5 && loss <= exact + 1e-5, "k = {k}: {loss}, {last} before, {exact} in full");
            last = loss;
        }
        assert!((last - exact).abs() < 1e-5);
    }
}

/// A truncated law is reported with minus infinity, and a student may have lost its tail altogether.
#[test]
fn extreme_laws_stay_finite() {
    let ids = [0, 1, 2];
    let log_probs = [libm::logf(0.6_f32), libm::logf(0.4_f32), f32::NEG_INFINITY];
    let mut whole = vec![f32::NEG_INFINITY; V];
    whole[..2].copy_from_slice(&log_probs[..2]);
    for config in LossConfig::examples() {
        let truncated = Law { whole: whole.clone(), ids: ids.to_vec(), log_probs: log_probs.to_vec() };
        let cases = truncated
            .all_for(&*config.build())
            .into_iter()
            .flat_map(|shown| [0.0, 60.0, 200.0, 2000.0].map(|peak| (shown, peak)));
        for (shown, peak) in cases {
            let mut student = normal_row(9, 1.0);
            student[0] += peak;
            let (loss, gradient) = row(&config, 1, shown, &student);
            assert!(loss.is_finite() && loss >= -1e-6, "{config:?}: {loss}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{config:?}: {gradient:?}");
        }
    }
}

/// What follows from the first token of a label is shown as certain, beside tokens that cannot be: every tail learns that token.
#[test]
fn certain_laws_teach_their_token() {
    let (ids, log_probs) = ([7, 0, 1], [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    let top = Shown::Top { ids: &ids, log_probs: &log_probs };
    for tail in [Tail::Bucket, Tail::Renormalised, Tail::Zero] {
        let config = LossConfig::TopkKl(TopkKl { tail });
        for seed in 0..4 {
            let student = normal_row(seed, 1.5);
            // among all tokens, or among those that are reported
            let among: Vec<usize> = if tail == Tail::Renormalised { vec![0, 1, 7] } else { (0..V).collect() };
            let mass: f64 = among.iter().map(|&id| libm::exp(student[id])).sum();
            let (loss, gradient) = row(&config, 7, top, &student);
            assert!((loss - (libm::log(mass) - student[7])).abs() < 1e-5, "{tail:?}: {loss}");
            for (id, slope) in gradient.iter().enumerate() {
                let p = if among.contains(&id) { libm::exp(student[id]) / mass } else { 0.0 };
                let expected = p - if id == 7 { 1.0 } else { 0.0 };
                assert!((f64::from(*slope) - expected).abs() < 1e-6, "{tail:?}, logit {id}: {slope} instead of {expected}");
            }
        }
    }
}

/// Laws as a defended surface shows them: all log-probabilities moved, so that they sum to more or less than 1, or to nothing.
#[test]
fn shown_laws_that_do_not_sum_to_one_are_renormalised() {
    let (teacher, student) = (law(&normal_row(31, 1.5), 4), normal_row(32, 1.5));
    // a shift takes the mass from about 0.8 to 8, 1.2 and 0.1
    for shift in [2.3_f32, 0.4, -2.0] {
        let mut moved = Law { whole: teacher.whole.clone(), ids: teacher.ids.clone(), log_probs: teacher.log_probs.clone() };
        moved.whole.iter_mut().chain(&mut moved.log_probs).for_each(|l| *l += shift);
        for config in LossConfig::examples() {
            let loss = config.build();
            for (shown, original) in moved.all_for(&*loss).into_iter().zip(teacher.all_for(&*loss)) {
                let of = |shown| row(&config, 3, shown, &student);
                let ((loss, gradient), (as_it_is, slope)) = (of(shown), of(original));
                assert!(loss.is_finite() && loss >= -1e-6 && gradient.iter().all(|g| g.is_finite()), "{config:?}: {loss}");
                assert!(gradient.iter().sum::<f32>().abs() < 1e-5, "{config:?}: {gradient:?}");
                let same = (loss - as_it_is).abs() < 1e-5 && gradient.iter().zip(&slope).all(|(a, b)| (a - b).abs() < 1e-5);
                // the bucket takes what is missing as the tail, and only an excess is divided out
                let bucket = matches!(shown, Shown::Top { .. }) && tail_of(&config) == Some(Tail::Bucket);
                assert_eq!(same, !bucket, "{config:?} moved by {shift}");
                let h = 0.02;
                let at = |step: f64| {
                    let mut moved_student = student.clone();
                    moved_student[teacher.ids[0] as usize] += step;
                    row(&config, 3, shown, &moved_student).0
                };
                let (difference, closed) = ((at(h) - at(-h)) / (2.0 * h), f64::from(gradient[teacher.ids[0] as usize]));
                assert!((difference - closed).abs() < 3e-4, "{config:?} moved by {shift}: {difference} or {closed}");
            }
        }
    }
    let zero_tail = LossConfig::TopkKl(TopkKl { tail: Tail::Zero });
    let bucket = LossConfig::TopkKl(TopkKl { tail: Tail::Bucket });
    let doubled: Vec<f32> = teacher.log_probs.iter().map(|l| l + 2.3).collect();
    let top = Shown::Top { ids: &teacher.ids, log_probs: &doubled };
    let ((a, of_a), (b, of_b)) = (row(&bucket, 3, top, &student), row(&zero_tail, 3, top, &student));
    assert!((a - b).abs() < 1e-5 && of_a.iter().zip(&of_b).all(|(a, b)| (a - b).abs() < 1e-5), "an excess leaves no tail");
    let nothing = vec![f32::NEG_INFINITY; V];
    for config in LossConfig::examples() {
        let silent = Law { whole: nothing.clone(), ids: teacher.ids.clone(), log_probs: nothing[..4].to_vec() };
        for shown in silent.all_for(&*config.build()) {
            let (loss, gradient) = row(&config, 3, shown, &student);
            assert!(loss.is_finite() && gradient.iter().all(|g| g.is_finite()), "{config:?}: {loss}, {gradient:?}");
        }
    }
}

/// 1 minus the sum of the reported tokens has no digits left here; the sum over the others has all.
#[test]
fn a_small_tail_is_not_lost_to_rounding() {
    let teacher = law(&ln(&[0.7, 0.2, 0.06, 0.04]), 2);
    let student = [14.0, 14.0, -6.0, -6.0];
    let (loss, gradient) = row(&LossConfig::TopkKl(TopkKl { tail: Tail::Bucket }), 0, teacher.top(), &student);
    let p = log_softmax(&student);
    let tail = libm::log(libm::exp(p[2]) + libm::exp(p[3]));
    let expected = 0.7 * (libm::log(0.7_f64) - p[0]) + 0.2 * (libm::log(0.2_f64) - p[1]) + 0.1 * (libm::log(0.1_f64) - tail);
    assert!((loss - expected).abs() < 1e-4, "{loss} instead of {expected}");
    assert!((gradient[2] + 0.05).abs() < 1e-4, "{gradient:?}");
}

#[test]
fn a_loss_that_wants_more_than_the_surface_shows_is_refused_by_name() {
    let law = ServedLaw::PostWatermark;
    let label = |posterior| Surface::Label { labels: vec!["yes".into(), "no".into()], posterior };
    let surfaces = [
        Surface::GreedyText,
        Surface::Text,
        Surface::TopLogprobs { k: 5, law },
        Surface::Logits { law },
        label(false),
        label(true),
    ];
    for config in LossConfig::examples() {
        let loss = config.build();
        for surface in &surfaces {
            assert_eq!(check_surface(&*loss, surface).is_ok(), surface.access() >= loss.needs(), "{config:?} on {surface}");
        }
    }
    let topk = LossConfig::TopkKl(TopkKl { tail: Tail::Bucket }).build();
    assert_eq!(
        check_surface(&*topk, &Surface::Text).unwrap_err().to_string(),
        "`topk_kl` needs log-probabilities; a `text` oracle has none (serve `top_logprobs`, or train with `sequence_kd`)"
    );
}

#[test]
fn configs_read_back_and_refuse_what_they_do_not_know() {
    for config in LossConfig::examples() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LossConfig>(&text).unwrap(), config);
        assert!(text.starts_with(&format!("{{\"{}\"", config.build().name())), "{text}");
        assert!(config.validate().is_ok());
    }
    for wrong in [
        r#"{"topk_kl": {"tail": "bucket", "k": 3}}"#,
        r#"{"topk_kl": {}}"#,
        r#"{"hinge": {}}"#,
        r#"{"full_kl": {}}"#,
        r#"{"hinton": {"lambda": 0.5, "temperature": 2}}"#,
    ] {
        assert!(serde_json::from_str::<LossConfig>(wrong).is_err(), "{wrong}");
    }
    let refused = |config: LossConfig| {
        let error = config.validate().unwrap_err();
        (error.key, error.value)
    };
    let hinton = |lambda, temperature| LossConfig::Hinton(Hinton { lambda, temperature, tau_squared: true });
    let jsd = |beta| LossConfig::GeneralisedJsd(GeneralisedJsd { beta, tail: Tail::Bucket });
    let cases = [
        (LossConfig::FullKl(FullKl { temperature: 0.0 }), "temperature", "0"),
        (hinton(0.5, 0.0), "temperature", "0"),
        (hinton(0.5, f32::INFINITY), "temperature", "inf"),
        (hinton(1.5, 1.0), "lambda", "1.5"),
        (hinton(f32::NAN, 1.0), "lambda", "NaN"),
        (jsd(-0.25), "beta", "-0.25"),
        (jsd(1.25), "beta", "1.25"),
        (jsd(f64::NAN), "beta", "NaN"),
        (LossConfig::Ranking(Ranking { tokens: 1 }), "tokens", "1"),
        (LossConfig::Ranking(Ranking { tokens: 1025 }), "tokens", "1025"),
    ];
    for (config, key, value) in cases {
        assert_eq!(refused(config), (key.to_string(), value.to_string()));
    }
}
