//! Tables: columns that line up, without lines. Rows may come later, as in a watch, and keep the columns.

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title, in capitals.
    pub title: &'static str,
    /// Whether only `-o wide` shows it.
    pub wide: bool,
}

/// A column that is always there.
pub const fn col(title: &'static str) -> Column {
    Column { title, wide: false }
}

/// A column of `-o wide`.
pub const fn wide(title: &'static str) -> Column {
    Column { title, wide: true }
}

const GAP: usize = 3;

/// The layout of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    shown: Vec<usize>,
    widths: Vec<usize>,
    /// Most characters of a line; the last column is cut.
    limit: Option<usize>,
}

impl Layout {
    /// A layout for these columns.
    pub fn new(columns: &[Column], wide: bool, limit: Option<usize>) -> Self {
        let shown: Vec<usize> = (0..columns.len()).filter(|&i| wide || !columns[i].wide).collect();
        let widths = shown.iter().map(|&i| columns[i].title.len()).collect();
        Layout { shown, widths, limit: if wide { None } else { limit } }
    }

    /// Makes room for a row. Rows that are fitted later may stick out.
    pub fn fit(&mut self, cells: &[String]) {
        for (width, &i) in self.widths.iter_mut().zip(&self.shown) {
            *width = (*width).max(cells.get(i).map_or(0, |c| c.chars().count()));
        }
    }

    /// One line.
    pub fn line(&self, cells: &[impl AsRef<str>]) -> String {
        let mut line = String::new();
        for (&i, &width) in self.shown.iter().zip(&self.widths) {
            let cell: String = cells.get(i).map_or("", AsRef::as_ref).chars().map(printable).collect();
            let padding = (width + GAP).saturating_sub(cell.chars().count()).max(1);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        let line = line.trim_end();
        match self.limit {
            Some(limit) if line.chars().count() > limit && limit > 1 => {
                line.chars().take(limit - 1).chain(['…']).collect()
            }
            _ => line.to_owned(),
        }
    }
}

/// Nothing that a guest or another user wrote may move the cursor.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_are_cut() {
        let columns = [col("NAME"), wide("UID"), col("MESSAGE")];
        let row = |a: &str, b: &str| vec![a.to_owned(), "u".to_owned(), b.to_owned()];
        let mut layout = Layout::new(&columns, false, Some(16));
        layout.fit(&row("web-server", "x"));
        assert_eq!(layout.line(&["NAME", "UID", "MESSAGE"]), "NAME         ME…");
        assert_eq!(layout.line(&row("web", "a\x1b[2J")), "web          a …");
        let mut layout = Layout::new(&columns, true, Some(10));
        layout.fit(&row("web", "ok"));
        assert_eq!(layout.line(&row("web", "ok")), "web    u     ok");
    }
}
