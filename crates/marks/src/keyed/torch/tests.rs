use super::*;

fn randperm(seed: u32, n: u32) -> Vec<u32> {
    TorchRng::new(seed).randperm_head(n, n as usize)
}

/// Methods, appendix A: outputs of PyTorch that are widely known.
#[test]
fn it_is_pytorchs_generator() {
    assert_eq!(randperm(0, 10), [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]);
    assert_eq!(randperm(42, 10), [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]);
    let rand = |seed, n: usize| {
        let mut rng = TorchRng::new(seed);
        (0..n).map(|_| rng.next_f32()).collect::<Vec<_>>()
    };
    let near = |got: Vec<f32>, known: &[f64], digits: f64| {
        assert!(got.iter().zip(known).all(|(got, known)| (f64::from(*got) - known).abs() < digits), "{got:?}");
    };
    near(rand(0, 5), &[0.4963, 0.7682, 0.0885, 0.1320, 0.3074], 5e-5);
    near(rand(42, 5), &[0.8823, 0.9150, 0.3829, 0.9593, 0.3904], 5e-5);
    let known =
        [0.9817181825637817, 0.8796065449714661, 0.992143452167511, 0.461067259311676, 0.08321595191955566, 0.17843109369277954];
    near(rand(12_345, 6), &known, 1e-12);
}

/// The reference MT19937: the 10,000th word after seed 5489, which the C++ standard (26.6.6) states.
#[test]
fn it_is_the_mersenne_twister_beyond_its_first_words() {
    let mut rng = TorchRng::new(5489);
    let last = (0..10_000).fold(0, |_, _| rng.next_u32());
    assert_eq!(last, 4_123_659_995);
}

#[test]
fn beginnings_and_single_items_are_those_of_the_permutation() {
    for (seed, n) in [(7, 1), (7, 2), (3, 50), (5_000_000, 700), (9, 3_000)] {
        let whole = randperm(seed, n);
        let mut sorted = whole.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        for count in [0, 1, 3, n as usize / 100, n as usize / 4, n as usize - 1, n as usize] {
            let count = count.min(n as usize);
            assert_eq!(TorchRng::new(seed).randperm_head(n, count), whole[..count], "{count} of {n}");
            // items of two seeds in turn, and one that is none of the vocabulary
            let other = randperm(seed + 1, n);
            let items = (0..n).step_by(1 + n as usize / 40).chain([n - 1, n]);
            let asked: Vec<(u32, u32)> = items.flat_map(|item| [(seed, item), (seed + 1, item)]).collect();
            let heads = asked.iter().map(|(of, item)| if *of == seed { &whole } else { &other }[..count].contains(item));
            assert_eq!(randperm_heads_have(n, count, &asked), heads.collect::<Vec<_>>(), "{count} of {n}");
        }
    }
}

#[test]
fn rests_are_those_of_whole_numbers() {
    let numbers = (0..40_u32).chain((0..4_000).map(|i| i * 1_073_741)).chain(u32::MAX - 40..=u32::MAX);
    let numbers: Vec<u32> = numbers.collect();
    for by in (1..70_u32).chain([127_u32, 128, 50_257, 151_936, 262_144, (1 << 30) + 1, (1 << 31) - 1]) {
        let near = (0..6)
            .flat_map(|times: u32| (0..3).map(move |off| by.wrapping_mul(times * 7_919 + 1).wrapping_add(off).wrapping_sub(1)));
        for number in numbers.iter().copied().chain(near) {
            assert_eq!(Modulus::new(by).rest_of(number), number % by, "{number} mod {by}");
        }
    }
}

/// Methods, appendix A; and the first entries of transformers' tables of two keys (units-hf-kgw, transformers 5.24).
#[test]
fn tables_are_those_of_the_authors_and_of_transformers() {
    let table = Table::of_the_authors();
    let first: Vec<i64> = (0..5).map(|id| table.of_id(id) - 1).collect();
    assert_eq!(first, [250_534, 296_009, 268_311, 356_494, 845_733]);
    assert_eq!(table.of(7 * 15_485_863), 267_512);
    for (key, known) in [
        (15_485_863, [138_280, 994_103, 467_886, 915_329, 149_437]),
        (982_451_653, [867_473, 387_995, 157_295, 307_355, 450_649]),
    ] {
        for ids in [5, 512, 100_000] {
            let table = Table::of_ids(key, ids);
            assert_eq!((0..5).map(|id| table.of_id(id) - 1).collect::<Vec<_>>(), known);
        }
        let (few, many) = (Table::of_ids(key, 2_000), Table::of_ids(key, 200_000));
        assert!((0..2_000).all(|id| few.of_id(id) == many.of_id(id)));
    }
}

#[test]
fn seeds_are_taken_mod_one_less_than_two_to_the_64() {
    // methods, appendix A
    assert_eq!(low_bits(-8_303_272_113_067_839_640), 2_066_689_895);
    assert_eq!([0, 15_485_863, (1 << 64) - 1, 1 << 64, -1].map(low_bits), [0, 15_485_863, 0, 1, u32::MAX - 1]);
}

/// units-hf-synthid (transformers 5.24): the table of seed 0 has 32,743 ones.
#[test]
fn bits_are_those_of_transformers_table() {
    let table = TorchRng::new(0).bits(65_536);
    assert_eq!(table.iter().filter(|bit| **bit).count(), 32_743);
    let first: String = table[..64].iter().map(|bit| if *bit { '1' } else { '0' }).collect();
    assert_eq!(first, "0110111111100100000101100111101010110110010111110101111010011010");
}
