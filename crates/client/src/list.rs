//! Lists, page by page.

use crate::{Client, Error, Kind, Result};
use api::{
    AuditRecord, Event, List,
    query::{ListQuery, RecordQuery},
    routes::RouteId,
};
use base::{Code, Revision};
use futures::{Stream, TryStreamExt, stream};
use serde::de::DeserializeOwned;

/// A list that moved on under its cursor is started over this often.
const RESTARTS: usize = 3;

/// A kind of record.
pub trait Record: DeserializeOwned + Send + 'static {
    /// Lists them.
    const LIST: RouteId;
    /// Its place in the sequence.
    fn id(&self) -> u64;
}

impl Record for Event {
    const LIST: RouteId = RouteId::ListEvents;
    fn id(&self) -> u64 {
        self.id
    }
}

impl Record for AuditRecord {
    const LIST: RouteId = RouteId::ListAudit;
    fn id(&self) -> u64 {
        self.id
    }
}

impl Client {
    /// One page of a list: of a project, or of everything that the caller may read.
    pub async fn page<K: Kind>(&self, project: Option<&str>, query: &ListQuery) -> Result<List<K>> {
        match (project, K::LIST_IN_PROJECT) {
            (Some(project), Some(route)) => self.call(route, &[project]).query(query).send().await,
            _ => self.call(K::LIST, &[]).query(query).send().await,
        }
    }

    /// A list as a stream of objects; asks for the next page when it is needed.
    pub fn list<K: Kind>(
        &self,
        project: Option<&str>,
        query: ListQuery,
    ) -> impl Stream<Item = Result<K>> + use<K> {
        let (client, project) = (self.clone(), project.map(str::to_owned));
        stream::try_unfold(Some(query), move |next| {
            let (client, project) = (client.clone(), project.clone());
            async move {
                let Some(mut query) = next else { return Ok::<_, Error>(None) };
                let page: List<K> = client.page(project.as_deref(), &query).await?;
                query.cursor = page.next;
                let more = query.cursor.is_some().then_some(query);
                Ok(Some((stream::iter(page.items.into_iter().map(Ok)), more)))
            }
        })
        .try_flatten()
    }

    /// A whole list and the revision from which a watch continues it without a gap.
    pub async fn list_all<K: Kind>(
        &self,
        project: Option<&str>,
        query: &ListQuery,
    ) -> Result<(Vec<K>, Revision)> {
        let mut restarts = 0;
        loop {
            match self.pages(project, query).await {
                Err(e) if e.code() == Code::Gone && restarts < RESTARTS => restarts += 1,
                other => return other,
            }
        }
    }

    async fn pages<K: Kind>(&self, project: Option<&str>, query: &ListQuery) -> Result<(Vec<K>, Revision)> {
        let mut query = query.clone();
        let mut page: List<K> = self.page(project, &query).await?;
        // Later pages may show later revisions: a watch from the first one misses nothing.
        let (mut items, revision) = (page.items, page.revision);
        while let Some(next) = page.next.take() {
            query.cursor = Some(next);
            page = self.page(project, &query).await?;
            items.append(&mut page.items);
        }
        Ok((items, revision))
    }

    /// Records, oldest first.
    pub async fn records<R: Record>(&self, query: &RecordQuery) -> Result<Vec<R>> {
        let mut query = query.clone();
        let mut items = Vec::new();
        loop {
            let page: List<R> = self.call(R::LIST, &[]).query(&query).send().await?;
            items.extend(page.items);
            let enough = query.last.is_some_and(|n| items.len() >= n as usize);
            match page.next {
                Some(next) if !enough => query.cursor = Some(next),
                _ => return Ok(items),
            }
        }
    }
}
