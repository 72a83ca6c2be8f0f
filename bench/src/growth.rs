//! How something grows, in a picture: both axes logarithmic, so that a power law is a line and its exponent the slope.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::plot::{WIDTH, escaped, opening};
use crate::row::{Row, Unit};
use causeway_pathbench::statistics::growth_exponent;

/// Something measured at several sizes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Curve {
    /// What.
    pub name: String,
    /// Of what there are more and more.
    pub of: String,
    /// Sizes, ascending, and seconds.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// The exponent of the power law that fits best.
    pub fn exponent(&self) -> f64 {
        growth_exponent(&self.points)
    }
}

const HEIGHT: f64 = 420.0;
/// What is left of the axes, and below them.
const LEFT: f64 = 80.0;
const BELOW: f64 = 40.0;
/// Above, where each curve is named.
const ABOVE: f64 = 90.0;
/// What is right of them: half of the last label.
const RIGHT: f64 = 56.0;
const COLORS: [&str; 4] = ["#1f5fa8", "#b3261e", "#1c7c3c", "#8a5a00"];

/// The curves; `None` if there is nothing to be drawn.
pub fn svg(title: &str, curves: &[Curve]) -> Option<String> {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    if all().count() < 2 || all().any(|(size, seconds)| !(*size > 0.0 && *seconds > 0.0)) {
        return None;
    }
    let of = escaped(&curves[0].of);
    let (across, up) = (Axis::of(all().map(|point| point.0)), Axis::of(all().map(|point| point.1)));
    let x = |size: f64| LEFT + across.share(size) * (WIDTH - LEFT - RIGHT);
    let y = |seconds: f64| HEIGHT - BELOW - up.share(seconds) * (HEIGHT - BELOW - ABOVE);
    let mut text = opening(title, HEIGHT);
    for tick in across.ticks() {
        let (x, bottom, below) = (x(tick), HEIGHT - BELOW, HEIGHT - BELOW + 18.0);
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{ABOVE}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>"
        );
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{tick} {of}</text>");
    }
    for tick in up.ticks() {
        let (y, right, beside) = (y(tick), WIDTH - RIGHT, LEFT - 8.0);
        let [_, label, ..] = Row::shown("", tick, Unit::Seconds).cells();
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>"
        );
        let _ = writeln!(text, "<text x=\"{beside}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
    }
    for (index, curve) in curves.iter().enumerate() {
        let (color, line) = (COLORS[index % COLORS.len()], 36.0 + 16.0 * index as f64);
        let named = escaped(&format!("{}: n^{:.2}", curve.name, curve.exponent()));
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{line}\" fill=\"{color}\">{named}</text>");
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(size, seconds)| format!("{:.1},{:.1}", x(*size), y(*seconds)))
            .collect();
        let _ =
            writeln!(text, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\"/>", points.join(" "));
        for (size, seconds) in &curve.points {
            let _ = writeln!(
                text,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{color}\"/>",
                x(*size),
                y(*seconds)
            );
        }
    }
    text.push_str("</svg>\n");
    Some(text)
}

/// From one power of ten to another.
struct Axis {
    first: i32,
    last: i32,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>) -> Axis {
        let (least, most) =
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        // What lies on a power but for rounding is on it.
        let (first, last) = ((least.log10() + 1e-9).floor() as i32, (most.log10() - 1e-9).ceil() as i32);
        Axis { first, last: last.max(first + 1) }
    }

    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|power| 10f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Curve {
        Curve { name: "a & b".to_owned(), of: "nodes".to_owned(), points: points.to_vec() }
    }

    #[test]
    fn a_curve_has_its_points_its_exponent_and_a_label_for_each_power_of_ten() {
        let curves = [curve(&[(1e3, 2e-3), (1e4, 2e-2), (1e5, 2e-1)]), curve(&[(1e3, 1e-3), (1e5, 1e-3)])];
        let svg = svg("growth", &curves).unwrap();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (5, 2));
        for label in [
            "a &amp; b: n^1.00",
            "a &amp; b: n^0.00",
            ">1000 nodes<",
            ">100000 nodes<",
            ">1.0 ms<",
            ">1.00 s<",
        ] {
            assert!(svg.contains(label), "{label} in {svg}");
        }
    }

    #[test]
    fn ten_times_as_much_is_equally_far_everywhere() {
        let axis = Axis::of([1e3, 1e5].into_iter());
        assert_eq!((axis.share(1e3), axis.share(1e4), axis.share(1e5)), (0.0, 0.5, 1.0));
    }

    #[test]
    fn nothing_is_drawn_of_what_has_no_logarithm() {
        assert!(svg("", &[]).is_none());
        assert!(svg("", &[curve(&[(1e3, 0.0), (1e4, 1.0)])]).is_none());
        assert!(svg("", &[curve(&[(1e3, f64::NAN), (1e4, 1.0)])]).is_none());
    }
}
