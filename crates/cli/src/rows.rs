//! Lists and single objects as tables, JSON, YAML or names.

use crate::{
    Result,
    app::App,
    args::Format,
    table::{Column, Layout},
};
use base::Revision;
use serde::Serialize;

/// Something that can be a row of a table.
pub trait Row: Serialize {
    /// The columns.
    const COLUMNS: &'static [Column];
    /// The cells of its row, one for each column.
    fn cells(&self) -> Vec<String>;
    /// What a command takes to mean it.
    fn name(&self) -> String;
}

#[derive(Serialize)]
struct Items<'a, T> {
    items: &'a [T],
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
}

/// Shows a list. An empty one says so, on stderr.
pub fn list<T: Row>(app: &App, items: &[T], revision: Option<Revision>, what: &str) -> Result<()> {
    if app.printer.format.is_data() {
        return app.printer.value(&Items { items, revision });
    }
    if items.is_empty() {
        app.printer.note(&format!("no {what}"));
    }
    Rows::begin(app, items);
    Ok(())
}

/// Shows one object.
pub fn one<T: Row>(app: &App, item: &T) -> Result<()> {
    if app.printer.format.is_data() {
        return app.printer.value(item);
    }
    Rows::begin(app, std::slice::from_ref(item));
    Ok(())
}

/// A table that has begun.
#[derive(Debug)]
pub struct Rows {
    layout: Layout,
    begun: bool,
}

impl Rows {
    /// Shows a header and rows. Without rows there is no header yet.
    pub fn begin<T: Row>(app: &App, items: &[T]) -> Self {
        let limit = app.printer.on_terminal().then(crate::terminal::columns).flatten();
        let mut layout = Layout::new(T::COLUMNS, app.printer.format == Format::Wide, limit);
        let rows: Vec<Vec<String>> = items.iter().map(T::cells).collect();
        for cells in &rows {
            layout.fit(cells);
        }
        let mut table = Rows { layout, begun: false };
        for item in items {
            table.add(app, item);
        }
        table
    }

    /// One more row.
    pub fn add<T: Row>(&mut self, app: &App, item: &T) {
        if app.printer.format == Format::Name {
            return app.printer.line(&item.name());
        }
        let cells = item.cells();
        self.layout.fit(&cells);
        if !std::mem::replace(&mut self.begun, true) {
            let titles: Vec<&str> = T::COLUMNS.iter().map(|c| c.title).collect();
            app.printer.line(&self.layout.line(&titles));
        }
        app.printer.line(&self.layout.line(&cells));
    }
}

/// A text, or `-` for none.
pub fn or_dash(text: impl AsRef<str>) -> String {
    if text.as_ref().is_empty() { "-".into() } else { text.as_ref().to_owned() }
}

/// A runtime and its acceleration, as `qemu/kvm`.
pub fn runtime(name: &str, acceleration: &str) -> String {
    match acceleration {
        "" | "none" => or_dash(name),
        _ => format!("{name}/{acceleration}"),
    }
}

/// Labels as `a=b,c=d`.
pub fn labels(labels: &api::meta::Labels) -> String {
    or_dash(labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
}
