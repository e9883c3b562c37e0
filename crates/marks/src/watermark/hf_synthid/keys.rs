//! Keys of layers.

use rand::Rng;

use crate::Key;
use crate::key::Purpose;

/// The keys of the layers: those that a server has, or else derived ones below the table's size, all different as far as there are so
/// many.
pub(super) fn keys(key: &Key, layers: usize, table_size: u32) -> Vec<u64> {
    if let Some(served) = key.served() {
        return served.to_vec();
    }
    let (mut rng, mut keys) = (key.rng(Purpose::Kind("hf_synthid"), 0), Vec::with_capacity(layers));
    while keys.len() < layers {
        let drawn = rng.next_u64() % u64::from(table_size);
        if !keys.contains(&drawn) || layers > table_size as usize / 2 {
            keys.push(drawn);
        }
    }
    keys
}
