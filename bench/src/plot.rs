//! Quotients as a picture: a point with its interval for each, a line where nothing is lost or won, and the bounds.
//!
//! SVG written by hand: few shapes, readable on a light and on a dark page, and the same bytes for the same figures.

use std::fmt::Write;

use crate::growth;
use crate::report::Section;
use crate::row::{Bound, Row, Unit, Verdict};

/// Width of every picture in pixels.
pub const WIDTH: f64 = 900.0;
/// Width of the part that names the rows.
const NAMES: f64 = 400.0;
/// Height of a row, and of what is above and below all of them.
const ROW: f64 = 20.0;
const EDGE: f64 = 34.0;

/// The curves of a section, or its quotients with an interval, in a picture; `None` if it has fewer than two of either.
pub fn svg(section: &Section) -> Option<String> {
    if !section.curves.is_empty() {
        return growth::svg(&section.title, &section.curves);
    }
    let rows: Vec<(&Row, (f64, f64))> = section
        .rows
        .iter()
        .filter(|row| row.unit == Unit::Ratio && row.value.is_finite())
        .filter_map(|row| {
            Some((row, row.interval.filter(|(low, high)| low.is_finite() && high.is_finite())?))
        })
        .collect();
    if rows.len() < 2 {
        return None;
    }
    let scale = Scale::of(&rows);
    let height = EDGE * 2.0 + ROW * rows.len() as f64;
    let mut text = opening(&section.title, height);
    for tick in scale.ticks() {
        let (x, bottom) = (scale.x(tick), height - EDGE);
        let color = if tick == 1.0 { "#555555" } else { "#dddddd" };
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{EDGE}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{color}\"/>"
        );
        let below = bottom + 16.0;
        let _ =
            writeln!(text, "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", short(tick));
    }
    for (index, (row, interval)) in rows.iter().enumerate() {
        draw(&mut text, &scale, EDGE + ROW * (index as f64 + 0.5), row, *interval);
    }
    text.push_str("</svg>\n");
    Some(text)
}

/// How a picture begins: its size, a white ground, its title.
pub fn opening(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"18\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    )
}

fn draw(text: &mut String, scale: &Scale, y: f64, row: &Row, (low, high): (f64, f64)) {
    let color = match row.verdict() {
        Verdict::Unbounded => "#1f5fa8",
        Verdict::Holds => "#1c7c3c",
        Verdict::Broken => "#b3261e",
        Verdict::NotJudged => "#8a8a8a",
    };
    let (left, right, middle, base) = (scale.x(low), scale.x(high), scale.x(row.value), y + 4.0);
    let _ = writeln!(text, "<text x=\"8\" y=\"{base:.1}\">{}</text>", escaped(&row.what));
    let _ = writeln!(
        text,
        "<line x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>"
    );
    let _ = writeln!(text, "<circle cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>");
    if let Bound::AtMost(bound) | Bound::AtLeast(bound) = row.bound {
        let (x, top, bottom) = (scale.x(bound), y - 8.0, y + 8.0);
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#000000\" stroke-width=\"2\"/>"
        );
    }
}

/// Where a quotient is drawn. Logarithmic: half as much is as far from 1 as twice as much.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(rows: &[(&Row, (f64, f64))]) -> Scale {
        let ends = rows.iter().flat_map(|(_, (low, high))| [*low, *high]).filter(|end| *end > 0.0);
        let (least, most) =
            ends.fold((0.95f64, 1.05f64), |(least, most), end| (least.min(end), most.max(end)));
        Scale { least: least / 1.02, most: most * 1.02 }
    }

    fn x(&self, value: f64) -> f64 {
        let value = value.clamp(self.least, self.most);
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        NAMES + share * (WIDTH - NAMES - 16.0)
    }

    /// A few round numbers; 1 is always one of them.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.most / self.least > 1.6 {
            &[0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0]
        } else {
            &[0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4]
        };
        steps.iter().copied().filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text of an SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_pathbench::statistics::Estimate;

    fn section() -> Section {
        let row = |what, median: f64| {
            Row::estimated(what, Estimate { median, low: median * 0.99, high: median * 1.01 }, Unit::Ratio)
        };
        let mut section = Section::new("a < b", "");
        section.rows = vec![
            row("P2P ÷ VXLAN", 1.0).at_most(1.02),
            row("host ÷ VXLAN", 0.5),
            row("bad", 1.3).at_most(1.0),
        ];
        section
    }

    #[test]
    fn each_quotient_has_a_point_and_each_bound_a_mark() {
        let svg = svg(&section()).unwrap();
        assert_eq!((svg.matches("<circle").count(), svg.matches("stroke=\"#000000\"").count()), (3, 2));
        assert!(svg.contains("a &lt; b") && svg.contains("#1c7c3c") && svg.contains("#b3261e"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn half_is_as_far_from_one_as_double() {
        let scale = Scale { least: 0.25, most: 4.0 };
        assert!((scale.x(1.0) - scale.x(0.5) - (scale.x(2.0) - scale.x(1.0))).abs() < 1e-9);
        assert_eq!(scale.x(100.0), scale.x(4.0));
        assert!(scale.ticks().contains(&1.0));
    }

    #[test]
    fn a_section_without_quotients_has_no_picture() {
        let mut section = section();
        section.rows.truncate(1);
        assert!(svg(&section).is_none());
        section.rows = vec![Row::shown("a", f64::NAN, Unit::Ratio), Row::shown("b", 1.0, Unit::Seconds)];
        assert!(svg(&section).is_none());
    }
}
