//! Levels and names that verdicts and tables share.

use crate::Record;

/// Slack on log10 p against log10 alpha. The smallest p of 999 decoys is 1/1000, which must count as at most 0.001 although
/// neither logarithm is exact.
const LOG10_SLACK: f64 = 1e-9;

/// Whether a p is at most a level.
pub(crate) fn at_most(log10_p: f64, alpha: f64) -> bool {
    log10_p <= libm::log10(alpha) + LOG10_SLACK
}

/// A mark by name, and by account where it has several keys.
pub(crate) fn mark_in_words(record: &Record) -> String {
    with_account(record.mark.as_deref().unwrap_or_default(), record.account)
}

/// The same of a name and an account.
pub(crate) fn with_account(mark: &str, account: Option<u32>) -> String {
    match account {
        Some(account) => format!("{mark}, account {account}"),
        None => mark.to_string(),
    }
}
