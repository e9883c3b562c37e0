use expect_test::expect;
use results::{Arm, Record, findings, judge, survival_table};

use crate::fixture::{ALPHA, curve, quickstart};

#[test]
fn the_table_says_in_words_what_survived() {
    let mut records = quickstart(1);
    judge(&mut records, ALPHA).unwrap();
    let table = survival_table(&records, ALPHA, Some(120)).replace('\u{a0}', " ");
    assert!(table.lines().all(|line| line.chars().count() <= 120 || line.starts_with("  ")), "{table}");
    expect![[r#"
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         mark, surface      N*              at 10 k queries      effect (95 %)                p        P(proven   what was
                                                                                                       again)     shown
        ════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════
         kgw                no N* (1        teacher              0.2044 (0.1954 to 0.2134)    1e-290   > 0.99     survives:
         text               seed): proven   student              0.0301 (0.0211 to 0.0391)    5e-7                proven from
                            from 10 k       control              0.0076 (-0.0014 to 0.0166)   0.40                10 k queries
                            by the count                         green rate − 0.25                                on; keeps
                            of distinct                                                                           0.11 (0.05 to
                            units: never                                                                          0.18) of the
                                                                                                                  teacher's
                                                                                                                  effect
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         kgw                no N* (1        teacher              0.2044 (0.1954 to 0.2134)    1e-290   > 0.99     survives:
         top_logprobs(k=2   seed): proven   student              0.1032 (0.0942 to 0.1122)    1e-74               proven at
         0,post)            from 300        control              0.0076 (-0.0014 to 0.0166)   0.40                every budget
                            by the count                         green rate − 0.25                                run, from 300
                            of distinct                                                                           queries on;
                            units: from                                                                           keeps 0.49
                            3 k                                                                                   (0.43 to
                                                                                                                  0.54) of the
                                                                                                                  teacher's
                                                                                                                  effect
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_sharer      no N* (1        teacher              0.0240 (0.0150 to 0.0330)    1e-4     0.16       not shown by
         text               seed): not      student              0.0114 (0.0024 to 0.0204)    0.13                this audit
                            proven up to    control              0.0085 (-0.0005 to 0.0175)   0.32                (detectable
                            10 k                                 mean exposure − 1.44                             from 0.01985
                                                                                                                  on, power
                                                                                                                  0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_sharer      no N* (1        teacher              0.0240 (0.0150 to 0.0330)    1e-4     0.65       suggested,
         top_logprobs(k=2   seed): not      student              0.0178 (0.0088 to 0.0268)    0.01                not proven at
         0,post)            proven up to    control              0.0085 (-0.0005 to 0.0175)   0.32                0.001 (Holm p
                            10 k                                 mean exposure − 1.44                             0.01)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         output_agreement   no N* (1        teacher              0.1315 (0.1225 to 0.1405)    1e-120   > 0.99     survives:
         text               seed): proven   student              0.0449 (0.0359 to 0.0539)    1e-14               proven from
                            from 1 k        control (positive)   0.0339 (0.0249 to 0.0429)    1e-8                1 k queries
                                                                 agreement − rival's                              on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         output_agreement   no N* (1        teacher              0.1315 (0.1225 to 0.1405)    1e-120   > 0.99     survives:
         top_logprobs(k=2   seed): proven   student              0.0635 (0.0545 to 0.0725)    1e-28               proven at
         0,post)            from 300        control (positive)   0.0339 (0.0249 to 0.0429)    1e-8                every budget
                                                                 agreement − rival's                              run, from 300
                                                                                                                  queries on
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_keys        no N* (1        teacher              0.0831 (0.0741 to 0.0921)    1e-48    < 0.01     not shown by
         text               seed): not      student              0.0000 (-0.0090 to 0.0090)   1.00                this audit
                            proven up to    control              0.0000 (-0.0090 to 0.0090)   1.00                (detectable
                            10 k                                 keys answered                                    from 0.01985
                                                                                                                  on, power
                                                                                                                  0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         secret_keys        no N* (1        teacher              0.0831 (0.0741 to 0.0921)    1e-48    0.27       not shown by
         top_logprobs(k=2   seed): not      student              0.0131 (0.0041 to 0.0221)    0.06                this audit
         0,post)            proven up to    control              0.0000 (-0.0090 to 0.0090)   1.00                (detectable
                            10 k                                 keys answered                                    from 0.01985
                                                                                                                  on, power
                                                                                                                  0.8)
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

        ──────────────────────────────────────────────────────────────────────────────────────────────────────────
         suspect         surface                   budget,   held-out loss,     agreement, %   exact      FLOP
                                                   queries   nats/token                        match, %
        ══════════════════════════════════════════════════════════════════════════════════════════════════════════
         teacher         -                               -                2.1              -          -         -
         clean teacher   -                               -               2.08              -          -         -
         base            -                               -   3.20 (3.15–3.25)              -          -         -
         student         text                          300                2.9             41          0   2.40e12
         control         text                          300                2.9             41          0   2.40e12
         student         text                          1 k               2.78             46          2   2.40e12
         control         text                          1 k               2.78             46          2   2.40e12
         student         text                          3 k               2.66             51          4   2.40e12
         control         text                          3 k               2.66             51          4   2.40e12
         student         text                         10 k               2.54             56          6   2.40e12
         control         text                         10 k               2.54             56          6   2.40e12
         student         top_logprobs(k=20,post)       300                2.9             41          0   2.40e12
         control         top_logprobs(k=20,post)       300                2.9             41          0   2.40e12
         student         top_logprobs(k=20,post)       1 k               2.78             46          2   2.40e12
         control         top_logprobs(k=20,post)       1 k               2.78             46          2   2.40e12
         student         top_logprobs(k=20,post)       3 k               2.66             51          4   2.40e12
         control         top_logprobs(k=20,post)       3 k               2.66             51          4   2.40e12
         student         top_logprobs(k=20,post)      10 k               2.54             56          6   2.40e12
         control         top_logprobs(k=20,post)      10 k               2.54             56          6   2.40e12
        ──────────────────────────────────────────────────────────────────────────────────────────────────────────
        in brackets: 95 % interval over held-out texts and tasks, without any spread between seeds

        All verdicts together
          8 students were judged, each by Holm over its own tests at 0.001. The chance that any of them gets a false proof is at most 0.008. Corrected for that, by Holm over all 32 tests of students, 11 of 12 proven results stay proven; no longer: kgw in top_logprobs(k=20,post) at 300 queries, seed 0

        Self-test of keys and of the removal of repeated units: decoy keys on negative models
          kgw: 5 of 11988 (model, decoy key) pairs at p <= 0.001: 4.2e-4, 95 % interval 2.5e-6 to 3.0e-3 clustered by training; the null's own size is 9.3e-4 (nominal 0.001). 12 negative models from 3 trainings of 1 seed; they share teachers, prompts and base, and count for fewer than 12; a rate over keys, not over models"#]].assert_eq(&table);
}

#[test]
fn each_way_to_end_has_its_sentence() {
    let sentence = |seeds: &[&[(u64, f64)]], change: fn(&mut Record)| {
        let mut records: Vec<Record> = seeds.iter().zip(0..).flat_map(|(students, seed)| curve("kgw", students, seed)).collect();
        records.iter_mut().for_each(change);
        judge(&mut records, ALPHA).unwrap();
        findings(&records, ALPHA)[0].sentence.replace('\u{a0}', " ")
    };
    let plain: fn(&mut Record) = |_| {};
    let (yes, maybe, no) = (-20.0, -2.0, -0.2);
    let cases = [
        (
            sentence(&[&[(300, no), (1000, yes)]], plain),
            "survives: proven from 1 k queries on; keeps 0.10 (0.09 to 0.11) of the teacher's effect",
        ),
        (
            sentence(&[&[(300, yes), (1000, yes)]], plain),
            "survives: proven at every budget run, from 300 queries on; keeps 0.10 (0.09 to 0.11) of the teacher's effect",
        ),
        (
            sentence(&[&[(300, no), (1000, yes)], &[(300, no), (1000, no)]], plain),
            "survives in 1 of 2 seeds: proven from 1 k queries on; keeps 0.05 (-0.01 to 0.10) of the teacher's effect",
        ),
        (
            sentence(&[&[(300, yes), (1000, no)]], plain),
            "proven at 300 queries, but at 1 k not shown by this audit (detectable from 0.04012 on, power 0.8)",
        ),
        (sentence(&[&[(300, no), (1000, maybe)]], plain), "suggested, not proven at 0.001 (Holm p 0.01)"),
        (sentence(&[&[(300, no), (1000, no)]], plain), "not shown by this audit (detectable from 0.04012 on, power 0.8)"),
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
            "suggested, not proven at 0.001 (Holm p 1e-20): the true key also fires where it must not: base, seed 0",
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

#[test]
fn the_table_tells_effects_with_units_and_positives_by_name() {
    let mut records = quickstart(1);
    judge(&mut records, ALPHA).unwrap();
    let table = survival_table(&records, ALPHA, Some(150)).replace('\u{a0}', " ");
    for part in ["control (positive)", "green rate \u{2212} 0.25", "P(proven", "held-out loss,", "3.20 (3.15\u{2013}3.25)"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    let units = table.lines().skip_while(|line| !line.contains("held-out loss,")).nth(1).unwrap();
    assert!(units.contains("nats/token"), "{units}");
    let of_mark = |mark: &str| table.split(mark).nth(1).unwrap().split('\u{2500}').next().unwrap().to_string();
    assert!(!of_mark("kgw").contains("(positive)") && of_mark("output_agreement").contains("(positive)"), "{table}");
}
