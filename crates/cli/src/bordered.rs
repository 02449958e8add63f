//! Tables with lines around every cell, as Hybrid Platforms Conductor prints them.

/// The whole table, without the last line break. A cell is as wide as the widest of its column.
pub fn table<const N: usize>(titles: &[&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(|t| t.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let border: String =
        widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).chain(["+".into()]).collect();
    let line = |cells: [&str; N]| -> String {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("| {:width$} ", printable(cell)));
        cells.chain(["|".into()]).collect()
    };
    let head = [border.clone(), line(*titles), border.clone()].into_iter();
    let body = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    head.chain(body).chain([border]).collect::<Vec<_>>().join("\n")
}

/// Nothing that somebody wrote into an inventory may move the cursor.
fn printable(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn cells_have_lines_around_them() {
        let rows = [["web1".to_owned(), "über\tx".to_owned()], ["w".to_owned(), String::new()]];
        insta::assert_snapshot!(table(&["Node", "OS"], &rows), @r"
        +------+--------+
        | Node | OS     |
        +------+--------+
        | web1 | über x |
        | w    |        |
        +------+--------+
        ");
    }
}
