//! A search as an SVG picture: a panel for each figure of quality, against time. Readable on light and on dark pages.
//! No library: it is a few dozen lines of arithmetic.

use std::fmt::Write;

use super::table::in_words;
use super::{Figures, Trial, Tuning};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
/// Left, right, top and bottom of the frame.
const FRAME: [f64; 4] = [56.0, WIDTH - 16.0, 40.0, HEIGHT - 44.0];

const STYLE: &str = "\
    svg { --paper: #fff; --ink: #1a1a1a; --faint: #767676; --line: #1d4ed8; --chosen: #c2410c }\n\
    @media (prefers-color-scheme: dark) {\n\
    svg { --paper: #16181c; --ink: #ececec; --faint: #9a9a9a; --line: #7aa7ff; --chosen: #ff9a5c } }\n\
    text { fill: var(--ink); font: 11px sans-serif } .faint { fill: var(--faint) } .title { font-weight: bold }\n\
    .frame { fill: none; stroke: var(--faint) } .frontier { fill: none; stroke: var(--line); stroke-width: 1.5 }\n\
    .other { fill: var(--paper); stroke: var(--faint) } .on { fill: var(--line) } .chosen { fill: var(--chosen) }\n\
    .before { fill: none; stroke: var(--chosen); stroke-width: 2 }\n";

/// A figure of quality.
struct Panel {
    title: &'static str,
    of: fn(Figures) -> Option<f64>,
    /// What real pictures reach.
    real: fn(Figures) -> Option<f64>,
    logarithmic: bool,
    /// How a value is written.
    label: fn(f64) -> String,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "Frechet distance over that of real images",
        of: |figures| Some(figures.frechet_ratio),
        real: |_| Some(1.0),
        logarithmic: true,
        label: |value| format!("{value:.1}"),
    },
    Panel {
        title: "classified as the class asked for",
        of: |figures| Some(figures.classified),
        real: |figures| Some(figures.real_classified),
        logarithmic: false,
        label: |value| format!("{:.1} %", 100.0 * value),
    },
    Panel {
        title: "coverage of the parts' values",
        of: |figures| figures.coverage,
        real: |figures| figures.real_coverage,
        logarithmic: false,
        label: |value| format!("{:.1} %", 100.0 * value),
    },
];

/// Takes the range of `values` to `from..to`.
fn scale(values: &[f64], [from, to]: [f64; 2], logarithmic: bool) -> impl Fn(f64) -> f64 {
    let at = move |value: f64| if logarithmic { value.max(1e-9).ln() } else { value };
    let least = values.iter().copied().map(at).fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().map(at).fold(f64::NEG_INFINITY, f64::max);
    let span = if most > least { most - least } else { 1.0 };
    move |value| from + (at(value) - least) / span * (to - from)
}

/// The round that the frontier is of: every trial as a point, the frontier as a line with the numbers of the table.
pub fn plot(tuning: &Tuning) -> String {
    let round = tuning.round();
    let measured = |&(_, trial): &(usize, &Trial)| trial.round == round && trial.figures.is_some();
    let trials: Vec<_> = tuning.trials.iter().enumerate().filter(measured).collect();
    let has = |panel: &&Panel| trials.iter().any(|(_, trial)| trial.figures.and_then(panel.of).is_some());
    let panels: Vec<_> = PANELS.iter().filter(has).collect();
    let (width, height) = (WIDTH * panels.len().max(1) as f64, HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Quality against time per image, {} settings\">\n<style>\n{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>\n",
        trials.len()
    );
    for (i, panel) in panels.into_iter().enumerate() {
        let _ =
            writeln!(svg, "<g transform=\"translate({} 0)\">\n{}</g>", WIDTH * i as f64, draw(tuning, &trials, panel));
    }
    svg + "</svg>\n"
}

fn draw(tuning: &Tuning, trials: &[(usize, &Trial)], panel: &Panel) -> String {
    let [left, right, top, bottom] = FRAME;
    let value = |trial: &Trial, of: fn(Figures) -> Option<f64>| trial.figures.and_then(of);
    let real = trials.iter().find_map(|(_, trial)| value(trial, panel.real));
    let times: Vec<f64> = trials.iter().map(|(_, trial)| trial.milliseconds).collect();
    let values: Vec<f64> = trials.iter().filter_map(|(_, trial)| value(trial, panel.of)).chain(real).collect();
    let (x, y) = (
        scale(&times, [left + 14.0, right - 14.0], true),
        scale(&values, [bottom - 10.0, top + 10.0], panel.logarithmic),
    );
    let extremes = |values: &[f64]| {
        [values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
    };
    let mut out = format!(
        "<text class=\"title\" x=\"{left}\" y=\"18\">{}</text>\n<path class=\"frame\" d=\"M{left} {top}V{bottom}H{right}\"/>\n\
         <text class=\"faint\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">ms an image, by itself</text>\n",
        panel.title,
        HEIGHT - 8.0
    );
    for time in extremes(&times) {
        let _ =
            writeln!(out, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{time:.0}</text>", x(time), bottom + 16.0);
    }
    for value in extremes(&values) {
        let (at, label) = (y(value) + 4.0, (panel.label)(value));
        let _ = writeln!(out, "<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\">{label}</text>", left - 6.0);
    }
    if let Some(real) = real {
        let at = y(real);
        let _ = writeln!(
            out,
            "<path class=\"frame\" stroke-dasharray=\"3 3\" d=\"M{left} {at:.1}H{right}\"/>\
             <text class=\"faint\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">real images</text>",
            at - 4.0
        );
    }
    let place = |trial: &Trial| value(trial, panel.of).map(|value| (x(trial.milliseconds), y(value)));
    let line: Vec<String> = tuning
        .frontier
        .iter()
        .filter_map(|&number| place(&tuning.trials[number]))
        .map(|(x, y)| format!("{x:.1} {y:.1}"))
        .collect();
    if line.len() > 1 {
        let _ = writeln!(out, "<path class=\"frontier\" d=\"M{}\"/>", line.join("L"));
    }
    for &(number, trial) in trials {
        let Some((x, y)) = place(trial) else { continue };
        let rank = tuning.frontier.iter().position(|&of_frontier| of_frontier == number);
        let class = match rank {
            _ if tuning.chosen == Some(number) => "chosen",
            Some(_) => "on",
            None => "other",
        };
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}: {:.1} ms, {}</title></circle>",
            in_words(&trial.settings),
            trial.milliseconds,
            (panel.label)(value(trial, panel.of).unwrap_or_default()),
        );
        if trial.settings == tuning.start {
            let _ = writeln!(
                out,
                "<circle class=\"before\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"/><text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">before</text>",
                x - 10.0,
                y + 4.0
            );
        }
        if let Some(rank) = rank {
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, y - 6.0, rank + 1);
        }
    }
    out
}
