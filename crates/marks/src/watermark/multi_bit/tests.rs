use oracle::Oracle;

use super::*;
use crate::testing::Lab;
use crate::{Chance, Finding, MarkEntry};

const PAYLOAD: &str = "1011001110001111";

fn lab(payload: &str, test: KeyedTest) -> Lab {
    let config = MultiBitConfig { payload: payload.into(), test, ..MultiBitConfig::examples().remove(0) };
    Lab::new(&MarkEntry { multi_bit: Some(Box::new(config)), ..MarkEntry::default() })
}

fn found(lab: &Lab, key: &Key, of: &Lab, answers: usize) -> Finding {
    let model = of.marked(&*of.build(key).unwrap());
    let answers = model.answer(&of.audit()[..answers]).unwrap();
    lab.judge(&*lab.build(key).unwrap(), &model, answers, Chance::default()).unwrap().remove(0)
}

#[test]
fn symbols_are_the_bits_of_the_payload() {
    let of = |payload: &str, colours| {
        let config = MultiBitConfig { payload: payload.into(), colours, ..MultiBitConfig::examples().remove(0) };
        config.validate().map(|()| config.symbols())
    };
    assert_eq!(of(PAYLOAD, 4), Ok(vec![2, 3, 0, 3, 2, 0, 3, 3]));
    assert_eq!(of("101", 8), Ok(vec![5]));
    assert_eq!(of("10", 2), Ok(vec![1, 0]));
    assert!(of("101", 4).unwrap_err().remedy.contains("multiple of 2"));
    assert!(of(&"1".repeat(258), 4).is_err());
}

/// Contexts share the places evenly, and each raises a share 1 / colours: 2,000 contexts, chi-squared with 7 degrees of freedom exceeds
/// 29.9 with probability 1e-4; shares to 4.5 standard deviations.
#[test]
fn places_and_colours_are_even() {
    let carries = Carries { symbols: [2, 3, 0, 3, 2, 0, 3, 3].into(), bits: 2 };
    let colours = carries.under(&Key::decoy(1, 0));
    let (mut places, mut counts) = ([0.0; 8], [0.0; 4]);
    for context in 0..2_000 {
        let windows: Vec<TokenId> = (0..50).flat_map(|token| [context, token]).collect();
        colours.each(&windows, 2, &mut |unit, place, colour| {
            counts[colour as usize] += 1.0;
            places[place] += f64::from(u8::from(unit == 0));
        });
    }
    let distance: f64 = places.iter().map(|count: &f64| (count - 250.0).powi(2) / 250.0).sum();
    assert!(distance < 29.9, "{places:?}");
    let sd = f64::sqrt(100_000.0 * 0.25 * 0.75);
    assert!(counts.iter().all(|count: &f64| (count - 25_000.0).abs() < 4.5 * sd), "{counts:?}");
}

#[test]
fn the_payload_is_read_and_another_claim_fails() {
    for test in [KeyedTest::Count, KeyedTest::default()] {
        let (true_lab, key) = (lab(PAYLOAD, test.clone()), Key::decoy(2, 0));
        let seen = found(&true_lab, &key, &true_lab, 100);
        assert!(seen.evidence.log10_p < -20.0, "{seen:?}");
        assert_eq!((seen.metric("payload_bit_error"), seen.metric("payload_symbols_read")), (Some(0.0), Some(8.0)));
        // every symbol is another one: hits are fewer than by chance
        let inverse: String = PAYLOAD.chars().map(|bit| if bit == '1' { '0' } else { '1' }).collect();
        let claimed = found(&lab(&inverse, test.clone()), &key, &true_lab, 100);
        assert!(claimed.evidence.log10_p > -1.0 && claimed.metric("payload_bit_error") == Some(1.0), "{claimed:?}");
        // half of the symbols are right: proven, with 8 of 16 bits wrong
        let half = format!("{}{}", &PAYLOAD[..8], &inverse[8..]);
        assert_eq!(found(&lab(&half, test.clone()), &key, &true_lab, 100).metric("payload_bit_error"), Some(0.5));
        // without the key nothing is read: a bit is right by chance
        let model = true_lab.marked(&*true_lab.build(&key).unwrap());
        let answers = model.answer(&true_lab.audit()).unwrap();
        let keys: Vec<Key> = (0..20).map(|index| Key::decoy(3, index)).collect();
        let others = true_lab.judge_under(&keys, &model, answers, Chance::default()).unwrap();
        let errors: f64 = others.iter().filter_map(|found| found.metric("payload_bit_error")).sum();
        // 320 fair bits: 4 standard deviations, error rate 1e-4
        assert!((errors / 20.0 - 0.5).abs() < 4.0 * 0.5 / f64::sqrt(320.0), "{}", errors / 20.0);
    }
}

#[test]
fn few_answers_leave_symbols_unread() {
    let lab = lab(&PAYLOAD.repeat(16), KeyedTest::Count);
    let seen = found(&lab, &Key::decoy(4, 0), &lab, 2);
    let (error, read) = (seen.metric("payload_bit_error").unwrap(), seen.metric("payload_symbols_read").unwrap());
    assert!(read > 10.0 && read < 50.0, "{read} of 128 symbols");
    assert!(error > 0.5 * (1.0 - read / 128.0) - 1e-9 && error < 0.5, "{error}");
}

/// Other colours mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
#[test]
fn colours_are_pinned() {
    let carries = Carries { symbols: [2, 3, 0, 3, 2, 0, 3, 3].into(), bits: 2 };
    let set = Raises { colours: carries.under(&Key::new(std::array::from_fn(|i| i as u8), "pinned")), special: vec![0, 1, 2] };
    let raised: Vec<TokenId> = (0..32).filter(|&token| set.contains(&[7], token)).collect();
    assert_eq!(raised, [3, 7, 15, 16, 17, 28]);
}
