//! What numpy and scipy say of the same numbers; `tests/oracle/make.py` asked them.

use effects::select::adjusted;
use effects::stats::counts::{Counts, Way};
use effects::stats::histogram::deviation;
use effects::stats::robust::{quantile, slope, spread};

fn numbers(text: &str) -> Vec<f64> {
    text.split(' ').map(|n| n.parse().expect("the script wrote numbers")).collect()
}

#[test]
fn every_vector_is_met() {
    let mut met = 0;
    for line in include_str!("../oracle/vectors.csv").lines().filter(|l| !l.starts_with('#')) {
        let cells: Vec<&str> = line.split(',').collect();
        let (mut first, second, expected) = (numbers(cells[1]), numbers(cells[2]), numbers(cells[3]));
        let ours = match cells[0] {
            "quantile" => vec![quantile(&mut first, second[0]).unwrap()],
            "spread" => vec![spread(&mut first).unwrap()],
            "slope" => {
                let points: Vec<(f64, f64)> = first.iter().copied().zip(second.iter().copied()).collect();
                vec![slope(&points).unwrap()]
            }
            "bh" => {
                let tests: Vec<(f64, f64)> = first.iter().copied().zip(second.iter().copied()).collect();
                adjusted(&tests)
            }
            "counts" => {
                let mut counts = Counts::new(first[0], first[1]);
                let (new, old) = second.split_at(second.len() / 2);
                new.iter().zip(old).for_each(|(x1, x0)| counts.push((*x1, first[2]), (*x0, first[3])));
                vec![counts.e(Way::More)]
            }
            "deviation" => vec![deviation(first[0], second[0]).unwrap()],
            other => panic!("{other} is not known"),
        };
        assert_eq!(ours.len(), expected.len(), "{line}");
        for (a, b) in ours.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{}: {a}, expected {b}", cells[0]);
        }
        met += 1;
    }
    assert!(met >= 35, "only {met} vectors");
}
