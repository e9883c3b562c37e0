//! The order of the teacher's most probable tokens.

use super::*;

fn ranking(tokens: usize) -> LossConfig {
    LossConfig::Ranking(Ranking { tokens })
}

fn softplus(x: f64) -> f64 {
    libm::log(1.0 + libm::exp(x))
}

#[test]
fn it_is_the_mean_over_all_pairs_of_the_teachers_order() {
    for (seed, k) in (0..6).flat_map(|seed| [2, 5, V].map(|k| (seed, k))) {
        let (teacher, student) = (law(&normal_row(seed, 1.5), k), normal_row(70 + seed, 1.5));
        for tokens in [2, 4, 50] {
            let n = tokens.min(k);
            let at = |student: &[f64]| {
                let s: Vec<f64> = teacher.ids[..n].iter().map(|id| student[*id as usize]).collect();
                let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
                pairs.map(|(i, j)| softplus(-(s[i] - s[j]))).sum::<f64>() / (n * (n - 1) / 2) as f64
            };
            let (loss, gradient) = row(&ranking(tokens), 0, teacher.top(), &student);
            assert!((loss - at(&student)).abs() < 1e-6, "{loss} instead of {}", at(&student));
            for i in 0..V {
                let moved = |h: f64| {
                    let mut moved = student.clone();
                    moved[i] += h;
                    at(&moved)
                };
                let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                assert!((difference - f64::from(gradient[i])).abs() < 1e-6, "logit {i}: {difference} or {gradient:?}");
            }
        }
    }
}

#[test]
fn whole_laws_are_read_as_their_most_probable_tokens() {
    for (seed, k) in (0..6).flat_map(|seed| [2, 5, V].map(|k| (seed, k))) {
        let (teacher, student) = (law(&normal_row(seed, 1.5), k), normal_row(70 + seed, 1.5));
        assert_eq!(row(&ranking(k), 0, Shown::Whole(&teacher.whole), &student), row(&ranking(50), 0, teacher.top(), &student));
    }
}

#[test]
fn only_order_is_read_however_it_is_shown() {
    let student = normal_row(3, 1.5);
    let at = |ids: &[TokenId], log_probs: &[f32]| row(&ranking(20), 0, Shown::Top { ids, log_probs }, &student);
    let plain = at(&[4, 1, 8], &[-0.5, -1.5, -2.5]);
    assert_eq!(plain, at(&[4, 1, 8], &[-0.1, -0.2, f32::NEG_INFINITY]), "an excluded token stands below all others");
    assert_eq!(plain, at(&[8, 4, 1], &[-2.5, -0.5, -1.5]), "noise may have shuffled what is shown");
    // two that are equally probable are no pair: two pairs are left
    let (loss, gradient) = at(&[4, 1, 8], &[-0.5, -1.5, -1.5]);
    let expected = 0.5 * (softplus(student[1] - student[4]) + softplus(student[8] - student[4]));
    assert!((loss - expected).abs() < 1e-6 && gradient[4] < 0.0 && gradient[1] > 0.0 && gradient[8] > 0.0);
    let mut whole = vec![-9.0; V];
    (whole[1], whole[4], whole[8]) = (-1.5, -0.5, -1.5);
    let two = row(&ranking(2), 0, Shown::Whole(&whole), &student);
    assert_eq!(two, at(&[4, 1], &[-0.5, -1.5]), "the lower of two ids, where one has to be chosen");
    assert_eq!(at(&[4, 1], &[-0.5, -0.5]), (0.0, vec![0.0; V]), "no order is shown");
    assert_eq!(at(&[4], &[-0.5]), (0.0, vec![0.0; V]));
}

#[test]
fn far_scores_stay_exact() {
    let shown = Shown::Top { ids: &[0, 1], log_probs: &[-0.5, -1.5] };
    let at = |score: f64| row(&ranking(2), 0, shown, &[score, 0.0]);
    assert_eq!(at(-1000.0), (1000.0, vec![-1.0, 1.0]));
    assert_eq!(at(1000.0), (0.0, vec![0.0, 0.0]));
    assert!((at(-30.0).0 - 30.0).abs() < 1e-9 && at(20.0).0 > 2e-9);
}
