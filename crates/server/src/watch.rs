//! Watches: changes as server-sent events (WHATWG HTML, 9.2), with ids to resume from.

use crate::request::Request;
use api::{access::Resource, query::WatchQuery, routes::Route, stream};
use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use base::{Error, Name, Result, Revision};
use bytes::Bytes;
use controller::{Any, Change, Controller, Follower, Principal};
use futures::Stream;
use std::{collections::BTreeSet, fmt::Write, sync::Arc, time::Duration};

/// How often a quiet watch says up to where it is current, and is checked against revoked rights.
const BOOKMARK: Duration = Duration::from_secs(5);

/// Which changes a client wants.
struct Wanted {
    kinds: Option<BTreeSet<String>>,
    project: Option<Name>,
}

struct Watcher {
    controller: Controller,
    principal: Principal,
    route: &'static Route,
    wanted: Wanted,
    follower: Follower,
    told: Revision,
    told_at: rt::clock::Instant,
    over: bool,
}

/// Whether one may watch on this route, and in this project.
fn check_rights(
    controller: &Controller,
    principal: &Principal,
    route: &Route,
    project: Option<&Name>,
) -> Result<()> {
    controller::authorize(Some(principal), route, project)?;
    let Some(project) = project else { return Ok(()) };
    if !principal.sees(Resource::Vm).includes(Some(project)) {
        return Err(controller::no_project(project));
    }
    controller.existing_project(project)
}

/// Answers a watch of the kinds that its query names.
pub(crate) fn serve(request: &Request) -> Result<Response<Body>> {
    let query: WatchQuery = request.query()?;
    let kinds = query.kinds.as_deref().map(kinds).transpose()?;
    let project = query.project.as_deref().map(Name::new).transpose();
    let project = project.map_err(|e| Error::invalid("project", e.to_string()))?;
    start(request, Wanted { kinds, project }, query.since)
}

fn kinds(text: &str) -> Result<BTreeSet<String>> {
    let known = |kind: &str| {
        let is_one = controller::KINDS.contains(&kind);
        is_one.then(|| kind.to_owned()).ok_or_else(|| {
            Error::invalid("kinds", format!("'{kind}' is not a kind of object"))
                .hint(format!("use some of {}", controller::KINDS.join(",")))
        })
    };
    text.split(',').map(|kind| known(kind.trim())).collect()
}

/// Answers a watch of one kind, on the path of its list.
pub(crate) fn serve_kind(request: &Request, kind: &str, project: Option<Name>) -> Result<Response<Body>> {
    let query: WatchQuery = request.query()?;
    start(request, Wanted { kinds: Some([kind.to_owned()].into()), project }, query.since)
}

fn start(request: &Request, wanted: Wanted, since: Option<Revision>) -> Result<Response<Body>> {
    let principal = request.principal()?.clone();
    check_rights(&request.controller, &principal, request.route, wanted.project.as_ref())?;
    let last = request.header("last-event-id").map(str::parse::<Revision>).transpose();
    let since = last.map_err(|e| e.at("Last-Event-ID"))?.or(since);
    let view = request.controller.view();
    let told = since.unwrap_or_else(|| view.revision());
    view.reaches(told)?;
    let watcher = Watcher {
        controller: request.controller.clone(),
        principal,
        route: request.route,
        wanted,
        follower: view.follow(told),
        told,
        told_at: rt::clock::now(),
        over: false,
    };
    let mut response = Response::new(Body::from_stream(events(watcher)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn events(watcher: Watcher) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    // The first bookmark tells the client that it is connected, and from where.
    let first = bookmark(watcher.told);
    futures::stream::unfold((watcher, Some(first)), |(mut watcher, first)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (watcher, None)));
        }
        if watcher.over {
            return None;
        }
        let bytes = watcher.next().await;
        Some((Ok(bytes), (watcher, None)))
    })
}

impl Watcher {
    /// The next events. The last one of a watch that ends is its problem.
    async fn next(&mut self) -> Bytes {
        loop {
            let quiet = BOOKMARK.saturating_sub(self.told_at.elapsed());
            let next = rt::clock::timeout(quiet, "a change", self.follower.next()).await;
            match self.rights() {
                Ok(principal) => self.principal = principal,
                Err(e) => return self.end(e),
            }
            let text = match next {
                Ok(Ok(changes)) => self.render(&changes),
                Ok(Err(e)) => return self.end(e),
                Err(_) => String::new(),
            };
            // Changes that this client does not see must not keep it from hearing how far it is.
            let due = self.told_at.elapsed() >= BOOKMARK;
            if !text.is_empty() || due {
                self.told = self.follower.at();
                self.told_at = rt::clock::now();
                return if text.is_empty() { bookmark(self.told) } else { Bytes::from(text) };
            }
        }
    }

    fn rights(&self) -> Result<Principal> {
        let principal = self.controller.still(&self.principal)?;
        check_rights(&self.controller, &principal, self.route, self.wanted.project.as_ref())?;
        Ok(principal)
    }

    fn end(&mut self, error: Error) -> Bytes {
        self.over = true;
        let code = error.code;
        let problem = api::Problem::new(error, "");
        let data = serde_json::to_string(&problem).unwrap_or_default();
        tracing::debug!(%code, "a watch ended");
        Bytes::from(format!("event: problem\ndata: {data}\n\n"))
    }

    /// Only the last event of a revision carries its id: whoever resumes from it has seen all of that revision.
    fn render(&self, changes: &[Arc<Change>]) -> String {
        let mut text = String::new();
        let seen: Vec<_> = changes.iter().filter(|c| self.wants(&c.object)).collect();
        for (i, change) in seen.iter().enumerate() {
            if seen.get(i + 1).is_none_or(|next| next.revision != change.revision) {
                let _ = writeln!(text, "id: {}", change.revision);
            }
            let data = change.rendered.get_or_init(|| rendered(&self.controller, change));
            let _ = write!(text, "event: {}\ndata: {data}\n\n", change.object.kind());
        }
        text
    }

    fn wants(&self, object: &Any) -> bool {
        let project = object.project();
        self.wanted.kinds.as_ref().is_none_or(|kinds| kinds.contains(object.kind()))
            && self
                .wanted
                .project
                .as_ref()
                .is_none_or(|p| object.metadata().project.as_ref().is_none_or(|q| q == p))
            && self.principal.may_see(object.resource(), project)
    }
}

fn rendered(controller: &Controller, change: &Change) -> Arc<str> {
    let message = stream::Change {
        change: change.kind,
        kind: Some(change.object.kind().to_owned()),
        revision: change.revision,
        object: controller.shown(&change.object),
    };
    serde_json::to_string(&message).unwrap_or_default().into()
}

fn bookmark(revision: Revision) -> Bytes {
    let message = stream::Change { change: stream::ChangeKind::Bookmark, kind: None, revision, object: None };
    let data = serde_json::to_string(&message).unwrap_or_default();
    Bytes::from(format!("id: {revision}\nevent: bookmark\ndata: {data}\n\n"))
}
