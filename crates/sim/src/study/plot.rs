//! Pictures of the study: bars with 95 % intervals, as SVG without any library.

use std::fmt::Write as _;

use super::summary::Cell;

/// Colours of the policies, in the order of their appearance: distinguishable without colour vision (Okabe and Ito).
const COLOURS: [&str; 6] = ["#999999", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#000000"];
const BAR: f64 = 14.0;
const GAP: f64 = 24.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;
const HEIGHT: f64 = 260.0;

/// One column of the table for one size: a group of bars for each regime.
pub fn bars(cells: &[Cell], validators: u16, column: &str, title: &str) -> String {
    let of_size: Vec<&Cell> = cells.iter().filter(|cell| cell.validators == validators).collect();
    let mut regimes: Vec<&str> = Vec::new();
    let mut policies: Vec<&str> = Vec::new();
    for cell in &of_size {
        if !regimes.contains(&cell.regime) {
            regimes.push(cell.regime);
        }
        if !policies.contains(&cell.policy) {
            policies.push(cell.policy);
        }
    }
    let mean = |cell: &Cell| cell.means.get(column).copied().unwrap_or_default();
    let reach = |cell: &&Cell| (mean(cell).mean, mean(cell).half_width.unwrap_or(0.0));
    let most = of_size
        .iter()
        .map(|cell| {
            let (m, h) = reach(cell);
            m + h
        })
        .fold(0.0, f64::max);
    let least = of_size
        .iter()
        .map(|cell| {
            let (m, h) = reach(cell);
            m - h
        })
        .fold(0.0, f64::min);
    let span = (most - least).max(1e-9);
    let group = BAR * policies.len() as f64 + GAP;
    let width = LEFT + group * regimes.len() as f64 + 20.0;
    let y = |value: f64| TOP + HEIGHT * (most - value) / span;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"18\" font-size=\"14\">{title}, {validators} validators</text>\n",
        TOP + HEIGHT + 40.0
    );
    for (at, policy) in policies.iter().enumerate() {
        let x = 10.0 + 100.0 * at as f64;
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"37\">{policy}</text>",
            x + 14.0
        );
    }
    for step in 0..=4 {
        let value = least + span * f64::from(step) / 4.0;
        let digits = if span >= 20.0 { 0 } else { 2 };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0
        );
    }
    for (place, regime) in regimes.iter().enumerate() {
        let left = LEFT + group * place as f64 + GAP / 2.0;
        for (at, policy) in policies.iter().enumerate() {
            let Some(cell) = of_size.iter().find(|cell| cell.regime == *regime && cell.policy == *policy) else {
                continue;
            };
            let (value, half) = reach(cell);
            let x = left + BAR * at as f64;
            let (top, bottom) = (y(value.max(0.0)), y(value.min(0.0)));
            let colour = COLOURS[at % COLOURS.len()];
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                BAR - 2.0,
                (bottom - top).max(0.5)
            );
            if half > 0.0 {
                let middle = x + BAR / 2.0 - 1.0;
                let _ = writeln!(
                    svg,
                    "<line x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#333\"/>",
                    y(value + half),
                    y(value - half)
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{regime}</text>",
            left + (group - GAP) / 2.0,
            TOP + HEIGHT + 20.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
