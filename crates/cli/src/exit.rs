//! Exit codes, decided in this one place.
//!
//! 0 done; 1 unexpected; 2 usage, configuration or input; 3 a true key fires in a model that must not show it; 5 an audit that is
//! inconclusive; 75 stopped and resumable (`EX_TEMPFAIL`); 100 a check that was asked for failed, a condition of `[expect]` is broken, or an
//! audit proves a mark; 128 + n on signal n.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lm::hub::HubError;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use store::Trouble;

pub use harness::exit::UsageError;
use harness::exit::is_refusal;

/// Something that nobody could have foreseen.
pub const UNEXPECTED: u8 = 1;
/// Usage, configuration or input: put it right and run again.
pub const USAGE: u8 = 2;
/// A true key fires in a model that must not show it.
pub const FALSE_POSITIVE: u8 = 3;
/// An audit beside which no negative stays at chance.
pub const INCONCLUSIVE: u8 = 5;
/// Stopped by circumstances; the same command resumes.
pub const RESUMABLE: u8 = 75;

/// A check that was asked for has failed.
pub const DEVIATES: u8 = 100;
/// An audit proves a mark in its suspect: what was looked for is there.
pub const PROVEN: u8 = 100;

/// What a check that was asked for has found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Deviates(pub String);

/// The work is done, its results are written and printed, and what they say has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Found {
    /// The exit code.
    pub code: u8,
    /// What standard error hears of it; nothing where standard output says it all.
    pub text: String,
}

/// Work that was not started because the disk would not hold it.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: about {} MB are needed and {} MB are free; free some space and run the same command again, or name another place \
     (--artifacts), or begin all the same (--no-disk-check)",
    place.display(),
    needed / 1_000_000,
    free / 1_000_000
)]
pub struct NoRoom {
    /// Where artifacts would lie.
    pub place: std::path::PathBuf,
    /// Bytes needed, estimated.
    pub needed: u64,
    /// Bytes free.
    pub free: u64,
}

/// Points of a grid that failed while others did not.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct PointsFailed {
    /// All of them in words.
    pub text: String,
    /// Why the first failed; decides the exit code.
    pub first: anyhow::Error,
}

/// The exit code for an error that reached the top; `signal` is the signal that asked to stop, if one did.
pub fn code(error: &anyhow::Error, signal: Option<u8>) -> u8 {
    if let Some(failed) = error.downcast_ref::<PointsFailed>() {
        return code(&failed.first, signal);
    }
    if let Some(found) = error.downcast_ref::<Found>() {
        return found.code;
    }
    let stopped = store::trouble(error.as_ref()) == Some(Trouble::Cancelled) || error.chain().any(is_cancelled);
    if let Some(signal) = signal.filter(|_| stopped) {
        return 128 + signal;
    }
    if stopped || error.is::<NoRoom>() || error.chain().any(is_weather) {
        return RESUMABLE;
    }
    if error.is::<Deviates>() {
        return DEVIATES;
    }
    match store::trouble(error.as_ref()) {
        Some(Trouble::Full | Trouble::InUse | Trouble::Changed) => return RESUMABLE,
        Some(Trouble::Denied) => return USAGE,
        Some(Trouble::Cancelled) | None => {}
    }
    if is_refusal(error) { USAGE } else { UNEXPECTED }
}

fn is_cancelled(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(oracle::OracleError::Cancelled))
        || matches!(error.downcast_ref(), Some(lm::RunError::Cancelled))
        || matches!(error.downcast_ref(), Some(HubError::Cancelled(_)))
        || error.downcast_ref::<distill::DistillError>().is_some_and(distill::DistillError::is_cancelled)
}

/// Whether a network failed that may be there again in a minute.
fn is_weather(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(HubError::Unreachable { .. } | HubError::Interrupted { .. } | HubError::Damaged { .. }))
}

/// Whether the reader of our output went away, as in `birthmark list | head -1`: nothing is wrong then.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe))
}

/// SIGINT and SIGTERM as a flag that long work looks at.
#[derive(Debug, Clone)]
pub struct Signals {
    /// Raised by the first signal: stop at the next safe point.
    pub cancelled: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches both signals: the first raises the flag, a second one ends the process at once. A write beyond the limit on file sizes
    /// (`ulimit -f`) becomes an error of that write, as on a full disk, instead of a signal that ends the process.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn catch() -> io::Result<Self> {
        let signals = Self { cancelled: Arc::default(), which: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // order matters: on the second signal the flag is already up when this one looks at it
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.cancelled))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.which), signal as usize)?;
            signal_hook::flag::register(signal, Arc::clone(&signals.cancelled))?;
        }
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// The signal that came, if one did.
    pub fn received(&self) -> Option<u8> {
        u8::try_from(self.which.load(Ordering::Relaxed)).ok().filter(|&signal| signal > 0)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use harness::config_error::ConfigErrors;

    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_code() {
        let io = |kind| anyhow::Error::from(io::Error::from(kind));
        let cancelled = || anyhow::Error::from(oracle::OracleError::Cancelled).context("asking the teacher");
        let cases: Vec<(anyhow::Error, Option<u8>, u8)> = vec![
            (anyhow::anyhow!("a bug"), None, 1),
            (io(io::ErrorKind::StorageFull).context("writing"), None, 75),
            (io(io::ErrorKind::PermissionDenied), None, 2),
            (io(io::ErrorKind::ReadOnlyFilesystem), None, 2),
            (io(io::ErrorKind::NotADirectory).context("opening results"), None, 2),
            (cancelled(), Some(2), 130),
            (cancelled(), Some(15), 143),
            (cancelled(), None, 75),
            (distill::DistillError::Cancelled.into(), Some(2), 130),
            (lm::RunError::Cancelled.into(), Some(2), 130),
            (HubError::Cancelled("a/b".parse().unwrap()).into(), Some(2), 130),
            (HubError::Unreachable { endpoint: "x".into(), why: "y".into() }.into(), None, 75),
            (HubError::Settings("no".into()).into(), None, 2),
            (PointsFailed { text: "two".into(), first: io(io::ErrorKind::PermissionDenied) }.into(), None, 2),
            (store::StoreError::Cancelled { path: "x".into() }.into(), Some(15), 143),
            (store::StoreError::InUse { path: "x".into() }.into(), None, 75),
            (store::StoreError::Changed { path: "x".into(), how: "it is gone" }.into(), None, 75),
            (store::StoreError::NotPlain { path: "x".into(), what: "a directory" }.into(), None, 2),
            (store::StoreError::Unnamed { path: "x".into() }.into(), None, 2),
            (io(io::ErrorKind::FileTooLarge).context("writing"), None, 75),
            (store::StoreError::NotMade { reason: "x: is not there".into() }.into(), None, 2),
            (ConfigErrors::whole("x.toml", "no such file", "").into(), None, 2),
            (UsageError("no".into()).into(), None, 2),
            (Found { code: FALSE_POSITIVE, text: String::new() }.into(), None, 3),
            (Found { code: INCONCLUSIVE, text: String::new() }.into(), Some(2), 5),
            (Deviates("no".into()).into(), None, 100),
            (lm::LoadError::Pickle { path: "x".into() }.into(), None, 2),
            (lm::DeviceError::NotOpened { why: "x".into() }.into(), None, 2),
            // a signal that came while something else failed does not hide the failure
            (anyhow::anyhow!("a bug"), Some(2), 1),
        ];
        for (error, signal, want) in cases {
            assert_eq!(code(&error, signal), want, "{error:#}");
        }
        assert!(is_broken_pipe(&Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing").unwrap_err()));
    }
}
