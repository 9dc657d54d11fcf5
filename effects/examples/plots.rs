//! Draws the pictures of docs/effects.md: `cargo run -p effects --example plots -- docs/effects`.

use std::fmt::Write as _;
use std::path::Path;

use effects::grid::Grid;
use effects::simulate::{Noise, Rng};
use effects::stats::betting::Betting;
use effects::track::{Least, Level, Plan, Reference, Side, Tracker};

/// No floor to speak of: the noise of these series is their own.
const LEAST: Least = Least { noise: 1e-9, largest: 1e-9, lasting: 1e-9, width: 1 };

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const EDGE: f64 = 30.0;

/// A picture in data coordinates.
struct Picture {
    body: String,
    x: (f64, f64),
    y: (f64, f64),
}

impl Picture {
    fn new(x: (f64, f64), y: (f64, f64)) -> Self {
        Self { body: String::new(), x, y }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = ((y - self.y.0) / (self.y.1 - self.y.0)).clamp(0.0, 1.0);
        (EDGE + across * (WIDTH - 2.0 * EDGE), HEIGHT - EDGE - up * (HEIGHT - 2.0 * EDGE))
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut path = String::new();
        for &(x, y) in points {
            let (x, y) = self.place(x, y);
            write!(path, "{x:.1},{y:.1} ").expect("a string takes any text");
        }
        let path = path.trim_end();
        self.body += &format!("<polyline fill=\"none\" stroke=\"{colour}\" points=\"{path}\"/>\n");
    }

    fn text(&mut self, x: f64, y: f64, text: &str, colour: &str) {
        let (x, y) = self.place(x, y);
        self.body += &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{text}</text>\n");
    }

    fn save(self, dir: &Path, name: &str) {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            self.body
        );
        std::fs::write(dir.join(name), svg).expect("the folder of pictures is there");
    }
}

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "docs/effects".to_owned());
    let dir = Path::new(&dir);
    placebos(dir);
    bets(dir);
    silence(dir);
}

/// A day of noise, an effect, and what the same statistic did where nothing happened.
fn placebos(dir: &Path) {
    const BEFORE: usize = 1_440;
    const AFTER: usize = 60;
    let run = |shift: f64, seed: u64| {
        let values = Noise::Ar(0.6).series(&mut Rng::new(seed), BEFORE + AFTER, 0, 60);
        let mut grid = Grid::new(60, BEFORE as i64 * 60, 60);
        for (i, v) in values[..BEFORE].iter().enumerate() {
            grid.put((i as i64 + 1) * 60, *v);
        }
        let plan = Plan::at(&grid, BEFORE as i64, Level::Hour).expect("a day came before");
        let reference =
            Reference::build(&grid, &plan, BEFORE as i64, AFTER, (&[Side::Both], LEAST), None).remove(0);
        let mut tracker = Tracker::open(&grid, &plan, BEFORE as i64, reference).expect("a day came before");
        let mut ratios = Vec::new();
        for (k, v) in values[BEFORE..].iter().enumerate() {
            tracker.push(&grid, v + if k >= 10 { shift } else { 0.0 });
            ratios.push((k as f64 + 1.0, tracker.ratio().map_or(0.0, |r| r.largest)));
        }
        ratios
    };
    let mut picture = Picture::new((0.0, AFTER as f64), (0.0, 3.5));
    for seed in 0..12 {
        picture.line(&run(0.0, seed), "#bbb");
    }
    picture.line(&run(4.0, 3), "#c33");
    picture.line(&[(0.0, 1.0), (AFTER as f64, 1.0)], "#39c");
    picture.line(&[(0.0, 1.38), (AFTER as f64, 1.38)], "#333");
    picture.text(1.0, 1.05, "one placebo in twenty reaches this", "#39c");
    picture.text(1.0, 1.43, "one in a hundred: harm", "#333");
    picture.text(35.0, 3.1, "an effect from minute 10 on", "#c33");
    picture.text(40.0, 0.35, "nothing happened", "#777");
    picture.save(dir, "placebos.svg");
}

/// Wealth of a bet against new pods that fail, and against pods that do not.
fn bets(dir: &Path) {
    let mut picture = Picture::new((0.0, 20.0), (-1.0, 4.0));
    for (failing, colour) in [(0.9, "#c33"), (0.3, "#e90"), (0.02, "#777")] {
        let mut rng = Rng::new(5);
        let mut bet = Betting::default();
        let mut points = vec![(0.0, 0.0)];
        for k in 1..=20 {
            bet.push((failing + 0.05 * rng.normal()).clamp(0.0, 1.0), 0.06);
            points.push((f64::from(k), bet.e().log10()));
        }
        picture.line(&points, colour);
    }
    picture.line(&[(0.0, 2.0), (20.0, 2.0)], "#333");
    picture.text(12.0, 2.1, "wealth 100: harm at 1 in 100", "#333");
    picture.text(3.5, 3.6, "nine in ten fail", "#c33");
    picture.text(8.0, 3.2, "three in ten fail", "#e90");
    picture.text(13.0, -0.75, "as many as before", "#777");
    picture.save(dir, "bets.svg");
}

/// Chance that a pod that starts as pods do is still silent after some time.
fn silence(dir: &Path) {
    let mut picture = Picture::new((0.0, 900.0), (0.0, 1.0));
    for (usual, colour) in [(120.0, "#39c"), (240.0, "#e90")] {
        let points: Vec<(f64, f64)> = (0..=90)
            .map(|i| (f64::from(i) * 10.0, 1.0 / (1.0 + (f64::from(i) * 10.0 / usual).powi(4))))
            .collect();
        picture.line(&points, colour);
    }
    picture.text(140.0, 0.55, "pods here usually report after two minutes", "#39c");
    picture.text(300.0, 0.3, "after four", "#e90");
    picture.text(600.0, 0.08, "seconds of silence", "#333");
    picture.save(dir, "silence.svg");
}
