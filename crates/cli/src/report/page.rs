//! Text for people: lines, headings, and tables whose columns are aligned.

use std::fmt::Write;

use super::Colour;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As any text.
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// Rows under headers.
#[derive(Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    tone: Tone,
    cells: Vec<String>,
    details: Vec<String>,
}

impl Table {
    /// A table with these headers. An empty list makes one without.
    pub fn new(headers: &[&'static str]) -> Table {
        Table { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.toned_row(Tone::Plain, cells);
    }

    /// Adds a row that is meant so.
    pub fn toned_row(&mut self, tone: Tone, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { tone, cells: cells.into_iter().collect(), details: Vec::new() });
    }

    /// Adds lines below the last row, for text that is too long for a column.
    pub fn detail(&mut self, lines: impl IntoIterator<Item = String>) {
        if let Some(row) = self.rows.last_mut() {
            row.details.extend(lines);
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self, rows: &[Row]) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headers.iter().map(|header| header.len()).collect();
        for row in rows {
            widths.resize(widths.len().max(row.cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

#[derive(Debug)]
enum Block {
    Line(Tone, String),
    Heading(String),
    Table(Table),
}

/// Text for people, from top to bottom.
#[derive(Debug, Default)]
pub struct Page(Vec<Block>);

impl Page {
    /// Adds a line, or several.
    pub fn line(&mut self, text: impl Into<String>) {
        self.0.push(Block::Line(Tone::Plain, text.into()));
    }

    /// Adds a line that is meant so.
    pub fn toned(&mut self, tone: Tone, text: impl Into<String>) {
        self.0.push(Block::Line(tone, text.into()));
    }

    /// Adds a heading with an empty line above.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.0.push(Block::Heading(text.into()));
    }

    /// Adds a table under a heading; nothing if it is empty.
    pub fn section(&mut self, heading: &str, table: Table) {
        if !table.is_empty() {
            self.heading(heading);
            self.0.push(Block::Table(table));
        }
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) {
        self.0.push(Block::Table(table));
    }

    /// The text. Tables show `limit` rows each, 0 for all.
    pub fn text(&self, limit: usize, colour: Colour) -> String {
        let mut out = String::new();
        for block in &self.0 {
            match block {
                Block::Line(tone, text) => out.push_str(&toned(*tone, text, colour)),
                Block::Heading(text) => {
                    if !out.is_empty() {
                        out.push('\n');
                    }
                    out.push_str(&bold(text, colour));
                }
                Block::Table(table) => {
                    write_table(&mut out, table, limit, colour);
                    continue;
                }
            }
            out.push('\n');
        }
        out
    }
}

fn bold(text: &str, colour: Colour) -> String {
    match colour {
        Colour::On => format!("\x1b[1m{text}\x1b[0m"),
        Colour::Off => text.to_owned(),
    }
}

fn toned(tone: Tone, text: &str, colour: Colour) -> String {
    match (colour, tone) {
        (Colour::On, Tone::Good) => format!("\x1b[32m{text}\x1b[0m"),
        (Colour::On, Tone::Bad) => format!("\x1b[31m{text}\x1b[0m"),
        (Colour::Off, _) | (_, Tone::Plain) => text.to_owned(),
    }
}

fn write_table(out: &mut String, table: &Table, limit: usize, colour: Colour) {
    let shown = if limit == 0 { table.rows.len() } else { limit.min(table.rows.len()) };
    let rows = &table.rows[..shown];
    let widths = table.widths(rows);
    if !table.headers.is_empty() {
        let headers: Vec<String> = table.headers.iter().map(|header| (*header).to_owned()).collect();
        out.push_str(&bold(&aligned(&headers, &widths), colour));
        out.push('\n');
    }
    for row in rows {
        out.push_str(&toned(row.tone, &aligned(&row.cells, &widths), colour));
        out.push('\n');
        for line in &row.details {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "    {line}");
        }
    }
    let rest = table.rows.len() - shown;
    if rest > 0 {
        let _ = writeln!(out, "... and {rest} more; --limit 0 shows all");
    }
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let _ = write!(line, "{cell:<width$}  ");
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut table = Table::new(&["NAME", "WHY"]);
        table.row(["a".to_owned(), "first".to_owned()]);
        table.row(["longer".to_owned(), String::new()]);
        let mut page = Page::default();
        page.toned(Tone::Bad, "no way");
        page.section("REFUSED", table);
        page.section("NOTHING", Table::new(&["X"]));
        page
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let text = page().text(0, Colour::Off);
        assert_eq!(text, "no way\n\nREFUSED\nNAME    WHY\na       first\nlonger\n");
    }

    #[test]
    fn a_limit_cuts_rows_and_says_so() {
        let text = page().text(1, Colour::Off);
        assert!(text.ends_with("NAME  WHY\na     first\n... and 1 more; --limit 0 shows all\n"), "{text}");
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        assert!(page().text(0, Colour::On).starts_with("\x1b[31mno way\x1b[0m\n"));
        assert!(!page().text(0, Colour::Off).contains('\x1b'));
    }
}
