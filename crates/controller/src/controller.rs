//! The controller: what it owns, how it starts.

use crate::{
    caller::{self, Caller, Principal, Sees},
    change::Writer,
    codec,
    links::Links,
    placement::Placer,
    recovery::Recovery,
    resources, retention,
    runs::{self, LogReader, Logs, Runs, Told},
    seal::Seal,
    timers,
    view::{Any, Tables, View},
};
use base::{Error, Name, Result, Revision};
use images::BlobStore;
use link::pki::Ca;
use rt::task::Task;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use store::Store;

/// What a controller is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its state: store, CA, keys, images.
    pub data_dir: PathBuf,
    /// This program: operations with fleet directories run it in a sandbox.
    pub program: PathBuf,
}

/// The control plane of one cluster. Cheap to clone; the last clone's end stops its tasks.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

struct Inner {
    writer: Writer,
    view: View,
    placer: Placer,
    links: Links,
    blobs: BlobStore,
    ca: Ca,
    data_dir: PathBuf,
    logs: Logs,
    address: Arc<OnceLock<SocketAddr>>,
    _tasks: Vec<Task<()>>,
}

impl Controller {
    /// Opens the view of a store and starts the reconcilers.
    pub async fn start(store: Arc<dyn Store>, options: Options) -> Result<Self> {
        let seal = Arc::new(Seal::open(&options.data_dir)?);
        let ca = open_ca(&options.data_dir)?;
        let blobs = BlobStore::open(&options.data_dir.join("images"))?;
        let recovery = Recovery::open(store.clone()).await?;
        let (view, follow) = View::open(store.clone(), seal.clone()).await?;
        let writer = Writer::new(store, seal, view.clone());
        resources::first_objects(&writer, &view).await?;
        let (placer, placing) = Placer::start(&view, &writer, &recovery);
        let (links, dispatching) = Links::start(&view, &writer, &recovery);
        let timing = rt::task::spawn("timers", timers::run(view.clone(), writer.clone()));
        let (logs, address) = (Logs::open(&options.data_dir)?, Arc::<OnceLock<SocketAddr>>::default());
        let keeping = retention::run(view.clone(), writer.clone(), logs.clone(), options.data_dir.clone());
        let trimming = rt::task::spawn("retention", keeping);
        let working = resources::carry_out(view.clone(), writer.clone(), options.data_dir.clone());
        let operating = rt::task::spawn("operations", working);
        let runs = Runs {
            view: view.clone(),
            writer: writer.clone(),
            data_dir: options.data_dir.clone(),
            program: options.program,
            logs: logs.clone(),
            address: address.clone(),
        };
        let running = rt::task::spawn("fleet operations", runs::run(runs));
        let inner = Inner {
            writer,
            view,
            placer,
            links,
            blobs,
            ca,
            data_dir: options.data_dir,
            logs,
            address,
            _tasks: vec![follow, placing, dispatching, timing, trimming, operating, running],
        };
        Ok(Controller(Arc::new(inner)))
    }

    /// The objects in memory.
    pub fn view(&self) -> &View {
        &self.0.view
    }

    /// The links to workers.
    pub fn links(&self) -> &Links {
        &self.0.links
    }

    /// The certificates' authority.
    pub fn ca(&self) -> &Ca {
        &self.0.ca
    }

    /// The files of images.
    pub fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }

    /// The state directory.
    pub fn data_dir(&self) -> &Path {
        &self.0.data_dir
    }

    /// Says where this controller is listened for, so that no sandbox reaches it.
    pub fn listens_at(&self, address: SocketAddr) {
        let _ = self.0.address.set(address);
    }

    /// What an operation of a project has told, from `offset` on. Who follows waits for its start.
    pub async fn operation_log(
        &self,
        project: &Name,
        name: &str,
        told: Told,
        offset: u64,
        follow: bool,
    ) -> Result<LogReader> {
        let mut follower = self.0.view.follow(self.0.view.revision());
        loop {
            let operation = self.find::<api::Operation>(Some(project), name)?;
            if !follow || operation.status.state != api::record::OperationState::Pending {
                return self.0.logs.read(operation.metadata.uid, told, offset, follow);
            }
            match follower.next().await {
                Ok(_) => {}
                Err(e) if e.code == base::Code::Gone => follower.skip_to_now(),
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    pub(crate) fn placer(&self) -> &Placer {
        &self.0.placer
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        self.0.view.read(look)
    }

    /// The principal of a bearer token.
    pub fn authenticate(&self, token: &str) -> Result<Principal> {
        self.read(|t| caller::authenticate(t, token))
    }

    /// The principal as it is now: streams ask again, so that what was revoked ends.
    pub fn still(&self, principal: &Principal) -> Result<Principal> {
        self.read(|t| caller::refresh(t, principal))
    }

    /// Writes down that a request was refused.
    pub async fn audit_refusal(
        &self,
        caller: &Caller,
        verb: api::Verb,
        project: Option<&Name>,
        error: &Error,
    ) {
        // A refusal stands whether or not it could be written down.
        if let Err(e) = self.writer().audit(caller, verb, project, error.code.as_str()).await {
            tracing::error!(error = %e, "a refusal could not be audited");
        }
    }

    /// Writes down a connection into a guest. It is refused where that fails.
    pub async fn audit_connect(&self, caller: &Caller, project: &Name) -> Result<()> {
        self.writer().audit(caller, api::Verb::Connect, Some(project), "ok").await
    }

    /// Whether requests can be served.
    pub fn ready(&self) -> Result<()> {
        self.writer().store().health()
    }

    /// An object as JSON for those who may see it: without its secrets; a pending VM says why.
    pub fn shown(&self, object: &Any) -> Option<serde_json::Value> {
        match object {
            Any::Vm(vm) => {
                let project = vm.metadata.project.clone().into_iter().collect();
                let vm = codec::redacted(api::Vm::clone(vm));
                serde_json::to_value(self.explained(vm, &Sees::Projects(project))).ok()
            }
            Any::Worker(worker) => {
                let worker = codec::redacted(api::Worker::clone(worker));
                serde_json::to_value(self.with_use(worker)).ok()
            }
            other => other.json(),
        }
    }

    /// VMs that wait for a place.
    pub fn waiting(&self) -> usize {
        self.0.placer.waiting()
    }

    /// Waits until everybody reads at least this revision.
    pub async fn at_least(&self, revision: Revision) -> Result<()> {
        self.0.view.at_least(revision).await
    }
}

fn open_ca(data_dir: &Path) -> Result<Ca> {
    let (certificate, key) = (data_dir.join("ca.crt"), data_dir.join("ca.key"));
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .map_err(|_| Error::internal("the CA's files are not text").hint("restore them"))
    };
    if let (Some(c), Some(k)) = (rt::files::read_optional(&certificate)?, rt::files::read_optional(&key)?) {
        return Ca::load(&text(c)?, &base::Secret::new(text(k)?));
    }
    let ca = Ca::generate()?;
    // The key last: a certificate without its key is made anew, a key never stands alone.
    rt::files::write_atomic(&certificate, ca.certificate_pem().as_bytes())?;
    rt::files::write_atomic(&key, ca.key_pem().expose_secret().as_bytes())?;
    Ok(ca)
}
