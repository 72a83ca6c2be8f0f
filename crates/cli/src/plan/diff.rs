//! Two texts as a difference, line by line, with a few lines around each change.

use std::fmt::Write;

/// Lines that are shown before and after a change.
const AROUND: usize = 3;

/// A line of a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// `before` and `after` as a unified difference without line numbers; empty if they are equal.
pub fn unified(name: &str, before: &str, after: &str) -> String {
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let lines = compared(&old, &new);
    let changed: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !matches!(line, Line::Same(_)))
        .map(|(at, _)| at)
        .collect();
    let mut text = String::new();
    if changed.is_empty() {
        return text;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "--- {name}\n+++ {name}");
    let (mut next, mut was_near) = (0, false);
    for (at, line) in lines.iter().enumerate() {
        while changed.get(next).is_some_and(|change| change + AROUND < at) {
            next += 1;
        }
        let near = changed.get(next).is_some_and(|change| change.abs_diff(at) <= AROUND);
        if near && !was_near {
            text.push_str("@@\n");
        }
        if near {
            let _ = match line {
                Line::Same(line) => writeln!(text, " {line}"),
                Line::Gone(line) => writeln!(text, "-{line}"),
                Line::New(line) => writeln!(text, "+{line}"),
            };
        }
        was_near = near;
    }
    text
}

/// The lines of both, each once where it is in both: what begins and ends alike, and between that the longest common
/// subsequence.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (mid_old, mid_new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut lines: Vec<Line<'a>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    lines.extend(subsequence(mid_old, mid_new));
    lines.extend(old[old.len() - tail..].iter().map(|line| Line::Same(line)));
    lines
}

/// Beyond this product of lengths all that is old is shown as gone and all that is new as new: a table of it would be
/// too large.
const LIMIT: usize = 16_000_000;

fn subsequence<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let replaced =
        || old.iter().map(|line| Line::Gone(line)).chain(new.iter().map(|line| Line::New(line))).collect();
    if old.len().saturating_mul(new.len()) > LIMIT {
        return replaced();
    }
    // longest[i][j]: length of the longest common subsequence of what follows i and j.
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(Line::Gone(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_a_few_lines_around() {
        let before: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
        let mut after = before.clone();
        after[4] = "other".to_owned();
        after.remove(15);
        let text = unified("X", &before.join("\n"), &after.join("\n"));
        assert_eq!(
            text,
            "--- X\n+++ X\n@@\n line 1\n line 2\n line 3\n-line 4\n+other\n line 5\n line 6\n line 7\n@@\n line 12\n \
             line 13\n line 14\n-line 15\n line 16\n line 17\n line 18\n"
        );
    }

    #[test]
    fn equal_texts_have_no_difference_and_an_empty_one_is_all_new() {
        assert_eq!(unified("X", "a\nb", "a\nb"), "");
        assert_eq!(unified("X", "", "a\nb"), "--- X\n+++ X\n@@\n+a\n+b\n");
        assert_eq!(unified("X", "a", ""), "--- X\n+++ X\n@@\n-a\n");
    }

    #[test]
    fn applying_a_difference_gives_the_other_text() {
        for (old, new) in [("a b c d", "b x d e"), ("a a b", "a b b"), ("", "q"), ("x y", "y x")] {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
            let lines = compared(&old, &new);
            let kept = |gone: bool| -> Vec<&str> {
                lines
                    .iter()
                    .filter_map(|line| match line {
                        Line::Same(line) => Some(*line),
                        Line::Gone(line) => gone.then_some(*line),
                        Line::New(line) => (!gone).then_some(*line),
                    })
                    .collect()
            };
            assert_eq!((kept(true), kept(false)), (old, new));
        }
    }
}
