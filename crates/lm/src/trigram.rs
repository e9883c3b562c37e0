//! The baseline that a trained model must beat: an interpolated trigram model.
//!
//! p3(w | u v) = a(u v) f(w | u v) + (1 - a(u v)) p2(w | v), and so on down to the uniform law, with f the relative
//! frequencies (Jelinek & Mercer 1980). The weights a are shared by contexts of similar count and similar average count per
//! distinct follower, which Chen & Goodman (1999, sections 2.3 and 4.1.1) found the best classes, and are fitted by EM on a
//! held-out tenth of the documents against counts of the rest (deleted interpolation). The counts are then taken over all.

use oracle::TokenId;

/// An interpolated trigram model over token ids.
pub struct Trigram {
    vocab_size: usize,
    /// Contexts of 2, 1 and 0 tokens, in this order.
    orders: [Order; 3],
    /// Weight of each order's own frequencies by class of context.
    weights: [Vec<f64>; 3],
}

/// Rounds of EM; the held-out likelihood changes by less than 1e-4 nats after about ten.
const ROUNDS: usize = 25;

/// Classes per axis: powers of two of the context's count and of its average count per distinct follower.
const COUNT_CLASSES: usize = 24;
const AVERAGE_CLASSES: usize = 12;

/// Every so many documents, one is held out.
const HELD_OUT: usize = 10;

impl Trigram {
    /// Counts `documents`, which hold about `tokens` tokens; the first token of each (its beginning token) is context only.
    /// About 20 bytes per token.
    ///
    /// # Panics
    /// When a token id is not below `vocab_size`, or that is beyond 2^21 - 2.
    pub fn count<D: AsRef<[TokenId]>>(documents: impl IntoIterator<Item = D>, tokens: usize, vocab_size: usize) -> Self {
        assert!(vocab_size < (1 << 21) - 1, "three ids must fit one u64");
        let room = tokens.min(1 << 24);
        let (mut counted, mut held_out) = (Vec::with_capacity(room), Vec::with_capacity(room / HELD_OUT));
        for (at, document) in documents.into_iter().enumerate() {
            let part = if at % HELD_OUT == HELD_OUT - 1 { &mut held_out } else { &mut counted };
            part.extend(events(document.as_ref(), vocab_size));
        }
        let mut fitted = Self {
            vocab_size,
            orders: Order::all(&mut counted),
            weights: std::array::from_fn(|_| vec![0.5; COUNT_CLASSES * AVERAGE_CLASSES]),
        };
        fitted.fit(&held_out);
        fitted.orders = [Order::default(), Order::default(), Order::default()];
        counted.append(&mut held_out);
        fitted.orders = Order::all(&mut counted);
        fitted
    }

    /// Mean negative natural-log probability of a token, over all but the first token of each of `documents`; NaN when
    /// there is none.
    pub fn nats_per_token<D: AsRef<[TokenId]>>(&self, documents: &[D]) -> f64 {
        let (mut nats, mut tokens) = (0.0, 0_u64);
        for event in documents.iter().flat_map(|document| events(document.as_ref(), self.vocab_size)) {
            nats -= libm::log(self.probability(event));
            tokens += 1;
        }
        nats / tokens as f64
    }

    /// Probability of the event's last token after its first two.
    fn probability(&self, event: u64) -> f64 {
        let mut probability = 1.0 / self.vocab_size as f64;
        for (order, weights) in self.orders.iter().zip(&self.weights).rev() {
            if let Some((Class(class), frequency)) = order.look_up(event) {
                probability += weights[usize::from(class)] * (frequency - probability);
            }
        }
        probability
    }

    /// Expectation maximisation of the weights on held-out events: a class's weight becomes the mean posterior
    /// probability that a token was drawn from that order given that no higher order drew it.
    fn fit(&mut self, held_out: &[u64]) {
        // What an event needs does not change between rounds.
        let seen: Vec<[Option<(Class, f64)>; 3]> =
            held_out.iter().map(|event| self.orders.each_ref().map(|order| order.look_up(*event))).collect();
        for _ in 0..ROUNDS {
            let mut own: [Vec<f64>; 3] = std::array::from_fn(|_| vec![0.0; COUNT_CLASSES * AVERAGE_CLASSES]);
            let mut reached = own.clone();
            for event in &seen {
                // below[i]: probability by orders i and lower.
                let mut below = [1.0 / self.vocab_size as f64; 4];
                for i in (0..3).rev() {
                    below[i] = below[i + 1];
                    if let Some((Class(class), frequency)) = event[i] {
                        let class = usize::from(class);
                        below[i] += self.weights[i][class] * (frequency - below[i + 1]);
                    }
                }
                let mut left = 1.0;
                for i in 0..3 {
                    let Some((Class(class), frequency)) = event[i] else { continue };
                    let class = usize::from(class);
                    let drawn = self.weights[i][class] * frequency / below[i];
                    own[i][class] += left * drawn;
                    reached[i][class] += left;
                    left *= 1.0 - drawn;
                }
            }
            for i in 0..3 {
                for (class, weight) in self.weights[i].iter_mut().enumerate() {
                    // A weight stays below 1 so that no token is impossible; unseen classes keep what they began with.
                    if reached[i][class] > 0.0 {
                        *weight = (own[i][class] / reached[i][class]).min(0.9999);
                    }
                }
            }
        }
    }
}

/// Every scored token of a document with the two before it, packed 21 bits each; before the first stands `vocab_size`.
fn events(document: &[TokenId], vocab_size: usize) -> impl Iterator<Item = u64> + '_ {
    (1..document.len()).map(move |i| {
        let before = if i == 1 { vocab_size as u64 } else { u64::from(document[i - 2]) };
        before << 42 | u64::from(document[i - 1]) << 21 | u64::from(document[i])
    })
}

/// Class of a context, by its count and its average count per distinct follower.
#[derive(Clone, Copy)]
struct Class(u16);

/// Counts of one order: sorted n-grams, and sorted contexts with their totals.
#[derive(Default)]
struct Order {
    /// Which bits of an event this order sees.
    mask: u64,
    grams: Vec<(u64, u32)>,
    /// Context, its count, its number of distinct followers.
    contexts: Vec<(u64, u32, u32)>,
}

impl Order {
    /// Counts of `events`, which are sorted in place; each order is counted from the distinct n-grams of the one above.
    fn all(events: &mut [u64]) -> [Self; 3] {
        const MASKS: [u64; 3] = [(1 << 63) - 1, (1 << 42) - 1, (1 << 21) - 1];
        events.sort_unstable();
        let trigrams = events.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u32));
        let [trigram, bigram, unigram] = MASKS;
        let trigrams = Self::of(trigram, trigrams);
        let bigrams = Self::of(bigram, trigrams.masked(bigram));
        let unigrams = Self::of(unigram, bigrams.masked(unigram));
        [trigrams, bigrams, unigrams]
    }

    fn of(mask: u64, grams: impl Iterator<Item = (u64, u32)>) -> Self {
        let mut grams: Vec<_> = grams.collect();
        grams.shrink_to_fit();
        let contexts = grams
            .chunk_by(|a, b| a.0 >> 21 == b.0 >> 21)
            .map(|group| (group[0].0 >> 21, group.iter().map(|(_, n)| n).sum(), group.len() as u32))
            .collect();
        Self { mask, grams, contexts }
    }

    /// The n-grams of a lower order, in order.
    fn masked(&self, mask: u64) -> impl Iterator<Item = (u64, u32)> + use<> {
        let mut grams: Vec<_> = self.grams.iter().map(|(gram, n)| (gram & mask, *n)).collect();
        grams.sort_unstable_by_key(|(gram, _)| *gram);
        grams.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        grams.into_iter()
    }

    /// Class of the event's context and relative frequency of its last token there; None for a context never seen.
    fn look_up(&self, event: u64) -> Option<(Class, f64)> {
        let event = event & self.mask;
        let context = self.contexts.binary_search_by_key(&(event >> 21), |(context, ..)| *context).ok()?;
        let (_, total, distinct) = self.contexts[context];
        let count = self.grams.binary_search_by_key(&event, |(gram, _)| *gram).map_or(0, |at| self.grams[at].1);
        let average = total / distinct;
        let class = (total.ilog2() as usize).min(COUNT_CLASSES - 1) * AVERAGE_CLASSES
            + (average.ilog2() as usize).min(AVERAGE_CLASSES - 1);
        Some((Class(class as u16), f64::from(count) / f64::from(total)))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    const VOCAB: usize = 12;

    /// Documents of a second-order source: with probability 3/4 the next token is (2 u + v) mod 11 + 1, else uniform.
    fn documents(n: usize, seed: u64) -> Vec<Vec<TokenId>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let mut ids = vec![0, rng.next_u32() % 11 + 1];
                while ids.len() < 30 {
                    let rule = (2 * ids[ids.len() - 2] + ids[ids.len() - 1]) % 11 + 1;
                    ids.push(if rng.next_u32() % 4 > 0 { rule } else { rng.next_u32() % 11 + 1 });
                }
                ids
            })
            .collect()
    }

    #[test]
    fn it_reaches_the_entropy_of_a_second_order_source() {
        let trigram = Trigram::count(documents(4000, 1), 120_000, VOCAB);
        // 28 of 29 tokens: 3/4 + 1/44 on the rule's token, 1/44 on ten others; the first is uniform over eleven.
        let (hit, miss) = (0.75_f64 + 1.0 / 44.0, 1.0_f64 / 44.0);
        let entropy = (28.0 * -(hit * libm::log(hit) + 10.0 * miss * libm::log(miss)) + libm::log(11_f64)) / 29.0;
        let nats = trigram.nats_per_token(&documents(2000, 2));
        // 58,000 tokens with a standard deviation near 1.3 nats: 0.02 is 3.7 standard errors and more than the price of
        // estimating 121 contexts from 116,000 tokens.
        assert!((nats - entropy).abs() < 0.02, "{nats} against {entropy}");
    }

    #[test]
    fn probabilities_sum_to_one_in_seen_and_unseen_contexts() {
        let trigram = Trigram::count(documents(30, 3), 900, VOCAB);
        for context in [[0, 3], [5, 7], [0, 0], [VOCAB as u64, 0]] {
            let sum: f64 = (0..VOCAB as u64).map(|w| trigram.probability(context[0] << 42 | context[1] << 21 | w)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{context:?}: {sum}");
        }
    }

    #[test]
    fn without_documents_it_is_uniform() {
        let trigram = Trigram::count(Vec::<Vec<TokenId>>::new(), 0, VOCAB);
        assert!((trigram.nats_per_token(&documents(3, 4)) - libm::log(VOCAB as f64)).abs() < 1e-12);
        assert!(trigram.nats_per_token(&[vec![0]]).is_nan());
    }
}
