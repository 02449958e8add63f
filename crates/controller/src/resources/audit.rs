//! Records: events and audit.

use crate::{
    caller::Sees,
    change::{AUDIT, EVENT, event_scope},
    controller::Controller,
    kind::Kind,
};
use api::{AuditRecord, Event, Vm, Worker, query::RecordQuery as Wanted};
use base::{Error, Name, Result};
use serde::de::DeserializeOwned;
use store::{Order, RecordQuery, Scope, StoredRecord};

/// Most records of a page.
const LIMIT: u32 = 1000;

/// One page of records, oldest first.
#[derive(Debug)]
pub struct RecordPage<T> {
    /// The records.
    pub items: Vec<T>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

impl Controller {
    /// Events that the caller may see.
    pub async fn events(&self, sees: &Sees, wanted: &Wanted) -> Result<RecordPage<Event>> {
        let project = wanted.project.as_deref().map(project_name).transpose()?;
        if let Some(project) = &project
            && !sees.includes(Some(project))
        {
            return Err(crate::caller::no_project(project));
        }
        let scope = match (self.scope_of(wanted, project.as_ref()), &project) {
            (Some(scope), _) => Scope::Is(scope),
            (None, Some(project)) => Scope::StartsWith(format!("{project}/")),
            (None, None) => Scope::Any,
        };
        let fits = |e: &Event| {
            sees.includes(e.project.as_ref())
                && wanted.kind.as_ref().is_none_or(|k| *k == e.kind)
                && wanted.name.as_ref().is_none_or(|n| n == e.name.as_str())
        };
        self.page(EVENT, scope, wanted, |record| {
            let mut event: Event = read(record)?;
            event.id = record.id;
            Ok(Some(event).filter(fits))
        })
        .await
    }

    /// Audit records.
    pub async fn audit_records(&self, wanted: &Wanted) -> Result<RecordPage<AuditRecord>> {
        self.page(AUDIT, Scope::Any, wanted, |record| {
            let mut audit: AuditRecord = read(record)?;
            audit.id = record.id;
            let fits = wanted
                .project
                .as_ref()
                .is_none_or(|p| audit.project.as_ref().is_some_and(|q| q.as_str() == p));
            Ok(Some(audit).filter(|_| fits))
        })
        .await
    }

    /// The scope of one object that is still there: its events are found without a search.
    fn scope_of(&self, wanted: &Wanted, project: Option<&Name>) -> Option<String> {
        let name = wanted.name.as_deref()?;
        match wanted.kind.as_deref()? {
            Vm::KIND => {
                self.find::<Vm>(Some(project?), name).ok().map(|vm| event_scope(project, vm.metadata.uid))
            }
            Worker::KIND => self.find::<Worker>(None, name).ok().map(|w| event_scope(None, w.metadata.uid)),
            _ => None,
        }
    }

    /// Reads on until the page is full: filters may drop any number of records.
    async fn page<T>(
        &self,
        kind: &str,
        scope: Scope,
        wanted: &Wanted,
        take: impl Fn(&StoredRecord) -> Result<Option<T>>,
    ) -> Result<RecordPage<T>> {
        let (field, limit) = match wanted.last {
            Some(last) => ("last", last),
            None => ("limit", wanted.limit.unwrap_or(500)),
        };
        if !(1..=LIMIT).contains(&limit) {
            return Err(Error::invalid(field, format!("{limit} is out of range")).hint("use 1 to 1000"));
        }
        let limit = limit as usize;
        let order = if wanted.last.is_some() { Order::Newest } else { Order::Oldest };
        let mut after = match &wanted.cursor {
            Some(cursor) => {
                Some(cursor.parse().map_err(|_| Error::invalid("cursor", "this is not a cursor"))?)
            }
            None => wanted.after,
        };
        let mut items = Vec::new();
        loop {
            let query = RecordQuery {
                kind: kind.to_owned(),
                scope: scope.clone(),
                after,
                limit: limit.max(100),
                order,
            };
            let records = self.writer().store().records(&query).await?;
            let ended = records.len() < query.limit;
            for record in &records {
                if items.len() == limit {
                    let next = (order == Order::Oldest).then(|| after.unwrap_or(0).to_string());
                    return Ok(finish(items, next, order));
                }
                items.extend(take(record)?);
                after = Some(record.id);
            }
            if ended {
                return Ok(finish(items, None, order));
            }
        }
    }
}

fn finish<T>(mut items: Vec<T>, next: Option<String>, order: Order) -> RecordPage<T> {
    if order == Order::Newest {
        items.reverse();
    }
    RecordPage { items, next }
}

fn read<T: DeserializeOwned>(record: &StoredRecord) -> Result<T> {
    serde_json::from_slice(&record.value).map_err(|e| Error::internal("a record cannot be read").because(e))
}

fn project_name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|e| Error::invalid("project", e.to_string()))
}
