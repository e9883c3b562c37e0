//! vLLM's ordinary draw since 0.33 (served watermarks, 1.5): noise of a request's seed, which also says which of two keys draws a token.
//! In 0.30 the noise was another, and so was the choice of keys; the marks themselves were the same.

/// The word of (seed, position, index): 32-bit MurmurHash3 of four blocks.
pub(crate) fn word(seed: u64, position: u32, index: u32) -> u32 {
    let mut hash = 0_u32;
    for block in [seed as u32, (seed >> 32) as u32, position, index] {
        let mixed = block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ mixed).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    // the length in bytes, then the finaliser
    hash ^= 16;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// Gumbel noise of (seed, position, index).
pub(crate) fn noise(seed: u64, position: u32, index: u32) -> f64 {
    let u = (f64::from(word(seed, position, index)) + 0.5) / 4_294_967_296.0;
    -libm::log(-libm::log1p(-u))
}

/// Whether key B draws the token after position `position` (of the last id that was fed, the prompt counted) of a request with `seed`,
/// B's probability being `alpha`.
pub(crate) fn second_key(alpha: f64, seed: u64, position: u32) -> bool {
    if alpha <= 0.0 || alpha >= 1.0 {
        return alpha >= 1.0;
    }
    libm::log(1.0 - alpha) + noise(seed, position, 0) < libm::log(alpha) + noise(seed, position, 1)
}
