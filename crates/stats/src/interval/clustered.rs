//! A proportion whose trials come in clusters: false positives over (model, decoy key) pairs, clustered by model.

use serde::{Deserialize, Serialize};

use super::binomial::clopper_pearson_real;
use super::ends::{Interval, check_level};
use crate::special::{normal_quantile, student_quantile};

/// How the interval of a [`ClusteredProportion`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterMethod {
    /// Exact interval at the effective number of trials that the variance between clusters implies.
    KornGraubard,
    /// One cluster only, so nothing is known of the variance between clusters: the exact interval of that cluster's
    /// trials as if independent. It says nothing about other models.
    OneCluster,
}

/// A rate pooled over clusters, with an interval for the rate over the population of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClusteredProportion {
    /// Hits over trials, pooled.
    pub rate: f64,
    /// Interval of the rate, at the level asked for.
    pub interval: Interval,
    /// Hits in all clusters.
    pub hits: u64,
    /// Trials in all clusters.
    pub trials: u64,
    /// Clusters with at least one trial.
    pub clusters: u64,
    /// Independent trials that would tell as much; at most `trials`.
    pub effective_trials: f64,
    /// How the interval was made.
    pub method: ClusterMethod,
}

/// Rate of `(hits, trials)` clusters with an interval that allows for dependence within clusters; None without trials.
///
/// Korn & Graubard (1998): the linearised variance of the ratio estimator gives the effective number of trials, shrunk by
/// the squared ratio of the normal to the t quantile with (clusters - 1) degrees of freedom, and the exact interval is taken there. Chosen over
/// the cluster-robust normal interval and the cluster bootstrap because false-positive rates are near 0, where those
/// two reach below 0 or collapse to a point. With no hit at all (or nothing but hits) the clusters show no variance and count
/// as independent but for the t ratio.
///
/// # Panics
/// When a cluster has more hits than trials, or `level` is outside (0, 1).
pub fn clustered_proportion(clusters: &[(u64, u64)], level: f64) -> Option<ClusteredProportion> {
    check_level(level);
    for &(hits, trials) in clusters {
        assert!(hits <= trials, "{hits} hits in {trials} trials of a cluster");
    }
    let hits: u64 = clusters.iter().map(|c| c.0).sum();
    let trials: u64 = clusters.iter().map(|c| c.1).sum();
    if trials == 0 {
        return None;
    }
    let count = clusters.iter().filter(|c| c.1 > 0).count();
    let (total, rate) = (trials as f64, hits as f64 / trials as f64);
    let (effective_trials, method) = if count == 1 {
        (total, ClusterMethod::OneCluster)
    } else {
        let m = count as f64;
        let squares: f64 = clusters.iter().map(|&(h, n)| (h as f64 - rate * n as f64).powi(2)).sum();
        let variance = m / (m - 1.0) * squares / (total * total);
        // 0 / 0 for a rate of 0 or 1, x / 0 for equal clusters: both mean that no clustering is seen.
        let seen = rate * (1.0 - rate) / variance;
        let seen = if seen.is_finite() { seen.min(total) } else { total };
        let upper = 0.5 * (1.0 - level);
        let shrink = (normal_quantile(1.0 - upper) / student_quantile(m - 1.0, upper)).powi(2);
        (seen * shrink.min(1.0), ClusterMethod::KornGraubard)
    };
    let interval = clopper_pearson_real(rate * effective_trials, effective_trials, level);
    Some(ClusteredProportion { rate, interval, hits, trials, clusters: count as u64, effective_trials, method })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{interval::clopper_pearson, random::unit};

    #[test]
    fn one_cluster_falls_back_and_says_so() {
        let found = clustered_proportion(&[(3, 10), (0, 0)], 0.95).unwrap();
        assert_eq!((found.method, found.clusters), (ClusterMethod::OneCluster, 1));
        assert_eq!(found.interval, clopper_pearson(3, 10, 0.95));
        assert_eq!(clustered_proportion(&[(0, 0)], 0.95), None);
        assert_eq!(clustered_proportion(&[], 0.95), None);
    }

    #[test]
    fn many_equal_clusters_are_nearly_independent_trials() {
        let found = clustered_proportion(&[(1, 100); 400], 0.95).unwrap();
        let plain = clopper_pearson(400, 40_000, 0.95);
        assert!((found.interval.low / plain.low - 1.0).abs() < 0.01 && (found.interval.high / plain.high - 1.0).abs() < 0.01);
    }

    #[test]
    fn all_or_nothing_clusters_count_as_one_trial_each() {
        // 12 models always positive, 48 never: 999 keys per model add nothing.
        let clusters: Vec<(u64, u64)> = (0..60).map(|i| (if i < 12 { 999 } else { 0 }, 999)).collect();
        let found = clustered_proportion(&clusters, 0.95).unwrap();
        assert!((50.0..60.0).contains(&found.effective_trials), "{found:?}");
    }

    #[test]
    fn no_hits_in_two_clusters_is_a_wide_interval_that_starts_at_zero() {
        let found = clustered_proportion(&[(0, 999), (0, 999)], 0.95).unwrap();
        assert_eq!((found.rate, found.interval.low), (0.0, 0.0));
        assert!(found.interval.high > 1.5 * clopper_pearson(0, 1998, 0.95).high && found.interval.high < 0.2, "{found:?}");
    }

    #[test]
    fn covers_the_rate_of_the_population_of_clusters() {
        // Cluster rates Beta(1, 9) (mean 0.1, intra-cluster correlation 1/11), 50 trials each, 20 clusters.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let experiments = 1000;
        let mut covered = 0;
        let mut naive = 0;
        for _ in 0..experiments {
            let clusters: Vec<(u64, u64)> = (0..20)
                .map(|_| {
                    let rate = 1.0 - libm::pow(unit(&mut rng), 1.0 / 9.0);
                    ((0..50).filter(|_| unit(&mut rng) < rate).count() as u64, 50)
                })
                .collect();
            let found = clustered_proportion(&clusters, 0.95).unwrap();
            covered += u32::from(found.interval.contains(0.1));
            naive += u32::from(clopper_pearson(found.hits, found.trials, 0.95).contains(0.1));
        }
        // Three standard errors of a share of 0.95 over 1,000 experiments are 0.021.
        assert!(covered >= 929, "{covered} of {experiments}");
        assert!(naive < 800, "without clustering: {naive}");
    }
}
