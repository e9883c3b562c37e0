//! Reverse KL, generalised JSD and total variation beside their formulas, written out here in f64.

use super::*;

const TAILS: [Tail; 3] = [Tail::Bucket, Tail::Renormalised, Tail::Zero];
const BETAS: [f64; 5] = [1e-3, 0.1, 0.5, 0.9, 0.999];

fn reverse(tail: Tail) -> LossConfig {
    LossConfig::ReverseKl(ReverseKl { tail })
}

fn jsd(beta: f64, tail: Tail) -> LossConfig {
    LossConfig::GeneralisedJsd(GeneralisedJsd { beta, tail })
}

fn variation(tail: Tail) -> LossConfig {
    LossConfig::TotalVariation(TotalVariation { tail })
}

/// Every divergence of this file with this tail.
fn all(tail: Tail) -> Vec<LossConfig> {
    let jsds = BETAS.into_iter().chain([0.0, 1.0]).map(|beta| jsd(beta, tail));
    [reverse(tail), variation(tail)].into_iter().chain(jsds).collect()
}

fn kl(q: &[f64], p: &[f64]) -> f64 {
    q.iter().zip(p).filter(|(q, _)| **q > 0.0).map(|(q, p)| q * libm::log(q / p)).sum()
}

/// The formula of `config` as it is printed.
fn formula(config: &LossConfig, q: &[f64], p: &[f64]) -> f64 {
    match config {
        LossConfig::ReverseKl(_) => kl(p, q),
        LossConfig::TotalVariation(_) => 0.5 * q.iter().zip(p).map(|(q, p)| (q - p).abs()).sum::<f64>(),
        LossConfig::GeneralisedJsd(GeneralisedJsd { beta, .. }) => match *beta {
            0.0 => kl(q, p),
            1.0 => kl(p, q),
            beta => {
                let m: Vec<f64> = q.iter().zip(p).map(|(q, p)| beta * q + (1.0 - beta) * p).collect();
                (beta * kl(q, &m) + (1.0 - beta) * kl(p, &m)) / (beta * (1.0 - beta))
            }
        },
        _ => panic!("{config:?} is none of these"),
    }
}

/// Both laws over what is compared: all tokens, or the reported `ids` with their tail.
fn outcomes(tail: Tail, teacher: &Law, is_whole: bool, student: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let p: Vec<f64> = log_softmax(student).into_iter().map(libm::exp).collect();
    let wide = |log_probs: &[f32]| -> Vec<f64> { log_probs.iter().map(|l| libm::exp(f64::from(*l))).collect() };
    let normed = |law: Vec<f64>| -> Vec<f64> {
        let mass: f64 = law.iter().sum();
        law.into_iter().map(|q| q / mass).collect()
    };
    if is_whole {
        return (normed(wide(&teacher.whole)), p);
    }
    let q = wide(&teacher.log_probs);
    let chosen: Vec<f64> = teacher.ids.iter().map(|id| p[*id as usize]).collect();
    let p_tail: f64 = (0..V).filter(|id| !teacher.ids.contains(&(*id as TokenId))).map(|id| p[id]).sum();
    match tail {
        Tail::Renormalised => (normed(q), normed(chosen)),
        _ if teacher.ids.len() == V => (normed(q), chosen),
        Tail::Bucket => {
            let q_tail = 1.0 - q.iter().sum::<f64>();
            ([q, vec![q_tail]].concat(), [chosen, vec![p_tail]].concat())
        }
        Tail::Zero => (normed([normed(q), vec![1e-6]].concat()), [chosen, vec![p_tail]].concat()),
    }
}

/// A row of logits as the student's f32 hold it.
fn held(logits: Vec<f64>) -> Vec<f64> {
    logits.into_iter().map(|l| f64::from(l as f32)).collect()
}

#[test]
fn values_and_gradients_are_those_of_the_formulas() {
    for seed in 0..6 {
        let student = held(normal_row(100 + seed, 1.5));
        for (k, tail) in [1, 4, 11, V].into_iter().flat_map(|k| TAILS.map(|tail| (k, tail))) {
            let teacher = law(&normal_row(seed, 1.5), k);
            for (config, is_whole) in all(tail).into_iter().flat_map(|config| [false, true].map(|whole| (config.clone(), whole)))
            {
                let shown = if is_whole { Shown::Whole(&teacher.whole) } else { teacher.top() };
                let at = |student: &[f64]| {
                    let (q, p) = outcomes(tail, &teacher, is_whole, student);
                    formula(&config, &q, &p)
                };
                let (loss, gradient) = row(&config, 3, shown, &student);
                assert!((loss - at(&student)).abs() < 5e-6, "{config:?}, k = {k}: {loss} instead of {}", at(&student));
                for i in 0..V {
                    let moved = |h: f64| {
                        let mut moved = student.clone();
                        moved[i] += h;
                        at(&moved)
                    };
                    let h = 1e-4;
                    let difference = (moved(h) - moved(-h)) / (2.0 * h);
                    let error = (difference - f64::from(gradient[i])).abs();
                    assert!(error < 5e-6, "{config:?}, k = {k}, logit {i}: {difference} or {}", gradient[i]);
                }
            }
        }
    }
}

/// methods, appendix A, row "KL / JSD"; there without the division.
#[test]
fn golden_values() {
    let (q, p) = (law(&ln(&[0.2, 0.5, 0.3]), 1), ln(&[0.7, 0.2, 0.1]));
    let cases = [
        (reverse(Tail::Bucket), 0.583_814_702_7),
        (jsd(0.0, Tail::Bucket), 0.537_176_458_8),
        (jsd(0.1, Tail::Bucket), 0.047_863_994_0 / 0.09),
        (jsd(0.5, Tail::Bucket), 0.132_918_006_0 / 0.25),
        (jsd(0.9, Tail::Bucket), 0.050_995_026_0 / 0.09),
        (jsd(1.0, Tail::Bucket), 0.583_814_702_7),
        (variation(Tail::Bucket), 0.5),
    ];
    for (config, expected) in cases {
        let (loss, _) = row(&config, 0, Shown::Whole(&q.whole), &p);
        assert!((loss - expected).abs() < 1e-6, "{config:?}: {loss} instead of {expected}");
    }
    // one token, 0.5 and 0.2, and all others together, 0.5 and 0.8
    let expected = 0.2 * libm::log(0.2 / 0.5) + 0.8 * libm::log(0.8 / 0.5);
    assert!((row(&reverse(Tail::Bucket), 0, q.top(), &p).0 - expected).abs() < 1e-6);
    assert!((row(&variation(Tail::Bucket), 0, q.top(), &p).0 - 0.3).abs() < 1e-6);
}

fn close(a: &(f64, Vec<f32>), b: &(f64, Vec<f32>), within: f64) -> bool {
    (a.0 - b.0).abs() < within && a.1.iter().zip(&b.1).all(|(a, b)| f64::from((a - b).abs()) < within)
}

#[test]
fn the_ends_of_the_jsd_are_both_kl_divergences_and_nothing_jumps() {
    for (seed, tail) in (0..6).flat_map(|seed| TAILS.map(|tail| (seed, tail))) {
        let (teacher, student) = (law(&normal_row(seed, 1.5), 5), normal_row(60 + seed, 1.5));
        for shown in [teacher.top(), Shown::Whole(&teacher.whole)] {
            let at = |beta| row(&jsd(beta, tail), 0, shown, &student);
            let (forward, backward) = (at(0.0), at(1.0));
            let whole = matches!(shown, Shown::Whole(_));
            let forward_alone =
                if whole { LossConfig::FullKl(FullKl { temperature: 1.0 }) } else { LossConfig::TopkKl(TopkKl { tail }) };
            // the tail of a zero tail has a least probability here: 1e-6 times its logarithm
            let within = if tail == Tail::Zero && !whole { 3e-5 } else { 3e-6 };
            assert!(close(&forward, &row(&forward_alone, 0, shown, &student), within), "{tail:?}: {forward:?}");
            assert!(close(&backward, &row(&reverse(tail), 0, shown, &student), 1e-7), "{tail:?}: {backward:?}");
            // a step in beta moves it by so many times the step (quotients of both laws reach a hundred here, and 1e6 where a tail of
            // nearly nothing is paid for), down to steps that rounding swallows
            let steepest = if tail == Tail::Zero && !whole { 3e8 } else { 300.0 };
            for step in [1e-3, 1e-6, 1e-9, 1e-12, 1e-15, 1e-300] {
                let within = 1e-6 + steepest * step;
                assert!(close(&at(step), &forward, within), "{tail:?}, {step}: {:?} instead of {forward:?}", at(step));
                assert!(close(&at(1.0 - step), &backward, within), "{tail:?}, 1 - {step}: {:?}", at(1.0 - step));
            }
        }
    }
}

#[test]
fn the_jsd_is_the_same_with_both_laws_exchanged_and_beta_turned_round() {
    let (one, other) = (held(normal_row(11, 2.0)), held(normal_row(12, 2.0)));
    for beta in BETAS.into_iter().chain([0.0, 1.0]) {
        let of = |beta, teacher: &[f64], student: &[f64]| {
            row(&jsd(beta, Tail::Bucket), 0, Shown::Whole(&law(teacher, V).whole), student).0
        };
        assert!((of(beta, &one, &other) - of(1.0 - beta, &other, &one)).abs() < 5e-6, "{beta}");
    }
}

#[test]
fn buckets_bound_whole_divergences_from_below() {
    let configs = all(Tail::Bucket);
    for (config, seed) in configs.iter().flat_map(|config| (0..10).map(move |seed| (config, seed))) {
        let (teacher, student) = (normal_row(seed, 2.0), normal_row(50 + seed, 2.0));
        let exact = row(config, 0, Shown::Whole(&law(&teacher, V).whole), &student).0;
        let mut last = 0.0;
        for k in 1..=V {
            let (loss, _) = row(config, 0, law(&teacher, k).top(), &student);
            // a tail is known to 1e-7, and divided by
            assert!(loss >= last - 1e-4 && loss <= exact + 1e-4, "{config:?}, k = {k}: {loss}, {last} before, {exact} in full");
            last = loss;
        }
        assert!((last - exact).abs() < 1e-5, "{config:?}");
    }
}

/// A law that excludes tokens: 0.75 of the student's mass is on what cannot be.
#[test]
fn excluded_tokens_cost_what_is_said() {
    let mut whole = vec![f32::NEG_INFINITY; 4];
    whole[0] = 0.0;
    let (shown, even) = (Shown::Whole(&whole), [0.0; 4]);
    let value = |config: &LossConfig| row(config, 0, shown, &even).0;
    assert!((value(&variation(Tail::Bucket)) - 0.75).abs() < 1e-6);
    // M is 5/8 on the first token and 1/8 on each other
    let half = 4.0 * 0.5 * (libm::log(8.0 / 5.0) + 0.25 * libm::log(2.0 / 5.0) + 0.75 * libm::log(2.0));
    assert!((value(&jsd(0.5, Tail::Bucket)) - half).abs() < 1e-6);
    // reverse KL is infinite; with the least normal f32 in place of 0 it is this
    let least = f64::from(f32::MIN_POSITIVE);
    let expected = 0.75 * libm::log(0.25 / least) + 0.25 * libm::log(0.25);
    for config in [reverse(Tail::Bucket), jsd(1.0, Tail::Bucket)] {
        let (loss, gradient) = row(&config, 0, shown, &even);
        assert!((loss - expected).abs() < 1e-4, "{config:?}: {loss} instead of {expected}");
        assert!(gradient[0] < -10.0 && gradient[1..].iter().all(|g| *g > 5.0), "{gradient:?}");
    }
}

/// A posterior is all there is; whether its f32 sum to a little more or less than 1 must not decide what other tokens cost.
#[test]
fn rounding_of_a_complete_report_decides_nothing() {
    let student = normal_row(5, 1.5);
    for config in all(Tail::Bucket) {
        let at = |moved: f32| {
            let log_probs = [libm::logf(0.625) + moved, libm::logf(0.375) + moved];
            row(&config, 0, Shown::Top { ids: &[2, 9], log_probs: &log_probs }, &student)
        };
        let exact = at(0.0);
        for moved in [-5e-7, -1e-7, 1e-7, 5e-7] {
            assert!(close(&at(moved), &exact, 1e-5), "{config:?}, {moved}: {:?} instead of {exact:?}", at(moved));
        }
    }
}

/// Beyond any f32 exponential on either side: nothing is infinite or no number.
#[test]
fn laws_that_have_nothing_in_common_stay_finite() {
    let far = |at: usize, by: f64| -> Vec<f64> { (0..V).map(|i| if i == at { by } else { 0.0 }).collect() };
    for (by, k) in [50.0, 90.0, 800.0, 1e30].into_iter().flat_map(|by| [1, 3, V].map(|k| (by, k))) {
        let (teacher, student) = (law(&far(0, by), k), far(5, by));
        for (config, shown) in TAILS
            .into_iter()
            .flat_map(all)
            .flat_map(|config| [teacher.top(), Shown::Whole(&teacher.whole)].map(|shown| (config.clone(), shown)))
        {
            let (loss, gradient) = row(&config, 0, shown, &student);
            assert!(loss.is_finite() && loss >= -1e-9, "{config:?} {by}: {loss}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{config:?} {by}: {gradient:?}");
        }
    }
    let (teacher, student) = (law(&far(0, 800.0), V), far(5, 800.0));
    let (_, gradient) = row(&jsd(0.0, Tail::Bucket), 0, Shown::Whole(&teacher.whole), &student);
    assert!((gradient[0] + 1.0).abs() < 1e-6, "forward KL learns what the student finds impossible: {gradient:?}");
}

#[test]
fn a_law_without_mass_says_nothing() {
    let (nothing, student) = ([f32::NEG_INFINITY; V], normal_row(2, 1.5));
    for config in TAILS.into_iter().flat_map(all) {
        let mut shown = vec![Shown::Whole(&nothing)];
        if tail_of(&config) != Some(Tail::Bucket) {
            shown.push(Shown::Top { ids: &[4, 2], log_probs: &nothing[..2] });
        }
        for shown in shown {
            assert_eq!(row(&config, 0, shown, &student), (0.0, vec![0.0; V]), "{config:?}");
        }
    }
}

/// What is certain after the first token of a label, beside tokens that cannot be.
#[test]
fn certain_tokens_are_learned() {
    let shown = Shown::Top { ids: &[7, 0, 1], log_probs: &[0.0, f32::NEG_INFINITY, f32::NEG_INFINITY] };
    for config in TAILS.into_iter().flat_map(all) {
        let (_, gradient) = row(&config, 7, shown, &normal_row(2, 1.5));
        assert!(gradient[7] < 0.0 && gradient[0] > 0.0 && gradient[1] > 0.0, "{config:?}: {gradient:?}");
        let others = gradient[2..7].iter().chain(&gradient[8..]);
        let wanted = |g: &f32| if tail_of(&config) == Some(Tail::Renormalised) { *g == 0.0 } else { *g > 0.0 };
        // reverse KL pays most for what cannot be, and moves its mass to the tail at first
        let is_reverse =
            matches!(&config, LossConfig::ReverseKl(_)) || matches!(&config, LossConfig::GeneralisedJsd(j) if j.beta == 1.0);
        assert!(is_reverse || others.clone().all(wanted), "{config:?}: {gradient:?}");
    }
}

/// Both laws agree on a token to the last digit that f32 has: the kink of total variation has slope 0 there.
#[test]
fn total_variation_has_its_subgradient_where_laws_agree() {
    let (q, p) = (ln(&[0.5, 0.2, 0.3]), ln(&[0.5, 0.3, 0.2]));
    let (loss, gradient) = row(&variation(Tail::Bucket), 0, Shown::Whole(&law(&q, 3).whole), &p);
    assert!((loss - 0.1).abs() < 1e-6);
    // signs / 2 are 0, 1/2 and -1/2: their mean under the student is 0.05
    let expected = [0.5 * -0.05, 0.3 * (0.5 - 0.05), 0.2 * (-0.5 - 0.05)];
    assert!(gradient.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{gradient:?}");
}

#[test]
fn following_the_slope_leads_to_the_teacher() {
    let teacher = law(&normal_row(40, 1.0), V);
    for config in all(Tail::Bucket) {
        let mut student: Vec<f32> = normal_row(41, 1.0).iter().map(|&l| l as f32).collect();
        let steps = 6000;
        let mut last = f64::INFINITY;
        for step in 0..steps {
            let mut gradient = student.clone();
            last = config.build().row(0, Shown::Whole(&teacher.whole), &mut gradient);
            let rate = 2.0 * (1.0 - step as f32 / steps as f32);
            student.iter_mut().zip(gradient).for_each(|(logit, slope)| *logit -= rate * slope);
        }
        assert!(last < 2e-3, "{config:?} ends at {last}");
    }
}
