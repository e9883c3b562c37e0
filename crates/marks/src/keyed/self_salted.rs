//! Lists that a token chooses by itself: whether it is raised is asked for the most probable candidates alone.

use oracle::TokenId;

/// Raises those of the `count` candidates of the largest logits for which `is_green` says so of the window: `context`, then candidate.
/// Equal logits: the lowest id first.
pub(crate) fn raise_candidates(
    context: &[TokenId],
    count: usize,
    bias: f32,
    logits: &mut [f32],
    is_green: impl Fn(&[TokenId]) -> bool,
) {
    let mut window = [context, &[0]].concat();
    for candidate in largest(logits, count) {
        window[context.len()] = candidate;
        if is_green(&window) {
            logits[candidate as usize] += bias;
        }
    }
}

/// Ids of the `count` largest logits that are more than minus infinity.
fn largest(logits: &[f32], count: usize) -> Vec<TokenId> {
    let mut ids: Vec<TokenId> = (0..logits.len() as TokenId).filter(|id| logits[*id as usize] > f32::NEG_INFINITY).collect();
    let order = |a: &TokenId, b: &TokenId| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if ids.len() > count {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_asked_about_and_nothing_else() {
        let mut logits = [1.0, 3.0, 2.0, f32::NEG_INFINITY, 3.0, 0.5];
        raise_candidates(&[7], 3, 10.0, &mut logits, |window| window == [7, 4] || window == [7, 2] || window == [7, 0]);
        assert_eq!(logits, [1.0, 3.0, 12.0, f32::NEG_INFINITY, 13.0, 0.5]);
        assert_eq!(largest(&logits, 9).len(), 5);
    }
}
