//! List, watch, get and delete, for all kinds of objects.

use crate::{
    Failure, Result,
    app::App,
    args::Format,
    failure::{OK, of_several},
    parse,
    rows::{self, Row, Rows},
};
use api::{query::ListQuery, stream::ChangeKind};
use base::Code;
use clap::Args;
use client::{Client, Key, Kind};
use std::time::Duration;

/// Which objects, and how.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Only those with this label; repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub labels: Vec<(String, String)>,
    /// Go on and show what changes
    #[arg(long, short = 'w')]
    pub watch: bool,
}

impl ListArgs {
    /// As the API takes it.
    pub fn query(&self) -> ListQuery {
        let labels: Vec<String> = self.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        ListQuery { labels: (!labels.is_empty()).then(|| labels.join(",")), ..ListQuery::default() }
    }

    fn matches<K: Kind>(&self, object: &K) -> bool {
        let labels = &object.metadata().labels;
        self.labels.iter().all(|(k, v)| labels.get(k) == Some(v))
    }
}

/// Whether to wait for the end of what was begun.
#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// Wait until it is done or has failed
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "10m")]
    pub timeout: u64,
}

impl WaitArgs {
    /// The limit.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Lists, and goes on with `--watch`.
pub async fn list<K: Kind + Row>(app: &App, project: Option<&str>, args: &ListArgs) -> Result {
    let client = app.client()?;
    let (items, revision) = client.list_all::<K>(project, &args.query()).await?;
    let what = format!("{}s", K::TITLE);
    if !args.watch {
        rows::list(app, &items, Some(revision), &what)?;
        return Ok(OK);
    }
    let mut table = None;
    show_all(app, &items, &mut table);
    let mut watch = client.watch(&[K::KIND], project, Some(revision));
    loop {
        let change = match watch.next().await {
            Ok(change) => change,
            Err(e) if e.code() == Code::Gone => {
                app.printer.note("some changes were missed; this is how things are now:");
                let (items, revision) = client.list_all::<K>(project, &args.query()).await?;
                show_all(app, &items, &mut table);
                watch = client.watch(&[K::KIND], project, Some(revision));
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let Some(object) = change.object.clone().and_then(|o| serde_json::from_value::<K>(o).ok()) else {
            continue;
        };
        if !args.matches(&object) {
            continue;
        }
        if app.printer.format.is_data() {
            app.printer.json_line(&change);
        } else if change.change == ChangeKind::Deleted {
            app.printer.note(&format!("{} {} is gone", K::TITLE, object.name()));
        } else {
            table.get_or_insert_with(|| Rows::begin::<K>(app, &[])).add(app, &object);
        }
    }
}

fn show_all<K: Kind + Row>(app: &App, items: &[K], table: &mut Option<Rows>) {
    if app.printer.format.is_data() {
        for item in items {
            app.printer.json_line(item);
        }
    } else {
        *table = Some(Rows::begin(app, items));
    }
}

/// Shows one or several by name.
pub async fn get<K: Kind + Row>(app: &App, keys: &[Key]) -> Result {
    let client = app.client()?;
    if let [key] = keys {
        rows::one(app, &client.get::<K>(key).await?)?;
        return Ok(OK);
    }
    let mut items = Vec::new();
    let outcome = for_each(app, keys, async |key| {
        items.push(client.get::<K>(key).await?);
        Ok(())
    })
    .await;
    if !items.is_empty() {
        rows::list(app, &items, None, K::TITLE)?;
    }
    outcome
}

/// Deletes several.
pub async fn delete<K: Kind>(app: &App, keys: &[Key]) -> Result {
    let client = app.client()?;
    for_each(app, keys, async |key| {
        client.delete::<K>(key).await?;
        done(app, K::TITLE, key, "deleted");
        Ok(())
    })
    .await
}

/// Does the same to several. Each failure is reported where it happens; the others go on.
pub async fn for_each(app: &App, keys: &[Key], mut act: impl AsyncFnMut(&Key) -> Result<()>) -> Result {
    let mut failures = Vec::new();
    for key in keys {
        if let Err(failure) = act(key).await {
            app.printer.failure(&failure);
            failures.push(failure);
        }
    }
    of_several(keys.len(), failures)
}

/// Says that something was done: with `-o name` as data.
pub fn done(app: &App, title: &str, key: &Key, what: &str) {
    if app.printer.format == Format::Name {
        app.printer.line(&key.short());
    } else {
        app.printer.note(&format!("{title} {} {what}", key.short()));
    }
}

/// Shows what a change left: as data where that is asked for, else as a sentence.
pub fn changed<K: Kind + Row>(app: &App, object: &K, what: &str) -> Result {
    if app.printer.format.is_data() {
        app.printer.value(object)?;
    } else {
        done(app, K::TITLE, &Key::of(object.metadata()), what);
    }
    Ok(OK)
}

/// The keys of all objects with these labels.
pub async fn select<K: Kind>(client: &Client, project: Option<&str>, args: &ListArgs) -> Result<Vec<Key>> {
    let (items, _) = client.list_all::<K>(project, &args.query()).await?;
    Ok(items.iter().map(|item| Key::of(item.metadata())).collect())
}

/// A command that needs names or labels and got neither.
pub fn nothing_named() -> Failure {
    Failure::usage("NAME", "name at least one, or choose by --label")
}
