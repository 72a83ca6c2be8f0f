//! Cuts a YAML text into its documents without parsing them, so that a broken one does not take the
//! others with it.

/// One document of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece<'a> {
    /// Its text.
    pub text: &'a str,
    /// Lines of the file before it.
    pub lines_before: usize,
}

/// The documents in `text` that hold more than blank lines, comments and directives. YAML ends a
/// document at `---` or `...` in the first column whatever surrounds it (YAML 1.2.2, 9.1.2), also
/// inside a block or quoted scalar.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut current = Piece { text, lines_before: 0 };
    let mut start = 0;
    let mut at = 0;
    for (line_number, line) in text.split_inclusive('\n').enumerate() {
        if let Some(length) = marker(line) {
            pieces.push(Piece { text: &text[start..at], ..current });
            // What follows the marker in its line belongs to the new document.
            start = at + length;
            current.lines_before = line_number;
        }
        at += line.len();
    }
    pieces.push(Piece { text: &text[start..], ..current });
    pieces.retain(|piece| piece.text.lines().any(|line| !is_blank(line)));
    pieces
}

/// The length of a document marker at the beginning of `line`.
fn marker(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."))?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(3)
}

/// Whether a line holds nothing but a comment or a directive.
pub(crate) fn is_blank(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with('#') || line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(usize, &str)> {
        pieces(text).into_iter().map(|p| (p.lines_before, p.text.trim())).collect()
    }

    #[test]
    fn documents_keep_their_lines() {
        assert_eq!(
            shown("a: 1\n---\nb: 2\n---\n\n# only this\n---\r\nc: 3"),
            [(0, "a: 1"), (1, "b: 2"), (6, "c: 3"),]
        );
        assert_eq!(shown("%YAML 1.2\n--- {a: 1}\n...\nb: 2\n"), [(1, "{a: 1}"), (2, "b: 2")]);
    }

    #[test]
    fn a_marker_ends_even_an_open_scalar() {
        assert_eq!(shown("a: \"open\n---\nb: 2"), [(0, "a: \"open"), (1, "b: 2")]);
        assert_eq!(shown("a: |\n  ---\n  text\n").len(), 1);
        assert_eq!(shown("a: ---b\n----\n---b: 1\n").len(), 1);
    }

    #[test]
    fn nothing_is_no_document() {
        for nothing in ["", "\n\n", "# a\n", "---\n---\n", "\u{feff}"] {
            assert_eq!(shown(nothing), [], "{nothing:?}");
        }
    }
}
