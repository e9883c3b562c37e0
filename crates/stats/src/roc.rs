//! Receiver operating characteristic: how well a score separates positives from negatives. Larger scores are more positive.

/// One point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Scores at least this high are called positive; infinite at the origin.
    pub threshold: f64,
    /// Share of negatives called positive.
    pub fpr: f64,
    /// Share of positives called positive.
    pub tpr: f64,
}

/// The ROC curve from (0, 0) to (1, 1), one point per distinct score; None without positives or negatives.
///
/// # Panics
/// When a score is NaN.
pub fn curve(positives: &[f64], negatives: &[f64]) -> Option<Vec<RocPoint>> {
    let (positives, negatives) = (descending(positives)?, descending(negatives)?);
    let mut points = vec![RocPoint { threshold: f64::INFINITY, fpr: 0.0, tpr: 0.0 }];
    let (mut p, mut n) = (0, 0);
    while p < positives.len() || n < negatives.len() {
        let next = |scores: &[f64], at: usize| scores.get(at).copied().unwrap_or(f64::NEG_INFINITY);
        let threshold = next(&positives, p).max(next(&negatives, n));
        p += positives[p..].iter().take_while(|&&score| score >= threshold).count();
        n += negatives[n..].iter().take_while(|&&score| score >= threshold).count();
        points.push(RocPoint { threshold, fpr: n as f64 / negatives.len() as f64, tpr: p as f64 / positives.len() as f64 });
    }
    Some(points)
}

/// Area under the ROC curve: the probability that a positive scores above a negative, ties counting half (Mann & Whitney
/// 1947). None without positives or negatives.
///
/// # Panics
/// When a score is NaN.
pub fn auroc(positives: &[f64], negatives: &[f64]) -> Option<f64> {
    let points = curve(positives, negatives)?;
    Some(points.windows(2).map(|pair| (pair[1].fpr - pair[0].fpr) * 0.5 * (pair[0].tpr + pair[1].tpr)).sum())
}

/// Share of positives above a threshold that at most a share `fpr` of negatives reach, without interpolation: with fewer than
/// 1 / fpr negatives a positive must exceed them all. None without positives or negatives.
///
/// # Panics
/// When a score is NaN or `fpr` is outside \[0, 1\].
pub fn tpr_at_fpr(positives: &[f64], negatives: &[f64], fpr: f64) -> Option<f64> {
    assert!((0.0..=1.0).contains(&fpr), "false-positive rate {fpr} is outside [0, 1]");
    let (positives, negatives) = (descending(positives)?, descending(negatives)?);
    // 0.001 of 1,000 negatives is one of them, whatever the rounding of the product.
    let allowed = (fpr * negatives.len() as f64 * (1.0 + 1e-12)) as usize;
    let above = match negatives.get(allowed) {
        Some(&score) => positives.iter().take_while(|&&positive| positive > score).count(),
        None => positives.len(),
    };
    Some(above as f64 / positives.len() as f64)
}

fn descending(scores: &[f64]) -> Option<Vec<f64>> {
    assert!(scores.iter().all(|score| !score.is_nan()), "a score is NaN");
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    (!sorted.is_empty()).then_some(sorted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn curve_of_a_small_sample_with_ties() {
        let points = curve(&[3.0, 2.0], &[2.0, 1.0]).unwrap();
        let found: Vec<(f64, f64)> = points.iter().map(|point| (point.fpr, point.tpr)).collect();
        assert_eq!(found, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(auroc(&[3.0, 2.0], &[2.0, 1.0]), Some(0.875));
        assert_eq!(auroc(&[], &[1.0]), None);
        assert_eq!(auroc(&[f64::INFINITY], &[f64::NEG_INFINITY]), Some(1.0));
    }

    #[test]
    fn rate_of_true_positives_at_one_in_a_thousand() {
        let negatives: Vec<f64> = (0..1000).map(f64::from).collect();
        let positives = [998.0, 998.5, 999.0, 1000.0];
        // One negative (999) may pass: the threshold lies just above 998.
        assert_eq!(tpr_at_fpr(&positives, &negatives, 0.001), Some(0.75));
        assert_eq!(tpr_at_fpr(&positives, &negatives, 0.000_9), Some(0.25));
        assert_eq!(tpr_at_fpr(&positives, &negatives, 1.0), Some(1.0));
        assert_eq!(tpr_at_fpr(&[1.0], &[1.0, 0.0], 0.1), Some(0.0), "a tie with the largest negative is no detection");
        assert_eq!(tpr_at_fpr(&[1.0], &[], 0.1), None);
    }

    proptest! {
        #[test]
        fn area_is_the_share_of_ordered_pairs(positives in prop::collection::vec(0i8..9, 1..30), negatives in prop::collection::vec(0i8..9, 1..30)) {
            let wins: f64 = positives.iter().flat_map(|p| negatives.iter().map(move |n| 0.5 * f64::from(p.cmp(n) as i8 + 1))).sum();
            let scores = |values: &[i8]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (p, n) = (scores(&positives), scores(&negatives));
            let area = auroc(&p, &n).unwrap();
            prop_assert!((area - wins / (p.len() * n.len()) as f64).abs() < 1e-12);
            prop_assert!((auroc(&n, &p).unwrap() + area - 1.0).abs() < 1e-12);
        }

        #[test]
        fn tpr_rises_with_fpr_and_lies_on_the_curve(
            positives in prop::collection::vec(0i8..9, 1..30), negatives in prop::collection::vec(0i8..9, 1..30), fpr in 0.0f64..1.0,
        ) {
            let scores = |values: &[i8]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (p, n) = (scores(&positives), scores(&negatives));
            let found = tpr_at_fpr(&p, &n, fpr).unwrap();
            let best = curve(&p, &n).unwrap().iter().filter(|point| point.fpr <= fpr).map(|point| point.tpr).fold(0.0, f64::max);
            prop_assert_eq!(found, best);
        }
    }
}
