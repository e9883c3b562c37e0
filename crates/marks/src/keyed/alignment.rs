//! Alignment of a text to a sequence of key rows: how well the text follows the rows from some place on, a few edits allowed.
//! Kuditipudi et al. 2023 (methods a4).

use std::ops::Range;

/// Scores of the distinct tokens of some texts at every row of a key.
pub(crate) struct Table {
    /// (tokens, rows).
    scores: Vec<f32>,
    rows: usize,
}

impl Table {
    /// From the scores (tokens, rows).
    pub fn new(scores: Vec<f32>, rows: usize) -> Self {
        Self { scores, rows }
    }

    /// `to` and the scores of `token` at `row` and the rows after it, one for each of `from`; `None` scores 0 everywhere. The last row is
    /// followed by the first.
    fn add(&self, token: Option<u32>, row: usize, from: &[f64], to: &mut [f64]) {
        let Some(token) = token else { return to.copy_from_slice(from) };
        let line = &self.scores[token as usize * self.rows..][..self.rows];
        let (mut row, mut done) = (row % self.rows, 0);
        while done < to.len() {
            let next = (done + self.rows - row).min(to.len());
            let scores = &line[row..row + next - done];
            for ((to, from), score) in to[done..next].iter_mut().zip(&from[done..next]).zip(scores) {
                *to = from + f64::from(*score);
            }
            (row, done) = (0, next);
        }
    }
}

/// How texts may lie along the rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alignment {
    /// Rows at which a text may begin: those of one range are tried side by side.
    pub starts: Vec<Range<usize>>,
    /// Most tokens and rows, one taken off the other, that are left out on the way; 0 lets every token meet the next row.
    pub edits: usize,
    /// What a token or a row that is left out costs.
    pub gap: f64,
}

impl Alignment {
    /// The largest total score of `text` over all starts; `None` among its tokens has no score. The last row is followed by the first.
    pub fn best(&self, text: &[Option<u32>], table: &Table) -> f64 {
        let mut band = Band::default();
        let totals = self.starts.iter().map(|starts| self.best_of(text, table, starts, &mut band));
        totals.fold(f64::NEG_INFINITY, f64::max)
    }

    /// The best total from one of `starts` on. A lane of the band is what stands so many rows ahead of the tokens read, one number for
    /// each start.
    fn best_of(&self, text: &[Option<u32>], table: &Table, starts: &Range<usize>, band: &mut Band) -> f64 {
        let (edits, count) = (self.edits, starts.len());
        let width = 2 * edits + 1;
        band.old.clear();
        // by the number of rows met less the number of tokens read, from -edits on
        for lane in 0..width {
            let total = if lane < edits { f64::NEG_INFINITY } else { -self.gap * (lane - edits) as f64 };
            band.old.resize(band.old.len() + count, total);
        }
        // every number of it is written before it is read
        band.new.resize(width * count, 0.0);
        for (at, token) in text.iter().enumerate() {
            for lane in 0..width {
                let (before, rest) = band.new.split_at_mut(lane * count);
                let (new, old) = (&mut rest[..count], &band.old[lane * count..]);
                // rows met before this one: at + lane - edits
                match (at + lane).checked_sub(edits) {
                    Some(met) => table.add(*token, starts.start + met, &old[..count], new),
                    None => new.fill(f64::NEG_INFINITY),
                }
                let token_left_out = &old[count..];
                let row_left_out = &before[before.len() - if lane > 0 { count } else { 0 }..];
                for left_out in [token_left_out, row_left_out] {
                    new.iter_mut().zip(left_out).for_each(|(total, before)| *total = total.max(before - self.gap));
                }
            }
            std::mem::swap(&mut band.old, &mut band.new);
        }
        band.old.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Two lines of a table of totals (lanes, starts), written again for each token.
#[derive(Default)]
struct Band {
    old: Vec<f64>,
    new: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// One range of starts.
    fn of(starts: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(starts).collect()
    }

    fn score(table: &Table, row: usize, token: Option<u32>) -> f64 {
        token.map_or(0.0, |token| f64::from(table.scores[token as usize * table.rows + row]))
    }

    /// All ways, by recursion, without bounds.
    fn slow(text: &[Option<u32>], table: &Table, row: usize, ahead: isize, edits: isize, gap: f64) -> f64 {
        if ahead.abs() > edits {
            return f64::NEG_INFINITY;
        }
        let row_left_out = if ahead < edits {
            slow(text, table, (row + 1) % table.rows, ahead + 1, edits, gap) - gap
        } else {
            f64::NEG_INFINITY
        };
        let Some((token, rest)) = text.split_first() else { return 0.0_f64.max(row_left_out) };
        let matched = score(table, row, *token) + slow(rest, table, (row + 1) % table.rows, ahead, edits, gap);
        let token_left_out = slow(rest, table, row, ahead - 1, edits, gap) - gap;
        matched.max(token_left_out).max(row_left_out)
    }

    #[test]
    fn the_best_alignment_is_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for round in 0..60 {
            let (rows, tokens, length) = (3 + round % 4, 4, 1 + round % 6);
            let sign = if round % 2 == 0 { 1.0 } else { -1.0 };
            let scores = (0..rows * tokens).map(|_| sign * rng.random::<f32>()).collect();
            let table = Table::new(scores, rows);
            let text: Vec<Option<u32>> = (0..length).map(|_| Some(rng.random_range(0..5)).filter(|token| *token < 4)).collect();
            for (edits, gap) in [(0, 0.3), (1, 0.3), (2, 0.0), (2, 0.15)] {
                let exact =
                    (0..rows).map(|start| slow(&text, &table, start, 0, edits as isize, gap)).fold(f64::NEG_INFINITY, f64::max);
                // side by side, or one after the other
                for starts in [of(0..rows), (0..rows).map(|row| row..row + 1).collect(), vec![0..1, 1..rows]] {
                    let best = Alignment { starts, edits, gap }.best(&text, &table);
                    assert!((best - exact).abs() < 1e-9, "{edits} edits, round {round}: {best} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_lost_token_costs_one_gap_and_not_the_rest() {
        // rows that like exactly the tokens 0, 1, 2, ...
        let rows = 12;
        let scores = (0..rows * rows).map(|i| if i / rows == i % rows { 1.0 } else { 0.0 }).collect();
        let table = Table::new(scores, rows);
        let text: Vec<Option<u32>> = [3, 4, 6, 7, 8, 9].map(Some).to_vec();
        let total = |edits| Alignment { starts: of(0..rows), edits, gap: 0.5 }.best(&text, &table);
        assert_eq!((total(0), total(1)), (4.0, 5.5));
        assert_eq!(Alignment { starts: of(0..1), edits: 0, gap: 0.0 }.best(&text, &table), 0.0);
        assert_eq!(Alignment { starts: of(2..3), edits: 0, gap: 0.0 }.best(&[None, None], &table), 0.0);
    }
}
