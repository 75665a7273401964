//! A small chart writer: axes with round ticks, lines, dots, bars, a legend.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#d1495b", "#3a7d44", "#8a5a9e"];
const TICKS: f64 = 6.0;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Dots,
}

/// Points with a name.
struct Series {
    name: String,
    mark: Mark,
    points: Vec<(f64, f64)>,
}

/// A chart of points.
pub(super) struct Chart {
    title: String,
    x: String,
    y: String,
    series: Vec<Series>,
    shades: Vec<(f64, f64)>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The least of 1, 2, 5 times a power of ten that is at least `rough`.
fn round_step(rough: f64) -> f64 {
    if rough <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999_999).unwrap_or(power)
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn open(out: &mut String, width: f64, height: f64, title: &str) {
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>",
        escape(title)
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

impl Chart {
    pub(super) fn new(title: &str, x: &str, y: &str) -> Self {
        let (title, x, y) = (title.to_owned(), x.to_owned(), y.to_owned());
        Self { title, x, y, series: Vec::new(), shades: Vec::new() }
    }

    pub(super) fn series(&mut self, name: &str, mark: Mark, points: Vec<(f64, f64)>) {
        self.series.push(Series { name: name.to_owned(), mark, points });
    }

    /// Marks a stretch of the x axis.
    pub(super) fn shade(&mut self, from: f64, to: f64) {
        self.shades.push((from, to));
    }

    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let top = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(0.0, f64::max);
        let (x_step, y_step) = (round_step(top(|p| p.0) / TICKS), round_step(top(|p| p.1) / TICKS));
        let x_max = (top(|p| p.0) / x_step).ceil().max(1.0) * x_step;
        let y_max = (top(|p| p.1) / y_step).ceil().max(1.0) * y_step;
        let at_x = |x: f64| LEFT + x / x_max * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM);
        let mut out = String::new();
        open(&mut out, WIDTH, HEIGHT, &self.title);
        for (from, to) in &self.shades {
            let (x, width) = (at_x(*from), at_x(to.min(x_max)) - at_x(*from));
            let height = HEIGHT - TOP - BOTTOM;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height}\" fill=\"#d1495b\" opacity=\"0.10\"/>",
                width.max(0.0)
            );
        }
        for tick in 0..=(y_max / y_step).round() as u32 {
            let y = at_y(f64::from(tick) * y_step);
            let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
            text(&mut out, LEFT - 8.0, y + 4.0, "end", &number(f64::from(tick) * y_step));
        }
        for tick in 0..=(x_max / x_step).round() as u32 {
            let x = at_x(f64::from(tick) * x_step);
            let _ = writeln!(out, "<path d=\"M{x:.1} {}v5\" stroke=\"#555\"/>", HEIGHT - BOTTOM);
            text(&mut out, x, HEIGHT - BOTTOM + 20.0, "middle", &number(f64::from(tick) * x_step));
        }
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{}H{}\" stroke=\"#555\" fill=\"none\"/>",
            HEIGHT - BOTTOM,
            WIDTH - RIGHT
        );
        text(&mut out, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 14.0, "middle", &self.x);
        text(&mut out, 12.0, TOP - 8.0, "start", &self.y);
        self.draw(&mut out, &at_x, &at_y);
        out.push_str("</svg>\n");
        out
    }

    fn draw(&self, out: &mut String, at_x: &dyn Fn(f64) -> f64, at_y: &dyn Fn(f64) -> f64) {
        let mut legend = LEFT + 60.0;
        for (Series { name, mark, points }, colour) in self.series.iter().zip(COLOURS) {
            match mark {
                Mark::Dots => {
                    for (x, y) in points {
                        let (x, y) = (at_x(*x), at_y(*y));
                        let _ = writeln!(
                            out,
                            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\" fill=\"{colour}\" opacity=\"0.7\"/>"
                        );
                    }
                }
                Mark::Line => {
                    let path: Vec<String> =
                        points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
                    let _ = writeln!(
                        out,
                        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                        path.join(" ")
                    );
                }
            }
            let _ = writeln!(out, "<rect x=\"{legend:.1}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
            let words = format!("{name} ({})", points.len());
            text(out, legend + 18.0, 49.0, "start", &words);
            legend += 40.0 + 7.0 * words.len() as f64;
        }
    }
}

/// Horizontal bars, one for each row.
pub(super) fn bars(title: &str, unit: &str, rows: &[(String, f64)]) -> String {
    const ROW: f64 = 30.0;
    const NAMES: f64 = 130.0;
    const NUMBERS: f64 = 110.0;
    let height = TOP + ROW * rows.len().max(1) as f64 + 10.0;
    let most = rows.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut out = String::new();
    open(&mut out, WIDTH, height, title);
    for (at, (name, value)) in rows.iter().enumerate() {
        let y = TOP - 14.0 + ROW * at as f64;
        let width = value / most * (WIDTH - NAMES - NUMBERS);
        text(&mut out, NAMES - 10.0, y + 16.0, "end", name);
        let _ = writeln!(
            out,
            "<rect x=\"{NAMES}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"20\" fill=\"{}\"/>",
            COLOURS[0]
        );
        text(&mut out, NAMES + width + 8.0, y + 16.0, "start", &format!("{} {unit}", number(*value)));
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (rough, step) in [(0.9, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (0.03, 0.05), (0.0, 1.0)] {
            assert!((round_step(rough) - step).abs() < 1e-9, "{rough}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let mut chart = Chart::new("a < b & c", "x", "y");
        chart.series("<s>", Mark::Line, vec![(1.0, 2.0), (2.0, 1.0)]);
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&lt;s&gt;"));
    }
}
