//! The CSV files and the table in every form: typed columns, marks and metrics apart.

use results::{Kind, Record, TableFormat, judge, metrics_csv, separation_csv, summary_csv, table_as};

use crate::fixture::{ALPHA, Csv, curve, quickstart, sixty};

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

#[test]
fn marks_and_metrics_are_apart_and_are_joined_by_the_run() {
    let records = judged(quickstart(2));
    let marks = Csv::read(&summary_csv(&records, ALPHA).unwrap());
    // 4 x (teacher, base, stranger, 2 surfaces x (4 students, 4 controls, 1 rival)) for each of 2 seeds
    assert_eq!(marks.rows.len(), 2 * 4 * (3 + 2 * 9));
    assert!(!marks.header.contains(&"held_out_loss".to_string()));
    let student = [("arm", "student"), ("surface", "text"), ("budget_queries", "10000"), ("mark", "kgw"), ("seed", "0")];
    let of = |column: &str| marks.rows_of(&student, column).remove(0);
    assert_eq!((of("verdict").as_str(), of("effect_unit").as_str()), ("proven", "green rate \u{2212} 0.25"));
    assert!(of("retention").parse::<f64>().unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&of("proven_again").parse::<f64>().unwrap()));
    let p = |column: &str| of(column).parse::<f64>().unwrap();
    assert!(p("log10_p_holm_all_students") > p("log10_p_holm"), "a larger family corrects more");
    for (arm, surface, budget, mark, role) in [
        ("student", "text", "10000", "kgw", "question"),
        ("control", "text", "10000", "kgw", "negative"),
        ("control", "text", "10000", "output_agreement", "positive control"),
        ("teacher", "-", "", "kgw", "positive control"),
        ("base", "-", "", "output_agreement", "negative"),
    ] {
        let row = [("arm", arm), ("surface", surface), ("budget_queries", budget), ("mark", mark), ("seed", "0")];
        assert_eq!(marks.rows_of(&row, "role"), [role], "{arm} {mark}");
    }
    assert_eq!(
        marks.rows_of(&[("arm", "control"), ("mark", "kgw"), ("budget_queries", "300"), ("seed", "0")], "retention"),
        ["", ""]
    );

    let metrics = Csv::read(&metrics_csv(&records).unwrap());
    assert_eq!(metrics.rows.len(), records.iter().filter(|r| r.kind == Kind::Metric).count());
    let run = of("run_id");
    assert_eq!(
        metrics.rows_of(&[("run_id", run.as_str()), ("metric", "held_out_loss")], "value"),
        [(2.9 - 0.12 * 3.0).to_string()]
    );
    assert_eq!(metrics.rows_of(&[("run_id", run.as_str()), ("metric", "train_flop")], "unit"), ["FLOP"]);
    assert_eq!(metrics.rows_of(&[("run_id", run.as_str()), ("metric", "count_log10_p")], "metric_of"), ["kgw"]);
    assert_eq!(metrics.rows_of(&[("arm", "clean_teacher"), ("seed", "0")], "value"), ["2.08"]);
    assert_eq!(metrics.rows_of(&[("arm", "base"), ("seed", "0")], "low"), ["3.15"]);
}

#[test]
fn students_and_negatives_are_told_apart_by_p() {
    // two seeds of three students, and two negatives more: a control of each student, and base and stranger
    let records = judged((0..2).flat_map(|seed| curve("kgw", &[(300, -1.5), (1_000, -20.0), (3_000, -40.0)], seed)).collect());
    let found = Csv::read(&separation_csv(&records).unwrap());
    assert_eq!(found.rows.len(), 3);
    let of = |budget: &str, column: &str| found.rows_of(&[("mark", "kgw"), ("budget_queries", budget)], column).remove(0);
    let negatives = records.iter().filter(|r| r.kind == Kind::Mark && r.is_negative()).count();
    assert_eq!(of("300", "students"), "2");
    assert_eq!(of("300", "negatives"), negatives.to_string());
    // the negatives of the fixture stay at chance, below the weakest student
    assert_eq!((of("300", "auroc"), of("300", "tpr_at_fpr_0.01")), ("1".into(), "1".into()));
    // two students of p 10^-20 each: the tail of chi-squared with 4 degrees of freedom, p (1 - ln p) of the product
    let fisher = of("1000", "students_log10_p").parse::<f64>().unwrap();
    assert!((fisher - (-40.0 + libm::log10(1.0 + 40.0 * std::f64::consts::LN_10))).abs() < 1e-9, "{fisher}");
    assert!(of("1000", "negatives_log10_p").parse::<f64>().unwrap() > -1.0);
    assert_eq!((of("300", "allowed_at_fpr_0.01"), of("300", "negatives_at_0.01")), ("0".into(), "0".into()));
    assert_eq!((of("300", "students_at_0.01"), of("1000", "students_at_0.001")), ("0".into(), "2".into()));
    // a negative as strong as a student: it is one of 16 or so, none of which may be above the threshold
    let mut fired = records.clone();
    fired.iter_mut().find(|r| r.kind == Kind::Mark && r.is_negative()).unwrap().log10_p = Some(-30.0);
    let found = Csv::read(&separation_csv(&fired).unwrap());
    let of = |budget: &str, column: &str| found.rows_of(&[("mark", "kgw"), ("budget_queries", budget)], column).remove(0);
    assert_eq!((of("1000", "tpr_at_fpr_0.001"), of("3000", "tpr_at_fpr_0.001")), ("0".into(), "1".into()));
    assert_eq!(of("1000", "auroc").parse::<f64>().unwrap(), (negatives as f64 - 1.0) / negatives as f64);
    assert_eq!(of("1000", "negatives_at_0.001"), "1");
    // one of them by p 10^-30: times their number
    let cauchy = of("1000", "negatives_log10_p").parse::<f64>().unwrap();
    assert!((cauchy - (-30.0 + libm::log10(negatives as f64))).abs() < 0.5, "{cauchy}");
}

/// N* of one mark over seeds, by the budgets from which each proves it.
fn stars(from: &[Option<u64>]) -> Csv {
    const BUDGETS: [u64; 3] = [300, 1_000, 3_000];
    let of_seed = |(seed, from): (usize, &Option<u64>)| {
        let p = |budget: u64| if from.is_some_and(|from| budget >= from) { -20.0 } else { -0.5 };
        curve("kgw", &BUDGETS.map(|budget| (budget, p(budget))), seed as u64)
    };
    Csv::read(&summary_csv(&judged(from.iter().enumerate().flat_map(of_seed).collect()), ALPHA).unwrap())
}

#[test]
fn n_star_is_a_number_and_says_whether_it_is_censored() {
    type Want<'a> = (&'a [Option<u64>], [&'a str; 7]);
    let cases: [Want<'_>; 5] = [
        (&[Some(300), Some(300), Some(1_000)], ["300", "false", "300", "1000", "3", "3", "claimed"]),
        (&[Some(300), Some(1_000), None], ["1000", "false", "300", "3000", "3", "2", "claimed"]),
        (&[Some(300), None, None], ["3000", "true", "300", "3000", "3", "1", "claimed"]),
        (&[None, None, None], ["3000", "true", "3000", "3000", "3", "0", "claimed"]),
        (&[Some(300)], ["", "", "", "", "1", "1", "fewer than 3 seeds"]),
    ];
    let columns = ["", "_censored", "_low", "_high", "_seeds", "_seeds_proven", "_claim"].map(|end| format!("n_star{end}"));
    for (from, want) in cases {
        let csv = stars(from);
        let students = [("arm", "student"), ("budget_queries", "300"), ("seed", "0")];
        let found: Vec<String> = columns.iter().map(|column| csv.rows_of(&students, column).remove(0)).collect();
        assert_eq!(found, want, "{from:?}");
        let controls = csv.rows_of(&[("arm", "control")], "n_star");
        assert!(controls.iter().all(String::is_empty), "only students have one");
        for (seed, from) in from.iter().enumerate() {
            let seed = seed.to_string();
            let row = [("arm", "student"), ("budget_queries", "300"), ("seed", seed.as_str())];
            let found = (csv.rows_of(&row, "proven_from").remove(0), csv.rows_of(&row, "proven_from_censored").remove(0));
            assert_eq!(found, (from.unwrap_or(3_000).to_string(), from.is_none().to_string()));
        }
        assert_eq!(csv.rows_of(&students, "n_star_by_count_claim"), [""], "no count, no N* by it");
    }
}

#[test]
fn n_star_by_the_count_stands_beside() {
    let csv = Csv::read(&summary_csv(&judged(quickstart(3)), ALPHA).unwrap());
    let row =
        [("arm", "student"), ("mark", "kgw"), ("surface", "top_logprobs(k=20,post)"), ("budget_queries", "300"), ("seed", "1")];
    let of = |column: &str| csv.rows_of(&row, column).remove(0);
    assert_eq!((of("n_star"), of("n_star_censored")), ("300".into(), "false".into()));
    assert_eq!((of("n_star_by_count"), of("n_star_by_count_censored")), ("3000".into(), "false".into()));
    assert_eq!((of("proven_from_by_count"), of("proven_from_by_count_censored")), ("3000".into(), "false".into()));
    let other = [("arm", "student"), ("mark", "output_agreement"), ("surface", "text"), ("budget_queries", "300"), ("seed", "1")];
    assert_eq!(csv.rows_of(&other, "n_star_by_count"), [""]);
}

/// The type of a column: every cell that is not empty is of it.
fn type_of(csv: &Csv, column: usize) -> &'static str {
    let cells: Vec<&str> = csv.rows.iter().map(|row| row[column].as_str()).filter(|cell| !cell.is_empty()).collect();
    match cells {
        cells if cells.iter().all(|cell| ["true", "false"].contains(cell)) => "boolean",
        cells if cells.iter().all(|cell| cell.parse::<f64>().is_ok()) => "number",
        cells if cells.iter().all(|cell| cell.parse::<f64>().is_err() && !["true", "false"].contains(cell)) => "word",
        _ => "mixed",
    }
}

#[test]
fn every_column_has_one_type() {
    let records = judged(sixty(3));
    let table = table_as(TableFormat::Csv, &records, ALPHA).unwrap();
    for csv in [&summary_csv(&records, ALPHA).unwrap(), &metrics_csv(&records).unwrap(), &table] {
        let csv = Csv::read(csv);
        // "1" is a unit too, and a word
        for (i, name) in csv.header.iter().enumerate().filter(|(_, name)| *name != "unit") {
            assert_ne!(type_of(&csv, i), "mixed", "{name}");
        }
        let names: std::collections::BTreeSet<&String> = csv.header.iter().collect();
        assert_eq!(names.len(), csv.header.len(), "no name twice");
    }
    let marks = Csv::read(&summary_csv(&records, ALPHA).unwrap());
    for (name, wanted) in [
        ("seed", "number"),
        ("budget_queries", "number"),
        ("planted", "boolean"),
        ("log10_p", "number"),
        ("verdict", "word"),
        ("n_star", "number"),
        ("n_star_censored", "boolean"),
        ("proven_from", "number"),
        ("axis.marks.wm.kgw.delta", "number"),
    ] {
        assert_eq!(type_of(&marks, marks.column(name)), wanted, "{name}");
    }
}

#[test]
fn the_table_has_a_form_for_papers_and_one_for_programs() {
    let records = judged(quickstart(3));
    let markdown = table_as(TableFormat::Markdown, &records, ALPHA).unwrap();
    let rows: Vec<&str> = markdown.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows[0].starts_with("| mark | surface | N\\* | N\\* by the count | queries | model |"), "{}", rows[0]);
    let cells = |row: &str| row.replace("\\|", "").matches('|').count();
    assert!(rows.iter().all(|row| cells(row) == cells(rows[0])), "{markdown}");
    // a row for each arm of four marks on two surfaces
    assert_eq!(rows.len(), 2 + 3 * 8);
    assert!(markdown.contains("| output\\_agreement | text |") && markdown.contains("control (positive)"), "{markdown}");
    assert!(markdown.contains("| suspect | surface |") && markdown.contains("- 24 students were judged"), "{markdown}");

    let latex = table_as(TableFormat::Latex, &records, ALPHA).unwrap();
    for table in latex.split("\\begin{tabular}").skip(1) {
        let (columns, rest) = table.strip_prefix('{').unwrap().split_once("}\n").unwrap();
        let columns = columns.replace("p{0.3\\textwidth}", "l").len();
        let rows = rest.split("\\end{tabular}").next().unwrap().lines().filter(|line| line.ends_with("\\\\"));
        assert!(rows.clone().count() > 8 && rows.clone().all(|row| row.replace("\\&", "").matches(" & ").count() + 1 == columns));
    }
    assert!(latex.contains("secret\\_sharer") && latex.contains("green rate $-$ 0.25") && !latex.contains('\u{a0}'), "{latex}");
    assert!(latex.is_ascii(), "set by every engine: {:?}", latex.chars().find(|c| !c.is_ascii()));

    let csv = Csv::read(&table_as(TableFormat::Csv, &records, ALPHA).unwrap());
    let kgw = [("mark", "kgw"), ("surface", "text")];
    assert_eq!(csv.rows.len(), 8);
    assert_eq!(csv.rows_of(&kgw, "n_star"), ["10000"]);
    assert_eq!(csv.rows_of(&kgw, "n_star_by_count_censored"), ["true"]);
    assert!(csv.rows_of(&kgw, "student_log10_p")[0].parse::<f64>().unwrap() < -3.0);
    assert!(csv.rows_of(&kgw, "shown")[0].starts_with("survives"));
}
