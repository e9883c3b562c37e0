//! How far the work is, on standard error: bars on a terminal, plain lines elsewhere, JSON lines for programs, nothing when quiet.
//!
//! Progress depends on clocks and never reaches a result: stages get a [`Progress`] and count into [`Bar`]s. What a whole run was
//! predicted to take tells how much of it is left.

mod event;
mod numbers;
mod whole;

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use event::{Event, What, millis};
pub use event::{SCHEMA, error_line};
pub use numbers::{count, duration};
use whole::Whole;
pub use whole::{Part, Predicted, Reached};

/// Least time between two lines of one stage when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The same for programs.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// How often what the whole run has reached is looked at while a stage counts.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where progress is shown.
#[derive(Debug)]
pub struct Progress {
    show: Show,
    /// Whether not even warnings are shown.
    silent: bool,
    started: Instant,
    whole: Arc<Mutex<Whole>>,
    /// The bar of the whole run, once it is planned.
    run: Arc<Mutex<Option<ProgressBar>>>,
}

#[derive(Debug)]
enum Show {
    Bars(MultiProgress),
    Lines,
    Json,
    Nothing,
}

/// A step of the whole run, over when it is dropped.
#[derive(Debug)]
pub struct Step<'a> {
    progress: &'a Progress,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let progress = self.progress;
        locked(&progress.whole).end();
        let Reached { done, left_seconds } = locked(&progress.whole).reached();
        match progress.show {
            Show::Json => {
                let at = progress.started.elapsed().as_secs_f64();
                let (run_done, run_left_seconds) = (Some(millis(done)), left_seconds.map(millis));
                line(&Event { run_done, run_left_seconds, ..Event::new(What::Run, at) }.line());
            }
            Show::Bars(_) => show_run(&progress.run, done, left_seconds),
            Show::Lines | Show::Nothing => {}
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves the bar of the whole run.
fn show_run(run: &Mutex<Option<ProgressBar>>, done: f64, left_seconds: Option<f64>) {
    if let Some(bar) = &*locked(run) {
        bar.set_position((done * 1e3) as u64);
        bar.set_message(left_seconds.map_or("how long is not known yet".into(), |left| format!("about {} left", duration(left))));
    }
}

impl Progress {
    /// Bars when standard error is a terminal, plain lines when it is not, only [`warn`](Self::warn)ings when `quiet`.
    pub fn new(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::shown(Show::Nothing),
            (false, true) => Self::shown(Show::Bars(MultiProgress::new())),
            (false, false) => Self::lines(),
        }
    }

    /// Plain lines, wherever standard error goes.
    pub fn lines() -> Self {
        Self::shown(Show::Lines)
    }

    /// One JSON object a line.
    pub fn json() -> Self {
        Self::shown(Show::Json)
    }

    /// Shows nothing at all.
    pub fn quiet() -> Self {
        let mut progress = Self::shown(Show::Nothing);
        progress.silent = true;
        progress
    }

    fn shown(show: Show) -> Self {
        Self { show, silent: false, started: Instant::now(), whole: Arc::default(), run: Arc::default() }
    }

    /// Adds work to the whole run. Its steps are announced by [`step`](Self::step).
    pub fn plan(&self, predicted: &Predicted) {
        locked(&self.whole).plan(predicted);
        let mut run = locked(&self.run);
        if let (Show::Bars(bars), None) = (&self.show, &*run) {
            let bar = bars.add(ProgressBar::new(1000));
            if let Ok(style) = ProgressStyle::with_template("{prefix:<28} {bar:24} {percent:>3} %  {msg}") {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar.set_prefix("the whole run");
            *run = Some(bar);
        }
    }

    /// Begins a step of the whole run that was predicted to take `seconds`.
    pub fn step(&self, part: Part, seconds: f64) -> Step<'_> {
        locked(&self.whole).begin(part, seconds);
        Step { progress: self }
    }

    /// How far the whole run is.
    pub fn reached(&self) -> Reached {
        locked(&self.whole).reached()
    }

    /// Begins a stage of `total` units of work, named in the plural ("tokens"); 0 when the amount is not known.
    ///
    /// The stage ends with [`Bar::finish`], or, without a summary, when the bar is dropped.
    pub fn stage(&self, name: impl Into<String>, total: u64, unit: &'static str) -> Bar {
        let name = store::plain(&name.into()).into_owned();
        let bar = match &self.show {
            Show::Bars(bars) => {
                let bar = ProgressBar::new(total);
                // the whole run stays below its stages
                let bar = match &*locked(&self.run) {
                    Some(run) => bars.insert_before(run, bar),
                    None => bars.add(bar),
                };
                let template =
                    if total > 0 { "{prefix:<28} {bar:24} {percent:>3} %  {msg}  {eta} left" } else { "{prefix:<28} {msg}" };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
                }
                bar.set_prefix(name.clone());
                Some(bar)
            }
            Show::Lines | Show::Json | Show::Nothing => None,
        };
        let now = Instant::now();
        let words = match self.show {
            Show::Lines => Words::Plain,
            Show::Json => Words::Json,
            Show::Bars(_) | Show::Nothing => Words::None,
        };
        let bar = Bar {
            name,
            total,
            unit,
            skipped: AtomicU64::new(0),
            done: AtomicU64::new(0),
            began: self.started,
            started: now,
            shown: Mutex::new(now),
            looked: Mutex::new(now),
            bar,
            words,
            whole: Arc::clone(&self.whole),
            run: Arc::clone(&self.run),
        };
        if let Words::Json = bar.words {
            line(&Event { stage: Some(&bar.name), unit: Some(unit), total: bar.known_total(), ..bar.event(What::Begin) }.line());
        }
        bar
    }

    /// One line that stays: a stage that was found finished, a warning.
    pub fn note(&self, text: &str) {
        match &self.show {
            // indicatif draws nothing when standard error is not a terminal, hence the two arms
            Show::Bars(bars) => bars.suspend(|| line(text)),
            Show::Lines => line(text),
            Show::Json => {
                line(&Event { text: Some(text), ..Event::new(What::Note, self.started.elapsed().as_secs_f64()) }.line());
            }
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

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = locked(&self.run).take() {
            bar.finish_and_clear();
        }
    }
}

/// How a stage is put into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Plain,
    Json,
    None,
}

/// One stage under way. Counting may happen from any thread.
#[derive(Debug)]
pub struct Bar {
    name: String,
    total: u64,
    unit: &'static str,
    skipped: AtomicU64,
    done: AtomicU64,
    /// When the command began.
    began: Instant,
    started: Instant,
    shown: Mutex<Instant>,
    looked: Mutex<Instant>,
    bar: Option<ProgressBar>,
    words: Words,
    whole: Arc<Mutex<Whole>>,
    run: Arc<Mutex<Option<ProgressBar>>>,
}

impl Bar {
    /// Counts `n` more units as done.
    pub fn inc(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        if is_due(&self.looked, LOOK_EVERY) && self.total > 0 {
            let mut whole = locked(&self.whole);
            whole.reach(self.reached() as f64 / self.total as f64);
            if self.bar.is_some() && whole.is_planned() {
                let Reached { done, left_seconds } = whole.reached();
                drop(whole);
                show_run(&self.run, done, left_seconds);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_message(self.rate(done));
            bar.inc(n);
        } else if self.words == Words::Plain && is_due(&self.shown, LINE_EVERY) {
            line(&format!("{}{}", self.status(done), self.run_in_words()));
        } else if self.words == Words::Json && is_due(&self.shown, JSON_EVERY) {
            line(&self.event(What::Progress).line());
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

    /// Units counted so far, with them.
    fn reached(&self) -> u64 {
        self.done() + self.skipped.load(Ordering::Relaxed)
    }

    fn known_total(&self) -> Option<u64> {
        Some(self.total).filter(|&total| total > 0)
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
        } else if self.words == Words::Plain {
            line(&text);
        } else if self.words == Words::Json {
            let text = Some(summary).filter(|summary| !summary.is_empty());
            line(&Event { text, left_seconds: None, ..self.event(What::End) }.line());
        }
    }

    fn rate(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        format!("{} {}, {}/s", count(done as f64), self.unit, count(done as f64 / seconds))
    }

    /// Seconds that are left of the stage when `done` units are counted.
    fn left(&self, done: u64) -> Option<f64> {
        let reached = done + self.skipped.load(Ordering::Relaxed);
        let known = self.total > 0 && done > 0;
        known.then(|| self.started.elapsed().as_secs_f64() * self.total.saturating_sub(reached) as f64 / done as f64)
    }

    fn status(&self, done: u64) -> String {
        let Some(left) = self.left(done) else { return format!("{}: {}", self.name, self.rate(done)) };
        let percent = 100.0 * (done + self.skipped.load(Ordering::Relaxed)) as f64 / self.total as f64;
        format!("{}: {percent:.0} %, {}, {} left", self.name, self.rate(done), duration(left))
    }

    /// How far the whole run is, behind the words of a stage.
    fn run_in_words(&self) -> String {
        let mut whole = locked(&self.whole);
        if !whole.is_planned() {
            return String::new();
        }
        let Reached { done, left_seconds } = whole.reached();
        let left = left_seconds.map_or(String::new(), |left| format!(", about {} left", duration(left)));
        format!("; the whole run: {:.0} %{left}", 100.0 * done)
    }

    /// What a program is told of the stage.
    fn event(&self, what: What) -> Event<'_> {
        let mut whole = locked(&self.whole);
        let run = whole.is_planned().then(|| whole.reached());
        Event {
            stage: Some(&self.name),
            unit: Some(self.unit),
            total: self.known_total(),
            done: Some(self.reached()),
            seconds: Some(millis(self.started.elapsed().as_secs_f64())),
            left_seconds: self.left(self.done()).map(millis),
            run_done: run.map(|run| millis(run.done)),
            run_left_seconds: run.and_then(|run| run.left_seconds).map(millis),
            ..Event::new(what, self.began.elapsed().as_secs_f64())
        }
    }
}

/// Whether `every` has gone by since the time that is kept, which is then now.
fn is_due(kept: &Mutex<Instant>, every: Duration) -> bool {
    let mut kept = locked(kept);
    let due = kept.elapsed() >= every;
    if due {
        *kept = Instant::now();
    }
    due
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

#[cfg(test)]
mod tests;
