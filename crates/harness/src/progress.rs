//! How far the work is, on standard error: bars on a terminal, plain lines elsewhere, nothing when quiet.
//!
//! Progress depends on clocks and never reaches a result: stages get a [`Progress`] and count into [`Bar`]s.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Least time between two lines of one stage when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where progress is shown.
#[derive(Debug)]
pub struct Progress {
    show: Show,
    /// Whether not even warnings are shown.
    silent: bool,
}

#[derive(Debug)]
enum Show {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

impl Progress {
    /// Bars when standard error is a terminal, plain lines when it is not, only [`warn`](Self::warn)ings when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let show = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Bars(MultiProgress::new()),
            (false, false) => Show::Lines,
        };
        Self { show, silent: false }
    }

    /// Shows nothing at all.
    pub fn quiet() -> Self {
        Self { show: Show::Nothing, silent: true }
    }

    /// Begins a stage of `total` units of work, named in the plural ("tokens"); 0 when the amount is not known.
    ///
    /// The stage ends with [`Bar::finish`], or, without a summary, when the bar is dropped.
    pub fn stage(&self, name: impl Into<String>, total: u64, unit: &'static str) -> Bar {
        let name = store::plain(&name.into()).into_owned();
        let bar = match &self.show {
            Show::Bars(bars) => {
                let bar = bars.add(ProgressBar::new(total));
                let template =
                    if total > 0 { "{prefix:<28} {bar:24} {percent:>3} %  {msg}  {eta} left" } else { "{prefix:<28} {msg}" };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
                }
                bar.set_prefix(name.clone());
                Some(bar)
            }
            Show::Lines | Show::Nothing => None,
        };
        let now = Instant::now();
        let lines = matches!(self.show, Show::Lines);
        Bar {
            name,
            total,
            unit,
            skipped: AtomicU64::new(0),
            done: AtomicU64::new(0),
            started: now,
            shown: Mutex::new(now),
            bar,
            lines,
        }
    }

    /// One line that stays: a stage that was found finished, a warning.
    pub fn note(&self, text: &str) {
        match &self.show {
            // indicatif draws nothing when standard error is not a terminal, hence the two arms
            Show::Bars(bars) => bars.suspend(|| line(text)),
            Show::Lines => line(text),
            Show::Nothing => {}
        }
    }

    /// One line that is shown even when quiet: why nothing goes on, or what a reader of the results must know.
    pub fn warn(&self, text: &str) {
        match &self.show {
            Show::Nothing if self.silent => {}
            Show::Nothing => line(text),
            _ => self.note(text),
        }
    }
}

/// One stage under way. Counting may happen from any thread.
#[derive(Debug)]
pub struct Bar {
    name: String,
    total: u64,
    unit: &'static str,
    skipped: AtomicU64,
    done: AtomicU64,
    started: Instant,
    shown: Mutex<Instant>,
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Bar {
    /// Counts `n` more units as done.
    pub fn inc(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        if let Some(bar) = &self.bar {
            bar.set_message(self.rate(done));
            bar.inc(n);
        } else if self.lines {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.elapsed() >= LINE_EVERY {
                *shown = Instant::now();
                line(&self.status(done));
            }
        }
    }

    /// Notes `n` units as done by an earlier process: part of the stage, not of its rate.
    pub fn skip(&self, n: u64) {
        self.skipped.fetch_add(n, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(n);
            bar.reset_eta();
        }
    }

    /// Units counted so far, without those [skipped](Self::skip).
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends the stage with one line that says what came of it.
    pub fn finish(self, summary: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let done = self.done();
        let work = if done > 0 { format!(", {}", self.rate(done)) } else { String::new() };
        let text = if summary.is_empty() { String::new() } else { format!(": {summary}") };
        let text = format!("{}{text} ({}{work})", self.name, duration(seconds));
        if let Some(bar) = &self.bar {
            bar.suspend(|| line(&text));
        } else if self.lines {
            line(&text);
        }
    }

    fn rate(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        format!("{} {}, {}/s", count(done as f64), self.unit, count(done as f64 / seconds))
    }

    fn status(&self, done: u64) -> String {
        if self.total == 0 || done == 0 {
            return format!("{}: {}", self.name, self.rate(done));
        }
        let reached = done + self.skipped.load(Ordering::Relaxed);
        let left = self.started.elapsed().as_secs_f64() * self.total.saturating_sub(reached) as f64 / done as f64;
        let percent = 100.0 * reached as f64 / self.total as f64;
        format!("{}: {percent:.0} %, {}, {} left", self.name, self.rate(done), duration(left))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line on standard error; a closed standard error is no reason to stop working.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", store::plain(text));
}

/// A count for people: three digits and a unit prefix.
pub fn count(x: f64) -> String {
    let (scaled, prefix) = match x.abs() {
        size if size >= 1e15 => return format!("{x:.2e}"),
        size if size >= 1e12 => (x / 1e12, " T"),
        size if size >= 1e9 => (x / 1e9, " G"),
        size if size >= 1e6 => (x / 1e6, " M"),
        size if size >= 1e4 => (x / 1e3, " k"),
        _ => return format!("{x:.0}"),
    };
    if scaled.abs() < 10.0 {
        format!("{scaled:.2}{prefix}")
    } else if scaled.abs() < 100.0 {
        format!("{scaled:.1}{prefix}")
    } else {
        format!("{scaled:.0}{prefix}")
    }
}

/// A duration for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s if s < 172_800.0 => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (x, want) in
            [(0.0, "0"), (950.0, "950"), (9_999.0, "9999"), (40_960.0, "41.0 k"), (2e6, "2.00 M"), (1.234e11, "123 G")]
        {
            assert_eq!(count(x), want);
        }
        for (x, want) in [(0.0, "0.0 s"), (75.0, "75 s"), (130.0, "2 min 10 s"), (8000.0, "2 h 13 min"), (1e6, "11.6 days")] {
            assert_eq!(duration(x), want);
        }
    }

    #[test]
    fn a_bar_counts_from_any_thread() {
        let bar = Progress::quiet().stage("work", 100, "tokens");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| bar.inc(1)));
            }
        });
        assert_eq!(bar.done(), 100);
        assert!(bar.status(50).starts_with("work: 50 %, 50 tokens, "), "{}", bar.status(50));
        bar.finish("done");
    }

    #[test]
    fn what_an_earlier_process_did_counts_for_the_share_only() {
        let bar = Progress::quiet().stage("work", 100, "tokens");
        bar.skip(60);
        bar.inc(20);
        assert!(bar.status(bar.done()).starts_with("work: 80 %, 20 tokens, "), "{}", bar.status(20));
    }
}
