//! The mixture of cross-entropy and a softened divergence.

use super::*;

fn hinton(lambda: f32, temperature: f32, tau_squared: bool) -> LossConfig {
    LossConfig::Hinton(Hinton { lambda, temperature, tau_squared })
}

const TOKEN: TokenId = 3;

fn tempered(logits: &[f64], tau: f64) -> Vec<f64> {
    log_softmax(&logits.iter().map(|l| l / tau).collect::<Vec<_>>())
}

/// The formula as it is printed, of logits: on all tokens, or both laws on `ids` alone.
fn formula(config: &Hinton, teacher: &[f64], student: &[f64], ids: Option<&[TokenId]>) -> f64 {
    let (lambda, tau) = (f64::from(config.lambda), f64::from(config.temperature));
    let chosen = |row: &[f64]| match ids {
        Some(ids) => ids.iter().map(|id| row[*id as usize]).collect(),
        None => row.to_vec(),
    };
    let (q, p) = (tempered(&chosen(teacher), tau), tempered(&chosen(student), tau));
    let kl: f64 = q.iter().zip(&p).map(|(q, p)| libm::exp(*q) * (q - p)).sum();
    let factor = if config.tau_squared { tau * tau } else { 1.0 };
    (1.0 - lambda) * -log_softmax(student)[TOKEN as usize] + lambda * factor * kl
}

#[test]
fn values_and_gradients_are_those_of_the_formula() {
    for (seed, k) in (0..4).flat_map(|seed| [1, 5, V].map(|k| (seed, k))) {
        let (logits, student) = (normal_row(seed, 1.5), normal_row(90 + seed, 1.5));
        let teacher = law(&logits, k);
        for (lambda, tau, squared) in
            [(0.25, 2.0, true), (0.25, 2.0, false), (1.0, 0.5, true), (0.75, 1.0, false), (0.0, 3.0, true)]
        {
            let config = Hinton { lambda, temperature: tau, tau_squared: squared };
            for (shown, ids) in [(teacher.top(), Some(&teacher.ids[..])), (Shown::Whole(&teacher.whole), None)] {
                let (loss, gradient) = row(&LossConfig::Hinton(config.clone()), TOKEN, shown, &student);
                let at = |student: &[f64]| formula(&config, &logits, student, ids);
                assert!((loss - at(&student)).abs() < 1e-5, "{config:?}, k = {k}: {loss} instead of {}", at(&student));
                for i in 0..V {
                    let moved = |h: f64| {
                        let mut moved = student.clone();
                        moved[i] += h;
                        at(&moved)
                    };
                    let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                    assert!((difference - f64::from(gradient[i])).abs() < 5e-6, "{config:?}, k = {k}, logit {i}: {gradient:?}");
                }
            }
        }
    }
}

#[test]
fn its_ends_are_the_losses_that_are_there_alone() {
    let (teacher, student) = (law(&normal_row(1, 1.5), 5), normal_row(2, 1.5));
    let whole = Shown::Whole(&teacher.whole);
    let tokens = row(&LossConfig::SequenceKd(SequenceKd::default()), TOKEN, Shown::Nothing, &student);
    for shown in [Shown::Nothing, teacher.top(), whole] {
        assert_eq!(row(&hinton(0.0, 2.0, true), TOKEN, shown, &student), tokens);
    }
    for tau in [1.0, 2.0] {
        let (loss, gradient) = row(&hinton(1.0, tau, true), TOKEN, whole, &student);
        let alone = row(&LossConfig::FullKl(FullKl { temperature: tau }), TOKEN, whole, &student);
        assert_eq!((loss, gradient), alone, "to the last bit");
        let renormalised = row(&LossConfig::TopkKl(TopkKl { tail: Tail::Renormalised }), TOKEN, teacher.top(), &student);
        let (loss, gradient) = row(&hinton(1.0, 1.0, true), TOKEN, teacher.top(), &student);
        assert!((loss - renormalised.0).abs() < 1e-6 && gradient.iter().zip(&renormalised.1).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

/// Reports that hold nearly all, or nothing at all.
#[test]
fn reports_are_renormalised_on_their_tokens() {
    let student = normal_row(4, 1.5);
    let at = |mass: f32, tau| {
        let log_probs = [libm::logf(0.75 * mass), libm::logf(0.25 * mass)];
        row(&hinton(1.0, tau, true), TOKEN, Shown::Top { ids: &[2, 9], log_probs: &log_probs }, &student)
    };
    for (mass, tau) in [0.9995, 0.5, 2.0].into_iter().flat_map(|mass| [1.0, 2.0].map(|tau| (mass, tau))) {
        let ((loss, gradient), (whole, slope)) = (at(mass, tau), at(1.0, tau));
        assert!((loss - whole).abs() < 1e-6 && gradient.iter().zip(&slope).all(|(a, b)| (a - b).abs() < 1e-6), "{mass}, {tau}");
    }
    for tau in [1.0, 2.0] {
        assert_eq!(at(0.0, tau), (0.0, vec![0.0; V]), "nothing is said");
    }
}

#[test]
fn what_it_needs_follows_from_lambda() {
    assert_eq!(hinton(0.0, 1.0, true).build().needs(), Access::Text);
    assert_eq!(hinton(0.1, 1.0, true).build().needs(), Access::Logprobs);
    let refused = check_surface(&*hinton(0.5, 2.0, true).build(), &Surface::Text).unwrap_err().to_string();
    assert!(refused.starts_with("`hinton` needs log-probabilities; a `text` oracle has none"), "{refused}");
}
