//! Pictures of grids: many settings in one figure, each with its name.

use results::{LossSeries, Record, Width, effect_figure, loss_figure, survival_figure};

use crate::figures::{both, caption, curves, judged};
use crate::fixture::{ALPHA, grid, quickstart, sixty};

#[test]
fn twelve_grid_points_are_twelve_curves_that_can_be_told_apart() {
    let records = judged(grid());
    let labels: Vec<String> =
        ["1", "2", "5", "10"].iter().flat_map(|delta| [1, 2, 4].map(|width| format!("delta={delta}, width={width}"))).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let all = [labels.as_slice(), &["kgw", "secret_sharer"]].concat();
    both("survival-grid", &all, |width| survival_figure(&records, &caption(), ALPHA, width).unwrap());
    let figure = survival_figure(&records, &caption(), ALPHA, Width::Two).unwrap();
    // in the legend curves stand in the order of their numbers, and each has its marker and dash
    let order: Vec<usize> = labels.iter().map(|label| figure.svg.find(&format!("\n{label}\n")).unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
    both("effect-grid", &labels, |width| effect_figure(&records, &caption(), ALPHA, width).unwrap());

    // one point of a grid looks like no grid
    let at_one: Vec<Record> = quickstart(1).into_iter().map(|r| Record { axes: grid()[0].axes.clone(), ..r }).collect();
    let plain = survival_figure(&judged(quickstart(1)), &caption(), ALPHA, Width::Two).unwrap();
    assert!(survival_figure(&judged(at_one), &caption(), ALPHA, Width::Two).unwrap() == plain);
}

#[test]
fn sixty_grid_points_are_sixty_rows_with_their_names() {
    let one = judged(sixty(1));
    let labels: Vec<String> = ["0.5", "0.75", "1", "1.5", "2", "3", "4", "5", "7.5", "10"]
        .iter()
        .flat_map(|delta| [0, 1, 2, 3, 4, 6].map(|width| format!("delta={delta}, width={width}")))
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let own = ["kgw", "secret_sharer", "base", "stranger", "student of 300 queries", "control (student of the clean teacher)"];
    let all = [labels.as_slice(), own.as_slice(), &["!"]].concat();
    both("survival-60", &all, |width| survival_figure(&one, &caption(), ALPHA, width).unwrap());
    both("effect-60", &all, |width| effect_figure(&one, &caption(), ALPHA, width).unwrap());
    let three = judged(sixty(3));
    both("survival-60-3-seeds", &["N*: proven from here on (median)"], |width| {
        survival_figure(&three, &caption(), ALPHA, width).unwrap()
    });
    // names that are long wrap and still stand apart
    let long = |r: Record| Record { defence: Some("rounding of every answer to two digits".into()), ..r };
    let mut wordy = sixty(1);
    wordy.extend(sixty(1).into_iter().filter(|r| r.axes["marks.wm.kgw.width"] == "0").map(long));
    both("survival-60-long", &[], |width| survival_figure(&judged(wordy.clone()), &caption(), ALPHA, width).unwrap());
}

#[test]
fn grid_points_are_named_beside_their_loss_curves() {
    let at = |value: &'static str| {
        curves().into_iter().map(move |c| LossSeries { axes: [("student.layers".into(), value.into())].into(), ..c })
    };
    let all: Vec<LossSeries> = at("2").chain(at("4")).collect();
    let labels = ["teacher, layers=2", "control 10\u{a0}k, layers=4"];
    both("loss-grid", &labels, |width| loss_figure(&all, "Loss while training", "made up", width).unwrap());
    let one: Vec<LossSeries> = at("2").collect();
    assert!(loss_figure(&one, "t", "s", Width::Two).unwrap() == loss_figure(&curves(), "t", "s", Width::Two).unwrap());
}
