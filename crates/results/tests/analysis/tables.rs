use expect_test::expect;
use results::{Arm, Record, findings, judge, survival_table};

use crate::fixture::{ALPHA, curve, quickstart};

#[test]
fn the_table_says_in_words_what_survived() {
    let mut records = quickstart(1);
    judge(&mut records, ALPHA).unwrap();
    let table = survival_table(&records, ALPHA, Some(120)).replace('\u{a0}', " ");
    assert!(table.lines().all(|line| line.chars().count() <= 120 || line.contains("pairs at p")), "{table}");
    expect![[r#"
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         mark               surface                   N*       p teacher   p student, 10 k   p control   what survived
        ════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════
         kgw                text                      10 k     1e-290      5e-7              0.40        survives: proven from
                                                                                                         10 k queries on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         kgw                top_logprobs(k=20,post)   300      1e-290      1e-74             0.40        survives: proven at
                                                                                                         every budget run, from
                                                                                                         300 queries on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_sharer      text                      > 10 k   1e-4        0.13              0.32        not shown (an effect
                                                                                                         of 0.01985 would have
                                                                                                         been, power 0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_sharer      top_logprobs(k=20,post)   > 10 k   1e-4        0.01              0.32        suggested, not proven
                                                                                                         (Holm p 0.01)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         output_agreement   text                      1 k      1e-120      1e-14             1e-8        survives: proven from
                                                                                                         1 k queries on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         output_agreement   top_logprobs(k=20,post)   300      1e-120      1e-28             1e-8        survives: proven at
                                                                                                         every budget run, from
                                                                                                         300 queries on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_keys        text                      > 10 k   1e-48       1.00              1.00        not shown (an effect
                                                                                                         of 0.01985 would have
                                                                                                         been, power 0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_keys        top_logprobs(k=20,post)   > 10 k   1e-48       0.06              1.00        not shown (an effect
                                                                                                         of 0.01985 would have
                                                                                                         been, power 0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         suspect         surface                   budget   held-out loss   agreement   exact match   queries   FLOP
        ════════════════════════════════════════════════════════════════════════════════════════════════════════════════
         teacher         -                              -             2.1           -             -         -         -
         clean teacher   -                              -            2.08           -             -         -         -
         student         text                         300             2.9        0.41             0       300   2.40e12
         control         text                         300             2.9        0.41             0       300   2.40e12
         student         text                         1 k            2.78        0.46          0.02      1000   2.40e12
         control         text                         1 k            2.78        0.46          0.02      1000   2.40e12
         student         text                         3 k            2.66        0.51          0.04      3000   2.40e12
         control         text                         3 k            2.66        0.51          0.04      3000   2.40e12
         student         text                        10 k            2.54        0.56          0.06     10000   2.40e12
         control         text                        10 k            2.54        0.56          0.06     10000   2.40e12
         student         top_logprobs(k=20,post)      300             2.9        0.41             0       300   2.40e12
         control         top_logprobs(k=20,post)      300             2.9        0.41             0       300   2.40e12
         student         top_logprobs(k=20,post)      1 k            2.78        0.46          0.02      1000   2.40e12
         control         top_logprobs(k=20,post)      1 k            2.78        0.46          0.02      1000   2.40e12
         student         top_logprobs(k=20,post)      3 k            2.66        0.51          0.04      3000   2.40e12
         control         top_logprobs(k=20,post)      3 k            2.66        0.51          0.04      3000   2.40e12
         student         top_logprobs(k=20,post)     10 k            2.54        0.56          0.06     10000   2.40e12
         control         top_logprobs(k=20,post)     10 k            2.54        0.56          0.06     10000   2.40e12
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

        False-positive rate of decoy keys
          kgw: 5 of 11988 (negative model, decoy key) pairs at p <= 0.001: observed 0.04171 % against nominal 0.1 %, 95 % interval 0.01128 % to 0.1072 % clustered by model (12 negative models; a rate over keys, not models)"#]].assert_eq(&table);
}

#[test]
fn each_way_to_end_has_its_sentence() {
    let sentence = |seeds: &[&[(u64, f64)]], change: fn(&mut Record)| {
        let mut records: Vec<Record> = seeds.iter().zip(0..).flat_map(|(students, seed)| curve("kgw", students, seed)).collect();
        records.iter_mut().for_each(change);
        judge(&mut records, ALPHA).unwrap();
        findings(&records)[0].sentence.replace('\u{a0}', " ")
    };
    let plain: fn(&mut Record) = |_| {};
    let (yes, maybe, no) = (-20.0, -2.0, -0.2);
    let cases = [
        (sentence(&[&[(300, no), (1000, yes)]], plain), "survives: proven from 1 k queries on"),
        (sentence(&[&[(300, yes), (1000, yes)]], plain), "survives: proven at every budget run, from 300 queries on"),
        (
            sentence(&[&[(300, no), (1000, yes)], &[(300, no), (1000, no)]], plain),
            "survives in 1 of 2 seeds: proven from 1 k queries on",
        ),
        (sentence(&[&[(300, yes), (1000, no)]], plain), "does not last: proven at 300 queries but not at 1 k"),
        (sentence(&[&[(300, no), (1000, maybe)]], plain), "suggested, not proven (Holm p 0.01)"),
        (sentence(&[&[(300, no), (1000, no)]], plain), "not shown (an effect of 0.04012 would have been, power 0.8)"),
        (
            sentence(&[&[(1000, yes)]], |r| {
                if r.arm == Arm::Teacher {
                    r.log10_p = Some(-0.1);
                }
            }),
            "not planted: its own test does not find it in the teacher",
        ),
        (
            sentence(&[&[(1000, yes)]], |r| {
                if r.arm == Arm::Student {
                    r.log10_p = None;
                }
            }),
            "not measurable: needs text access",
        ),
        (
            sentence(&[&[(1000, yes)]], |r| {
                if r.arm == Arm::Base {
                    r.log10_p = Some(-4.0);
                }
            }),
            "suggested, not proven (Holm p 1e-20): the true key also fires where it must not: base, seed 0",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_false_positive_is_shouted() {
    let mut records = curve("kgw", &[(1000, -20.0)], 0);
    records[1].log10_p = Some(-4.0);
    judge(&mut records, ALPHA).unwrap();
    let table = survival_table(&records, ALPHA, None);
    assert!(table.contains("FALSE POSITIVE: mark `kgw` with its true key has p 1e-4 in base, seed 0"), "{table}");
}
