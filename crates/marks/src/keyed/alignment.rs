//! Alignment of a text to a sequence of key rows: how well the text follows the rows from some place on, a few edits allowed.
//! Kuditipudi et al. 2023 (methods a4).

/// Scores of the distinct tokens of some texts at every row of a key.
pub(crate) struct Table {
    /// (rows, tokens).
    scores: Vec<f32>,
    tokens: usize,
    /// The largest score of each token.
    largest: Vec<f32>,
}

impl Table {
    /// From the scores (rows, tokens).
    pub fn new(scores: Vec<f32>, tokens: usize) -> Self {
        let mut largest = vec![f32::NEG_INFINITY; tokens];
        for row in scores.chunks(tokens.max(1)) {
            for (largest, score) in largest.iter_mut().zip(row) {
                *largest = largest.max(*score);
            }
        }
        Self { scores, tokens, largest }
    }

    fn rows(&self) -> usize {
        self.scores.len() / self.tokens.max(1)
    }

    fn at(&self, row: usize, token: Option<u32>) -> f64 {
        token.map_or(0.0, |token| f64::from(self.scores[row * self.tokens + token as usize]))
    }
}

/// How texts may lie along the rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alignment {
    /// Rows at which a text may begin.
    pub starts: Vec<usize>,
    /// Most tokens and rows, one taken off the other, that are left out on the way; 0 lets every token meet the next row.
    pub edits: usize,
    /// What a token or a row that is left out costs.
    pub gap: f64,
}

impl Alignment {
    /// The largest total score of `text` over all starts; `None` among its tokens has no score. The last row is followed by the first.
    /// A start is left as soon as the best that the rest of the text could add is no more than what another start gave.
    pub fn best(&self, text: &[Option<u32>], table: &Table) -> f64 {
        // the most that can come from each place on
        let mut rest = vec![0.0; text.len() + 1];
        for (at, token) in text.iter().enumerate().rev() {
            let most = token.map_or(0.0, |token| f64::from(table.largest[token as usize]));
            rest[at] = rest[at + 1] + if self.edits == 0 { most } else { most.max(-self.gap) };
        }
        let (mut best, mut band) = (f64::NEG_INFINITY, Band::default());
        for &start in &self.starts {
            let total = if self.edits == 0 {
                straight(text, table, start, &rest, best)
            } else {
                self.edited(text, table, start, &rest, best, &mut band)
            };
            best = best.max(total);
        }
        best
    }

    /// The best total from `start` on with edits, or anything not above `best`.
    fn edited(&self, text: &[Option<u32>], table: &Table, start: usize, rest: &[f64], best: f64, band: &mut Band) -> f64 {
        let (edits, rows) = (self.edits as isize, table.rows());
        let width = 2 * self.edits + 1;
        // by the number of rows met less the number of tokens read, from -edits on
        band.old.clear();
        band.old.extend((-edits..=edits).map(|ahead| if ahead < 0 { f64::NEG_INFINITY } else { -self.gap * ahead as f64 }));
        for (at, token) in text.iter().enumerate() {
            band.new.clear();
            let mut most = f64::NEG_INFINITY;
            for place in 0..width {
                let ahead = place as isize - edits;
                // rows met before this one
                let met = at as isize + ahead;
                let matched =
                    if met < 0 { f64::NEG_INFINITY } else { band.old[place] + table.at((start + met as usize) % rows, *token) };
                let token_left_out = band.old.get(place + 1).map_or(f64::NEG_INFINITY, |before| before - self.gap);
                let row_left_out = band.new.last().map_or(f64::NEG_INFINITY, |before| before - self.gap);
                let total = matched.max(token_left_out).max(row_left_out);
                band.new.push(total);
                most = most.max(total);
            }
            if most + rest[at + 1] <= best {
                return best;
            }
            std::mem::swap(&mut band.old, &mut band.new);
        }
        band.old.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Two lines of a table of totals, written again for each token.
#[derive(Default)]
struct Band {
    old: Vec<f64>,
    new: Vec<f64>,
}

/// The total of `text` whose tokens meet the rows one after the other from `start` on, or anything not above `best`.
fn straight(text: &[Option<u32>], table: &Table, start: usize, rest: &[f64], best: f64) -> f64 {
    let (rows, mut total, mut row) = (table.rows(), 0.0, start);
    for (at, token) in text.iter().enumerate() {
        total += table.at(row, *token);
        if total + rest[at + 1] <= best {
            return best;
        }
        row = if row + 1 == rows { 0 } else { row + 1 };
    }
    total
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// All ways, by recursion, without bounds.
    fn slow(text: &[Option<u32>], table: &Table, row: usize, ahead: isize, edits: isize, gap: f64) -> f64 {
        if ahead.abs() > edits {
            return f64::NEG_INFINITY;
        }
        let row_left_out = if ahead < edits {
            slow(text, table, (row + 1) % table.rows(), ahead + 1, edits, gap) - gap
        } else {
            f64::NEG_INFINITY
        };
        let Some((token, rest)) = text.split_first() else { return 0.0_f64.max(row_left_out) };
        let matched = table.at(row, *token) + slow(rest, table, (row + 1) % table.rows(), ahead, edits, gap);
        let token_left_out = slow(rest, table, row, ahead - 1, edits, gap) - gap;
        matched.max(token_left_out).max(row_left_out)
    }

    #[test]
    fn the_best_alignment_is_found_whatever_is_left_early() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for round in 0..60 {
            let (rows, tokens, length) = (3 + round % 4, 4, 1 + round % 6);
            let sign = if round % 2 == 0 { 1.0 } else { -1.0 };
            let scores = (0..rows * tokens).map(|_| sign * rng.random::<f32>()).collect();
            let table = Table::new(scores, tokens);
            let text: Vec<Option<u32>> = (0..length).map(|_| Some(rng.random_range(0..5)).filter(|token| *token < 4)).collect();
            for (edits, gap) in [(0, 0.3), (1, 0.3), (2, 0.0), (2, 0.15)] {
                let alignment = Alignment { starts: (0..rows).collect(), edits, gap };
                let exact =
                    (0..rows).map(|start| slow(&text, &table, start, 0, edits as isize, gap)).fold(f64::NEG_INFINITY, f64::max);
                let best = alignment.best(&text, &table);
                assert!((best - exact).abs() < 1e-9, "{edits} edits, round {round}: {best} for {exact}");
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
        let total = |edits| Alignment { starts: (0..rows).collect(), edits, gap: 0.5 }.best(&text, &table);
        assert_eq!((total(0), total(1)), (4.0, 5.5));
        assert_eq!(Alignment { starts: vec![0], edits: 0, gap: 0.0 }.best(&text, &table), 0.0);
        assert_eq!(Alignment { starts: vec![2], edits: 0, gap: 0.0 }.best(&[None, None], &table), 0.0);
    }
}
