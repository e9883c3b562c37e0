use super::*;
use crate::vectors::{Width, with_limit};

fn values(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn packed(n: usize, k: usize, seed: u32) -> Vec<f32> {
    let mut packed = vec![0.0; packed_len(n, k)];
    pack_block(&values(k * n, seed), n, 0, k, &mut packed);
    packed
}

fn check(m: usize, n: usize, k: usize) {
    let (a, b, start) = (values(m * k, 1), values(k * n, 2), values(m * n, 3));
    let exact = |i: usize, j: usize| (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum::<f64>();
    // Standard bound on a chain of k fused multiply-adds with terms below 1: k eps (sum of |terms| <= k).
    let bound = (k * k + 4) as f64 * f64::from(f32::EPSILON);
    let same = |c: &[f32], add: bool| {
        for i in 0..m {
            for j in 0..n {
                let want = exact(i, j) + if add { f64::from(start[i * n + j]) } else { 0.0 };
                let got = f64::from(c[i * n + j]);
                assert!((got - want).abs() <= bound, "{m}x{n}x{k} at ({i}, {j}): {got} for {want}");
            }
        }
    };
    let mut scratch = Buffer::default();
    let a_t: Vec<f32> = (0..k * m).map(|at| a[at % m * k + at / m]).collect();
    let b_t: Vec<f32> = (0..k * n).map(|at| b[at % k * n + at / k]).collect();
    let (mut packed, mut by_rows) = (vec![7.0; packed_len(n, k)], vec![7.0; packed_len(n, k)]);
    pack_transposed(&b_t, n, k, &mut packed);
    pack_block(&b, n, 0, k, &mut by_rows);
    assert_eq!(packed, by_rows, "a matrix and its transpose are packed alike");
    for into in [Into::Set, Into::Add] {
        let mut c = start.clone();
        times_packed(m, n, k, &a, &packed, &mut c, into);
        same(&c, into == Into::Add);
        let mut d = start.clone();
        transposed_times(m, n, k, &a_t, &b, &mut d, into, &mut scratch);
        assert_eq!(c, d, "transposed and plain products run the same chains");
    }
}

#[test]
fn products_meet_the_definition_at_awkward_sizes() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 33, 5),
        (2, 16, 3),
        (3, 17, 8),
        (5, 32, 7),
        (8, 31, 64),
        (9, 65, 13),
        (23, 100, 400),
        (600, 5, 3),
        (7, 48, 800),
    ] {
        for width in [Width::Scalar, Width::Avx2, Width::Widest] {
            with_limit(width, || check(m, n, k));
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_vector_width() {
    let (m, n, k) = (19, 51, 97);
    let (a, b) = (values(m * k, 6), packed(n, k, 7));
    let product = |width| {
        let mut c = vec![0.0; m * n];
        with_limit(width, || times_packed(m, n, k, &a, &b, &mut c, Into::Set));
        c
    };
    assert_eq!(product(Width::Widest), product(Width::Avx2));
    assert_eq!(product(Width::Widest), product(Width::Scalar));
}

#[test]
fn bits_of_a_row_do_not_depend_on_the_other_rows() {
    let (m, n, k) = (37, 75, 401);
    let (a, b) = (values(m * k, 4), packed(n, k, 5));
    let mut whole = vec![0.0; m * n];
    times_packed(m, n, k, &a, &b, &mut whole, Into::Set);
    for from in 0..m {
        for rows in 1..(m - from).min(10) {
            let mut part = vec![0.0; rows * n];
            times_packed(rows, n, k, &a[from * k..], &b, &mut part, Into::Set);
            assert_eq!(part, whole[from * n..(from + rows) * n]);
        }
    }
}
