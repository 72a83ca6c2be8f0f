//! Saying what is wrong, once while it lasts.

use std::collections::{BTreeMap, BTreeSet};

use causeway_kubernetes::{Problem, merged};

/// What was said to be wrong.
#[derive(Clone, Debug, Default)]
pub struct Complaints(BTreeMap<String, Said>);

#[derive(Clone, Default, Debug)]
struct Said {
    of: BTreeSet<String>,
    text: String,
}

/// A line to be said.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Line {
    Wrong(String),
    WrongNoLonger(String),
}

impl Complaints {
    /// Takes `now` for all that is wrong: logs what is new, and what is wrong no longer. The same problem in
    /// other words is not new, unless it concerns more than before; what was said is not repeated with it.
    pub fn say<P: Into<Problem>>(&mut self, now: impl IntoIterator<Item = P>) {
        for line in self.lines(now.into_iter().map(Into::into)) {
            match line {
                Line::Wrong(text) => tracing::warn!("{text}"),
                Line::WrongNoLonger(text) => tracing::info!("no longer: {text}"),
            }
        }
    }

    fn lines(&mut self, now: impl Iterator<Item = Problem>) -> Vec<Line> {
        let mut before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for problem in now {
            if let Some(said) = before.remove(&problem.about) {
                self.0.insert(problem.about.clone(), said);
            }
            if !self.0.get(&problem.about).is_some_and(|said| problem.of.is_subset(&said.of)) {
                news.push(problem);
            }
        }
        let mut lines = Vec::new();
        for Problem { about, of, text } in merged(news) {
            lines.push(Line::Wrong(text.clone()));
            let said = self.0.entry(about).or_default();
            said.text = match said.of.is_subset(&of) {
                true => text,
                false => format!("{}; {text}", said.text),
            };
            said.of.extend(of);
        }
        lines.extend(before.into_values().map(|said| Line::WrongNoLonger(said.text)));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(of: &[&str], text: &str) -> Problem {
        let of = of.iter().map(|one| (*one).to_owned()).collect();
        Problem { about: "a".to_owned(), of, text: text.to_owned() }
    }

    #[test]
    fn a_problem_is_said_again_only_when_it_concerns_more() {
        let mut complaints = Complaints::default();
        let wrong = |text: &str| vec![Line::Wrong(text.to_owned())];
        assert_eq!(complaints.lines([problem(&["x", "y"], "1")].into_iter()), wrong("1"));
        assert_eq!(complaints.lines([problem(&["x", "y"], "2")].into_iter()), []);
        // It is mended bit by bit.
        assert_eq!(complaints.lines([problem(&["y"], "3")].into_iter()), []);
        assert_eq!(complaints.lines([problem(&["x", "y", "z"], "4")].into_iter()), wrong("4"));
        assert_eq!(complaints.lines([].into_iter()), [Line::WrongNoLonger("4".to_owned())]);
        assert_eq!(complaints.lines([problem(&["x"], "5")].into_iter()), wrong("5"));
    }

    #[test]
    fn what_fails_a_moment_later_is_said_alone() {
        let mut complaints = Complaints::default();
        let wrong = |text: &str| vec![Line::Wrong(text.to_owned())];
        let (x, yz) = (problem(&["x"], "1"), problem(&["y", "z"], "2"));
        assert_eq!(complaints.lines([x.clone()].into_iter()), wrong("1"));
        assert_eq!(complaints.lines([yz.clone(), x.clone()].into_iter()), wrong("2"));
        assert_eq!(complaints.lines([yz, x.clone()].into_iter()), []);
        assert_eq!(complaints.lines([x].into_iter()), []);
        assert_eq!(complaints.lines([].into_iter()), [Line::WrongNoLonger("1; 2".to_owned())]);
    }
}
