//! How far a whole run is: predicted seconds by part of the work, corrected by what the parts that were done really took.

use std::time::Instant;

/// A part of the work whose speed is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Teachers, clean twins, strangers, bases.
    Models,
    /// Transcripts and what is distilled from them.
    Students,
    /// Marks and metrics.
    Measuring,
}

/// Predicted seconds of the parts of some work, on whatever machine: only their proportions are believed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Predicted {
    /// Of [`Part::Models`].
    pub models: f64,
    /// Of [`Part::Students`].
    pub students: f64,
    /// Of [`Part::Measuring`].
    pub measuring: f64,
}

impl Predicted {
    /// Of one of `n` equal parts.
    #[must_use]
    pub fn of_one(&self, n: usize) -> Self {
        let n = n.max(1) as f64;
        Self { models: self.models / n, students: self.students / n, measuring: self.measuring / n }
    }

    fn all(&self) -> [f64; 3] {
        [self.models, self.students, self.measuring]
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// Share that is done, 0 to 1; it never falls.
    pub done: f64,
    /// Seconds that are left, about; `None` before anything was done here.
    pub left_seconds: Option<f64>,
}

/// A step that took less than this share of what was predicted was found, not done.
const FOUND: f64 = 0.02;

/// The work of a whole run.
#[derive(Debug, Default)]
pub struct Whole {
    /// Predicted seconds of everything, by part.
    total: [f64; 3],
    /// Of the steps that are over, found or done.
    over: [f64; 3],
    /// Of the steps that were done here, and what they took.
    done: [(f64, f64); 3],
    /// The step under way, its predicted seconds, when it began, and the share of it that is done.
    current: Option<(Part, f64, Instant, f64)>,
    shown: f64,
}

impl Whole {
    /// Adds work to be done.
    pub fn plan(&mut self, predicted: &Predicted) {
        for (total, more) in self.total.iter_mut().zip(predicted.all()) {
            *total += more.max(0.0);
        }
    }

    /// Whether anything was planned.
    pub fn is_planned(&self) -> bool {
        self.total.iter().sum::<f64>() > 0.0
    }

    /// A step of `part` begins, which was predicted to take `seconds`.
    pub fn begin(&mut self, part: Part, seconds: f64) {
        self.current = Some((part, seconds.max(0.0), Instant::now(), 0.0));
    }

    /// The step under way has reached `share`.
    pub fn reach(&mut self, share: f64) {
        if let Some((.., reached)) = &mut self.current {
            *reached = share.clamp(*reached, 1.0);
        }
    }

    /// The step under way is over.
    pub fn end(&mut self) {
        if let Some((part, predicted, began, _)) = self.current.take() {
            self.over(part, predicted, began.elapsed().as_secs_f64());
        }
    }

    fn over(&mut self, part: Part, predicted: f64, took: f64) {
        self.over[part as usize] += predicted;
        if took >= FOUND * predicted {
            let (of, seconds) = &mut self.done[part as usize];
            (*of, *seconds) = (*of + predicted, *seconds + took);
        }
    }

    /// How far it is.
    pub fn reached(&mut self) -> Reached {
        let mut done = self.done;
        let mut over = self.over;
        if let Some((part, predicted, began, share)) = self.current {
            over[part as usize] += predicted * share;
            let took = began.elapsed().as_secs_f64();
            if share > 0.0 && took >= FOUND * predicted * share {
                let (of, seconds) = &mut done[part as usize];
                (*of, *seconds) = (*of + predicted * share, *seconds + took);
            }
        }
        let sum = done.iter().fold((0.0, 0.0), |(a, b), (of, seconds)| (a + of, b + seconds));
        let ratio = |(of, seconds): (f64, f64)| (of > 0.0).then(|| seconds / of);
        let every = ratio(sum);
        // a part of which nothing was seen goes as all others do
        let speed = done.map(|part| ratio(part).or(every).unwrap_or(1.0));
        let of = |amounts: &[f64; 3]| amounts.iter().zip(&speed).map(|(amount, speed)| amount * speed).sum::<f64>();
        let (total, over) = (of(&self.total), of(&over));
        let share = if total > 0.0 { (over / total).clamp(0.0, 1.0) } else { 0.0 };
        self.shown = self.shown.max(share);
        Reached { done: self.shown, left_seconds: every.map(|_| (total - over).max(0.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_was_done_here() {
        let mut whole = Whole::default();
        assert!(!whole.is_planned());
        whole.plan(&Predicted { models: 10.0, students: 60.0, measuring: 30.0 });
        assert_eq!(whole.reached(), Reached { done: 0.0, left_seconds: None });
        // a machine half as fast as assumed
        whole.over(Part::Models, 10.0, 20.0);
        let reached = whole.reached();
        assert!((reached.done - 0.1).abs() < 1e-9 && (reached.left_seconds.unwrap() - 180.0).abs() < 1e-6, "{reached:?}");
        // students that were found take no time, and say nothing of speed
        whole.over(Part::Students, 30.0, 0.01);
        assert!((whole.reached().left_seconds.unwrap() - 120.0).abs() < 1e-6);
        // measuring goes four times as fast as assumed
        whole.over(Part::Measuring, 20.0, 5.0);
        let left = whole.reached().left_seconds.unwrap();
        let every = 25.0 / 30.0;
        assert!((left - (30.0 * every + 10.0 * 0.25)).abs() < 1e-6, "{left}");
    }

    #[test]
    fn the_share_never_falls_and_a_step_under_way_counts() {
        let mut whole = Whole::default();
        whole.plan(&Predicted { models: 50.0, students: 50.0, measuring: 0.0 });
        whole.begin(Part::Models, 50.0);
        whole.reach(0.5);
        let half = whole.reached().done;
        assert!((half - 0.25).abs() < 1e-9, "{half}");
        whole.reach(0.1);
        assert!(whole.reached().done >= half);
        whole.end();
        assert!((whole.reached().done - 0.5).abs() < 1e-9);
    }
}
