//! A worker: an agent with an identity and a link.

use super::{
    Agent, AgentOptions, HttpSource, SYNTHETIC,
    identity::{Identity, join},
    keeper::Keeper,
};
use ::images::Source;
use base::{Code, Error, Name, Result, Secret};
use link::{
    Hello,
    pki::{JoinToken, client_tls_worker, pin_of},
    worker_side::{Dial, Event},
};
use rt::{files::DirLock, task::Task};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its agent.
    pub agent: AgentOptions,
    /// The name it asks for when it joins.
    pub name: Name,
    /// The controller; may be left out once it has joined.
    pub url: Option<String>,
    /// The text of a join token; not needed once it has joined.
    pub join_token: Option<Secret>,
}

/// A worker that runs. Dropping it ends the worker, not its machines.
#[derive(Debug)]
pub struct Worker {
    agent: Agent,
    identity: Identity,
    connected: watch::Receiver<bool>,
    _link: Task<()>,
    _lock: Option<DirLock>,
}

impl Worker {
    /// Starts a worker: takes its directory, joins where it has not yet, adopts what runs, and keeps the link up from
    /// then on. A controller that cannot be reached stops only a worker that has to join.
    ///
    /// # Errors
    /// [`Code::Conflict`] where another process has the directory; see also [`join`].
    pub async fn start(options: RunOptions) -> Result<Self> {
        let lock = options.agent.state_dir.as_deref().map(DirLock::take).transpose()?;
        let keeper = Keeper::new(options.agent.state_dir.clone())?;
        let mut identity = identify(&keeper, &options).await?;
        identity.starts += 1;
        identity.save(&keeper).await?;
        let agent = Agent::start(options.agent.clone(), source(&options.agent, &identity)?).await?;
        let (connected, is_connected) = watch::channel(false);
        let link = link(&agent, &identity, &options.agent, connected)?;
        Ok(Worker { agent, identity, connected: is_connected, _link: link, _lock: lock })
    }

    /// Its agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until its link is up.
    pub async fn connected(&self) {
        let mut connected = self.connected.clone();
        if connected.wait_for(|up| *up).await.is_err() {
            std::future::pending::<()>().await; // the link's task has ended: it never will be
        }
    }

    /// Ends the worker. Its machines go on.
    pub async fn stop(self) {
        self.agent.stop().await;
    }

    /// Ends the worker and its machines, asking the guests first.
    pub async fn stop_with_machines(self, grace: Duration) {
        self.agent.stop_machines(grace).await;
    }
}

/// Who this worker is. One that has joined may be told another address of its controller, and joins again where that
/// has forgotten it, but does not change to another controller.
async fn identify(keeper: &Keeper, options: &RunOptions) -> Result<Identity> {
    let Some(mut identity) = Identity::load(keeper)? else {
        return first_time(keeper, options).await;
    };
    if let Some(url) = &options.url {
        url.trim_end_matches('/').clone_into(&mut identity.url);
    }
    let Some(text) = &options.join_token else { return Ok(identity) };
    let token: JoinToken = text.expose_secret().parse()?;
    if token.ca_pin != pin_of(&identity.ca)? {
        return Err(Error::conflict("this worker belongs to another controller")
            .because(format!("it joined {}, whose CA is not that of the join token", identity.url))
            .hint("use a state directory of its own for each controller: --data-dir"));
    }
    if identity.joined_with(&token) || identity.is_known().await {
        return Ok(identity);
    }
    tracing::info!(worker = %identity.name, "the controller has forgotten this worker; it joins again");
    join(keeper, &identity.url, &options.name, text).await
}

async fn first_time(keeper: &Keeper, options: &RunOptions) -> Result<Identity> {
    let missing = |what: &str, flag: &str| {
        Error::new(Code::Invalid, format!("this worker has not joined yet, and {what} is missing")).hint(
            format!(
                "make a token on the controller with: hostler worker token create, and give it here with {flag}"
            ),
        )
    };
    let url = options.url.as_ref().ok_or_else(|| missing("the controller's URL", "the URL"))?;
    let token = options.join_token.as_ref().ok_or_else(|| missing("a join token", "--join-token-file"))?;
    join(keeper, url, &options.name, token).await
}

/// Workers that only play fetch no images: no client for each of thousands.
fn source(options: &AgentOptions, identity: &Identity) -> Result<Option<Arc<dyn Source>>> {
    if options.runtimes.iter().all(|r| r == SYNTHETIC) {
        return Ok(None);
    }
    Ok(Some(Arc::new(HttpSource::new(identity)?)))
}

fn link(
    agent: &Agent,
    identity: &Identity,
    options: &AgentOptions,
    connected: watch::Sender<bool>,
) -> Result<Task<()>> {
    let tls = client_tls_worker(&identity.ca, &identity.certificate, &identity.key)?;
    let dial = Dial::new(identity.address()?, tls);
    let hello = Hello::new(identity.uid, identity.starts).software(format!("hostler {}", options.version));
    let name = identity.name.clone();
    let (handler, controls) = (Arc::new(agent.clone()), ControlsUp { connected, name });
    Ok(rt::task::spawn("link", async move {
        match link::worker_side::run(dial, hello, handler, |event| controls.tell(&event)).await {}
    }))
}

/// What becomes of the control connection, for the log and for those who wait for it.
struct ControlsUp {
    connected: watch::Sender<bool>,
    name: Name,
}

impl ControlsUp {
    fn tell(&self, event: &Event) {
        let worker = &self.name;
        match event {
            Event::Connected(link::Role::Control, _) => {
                tracing::info!(%worker, "the link to the controller is up");
                self.connected.send_replace(true);
            }
            Event::Disconnected(link::Role::Control, error) => {
                tracing::warn!(%worker, %error, "the link to the controller was lost; the VMs go on");
                self.connected.send_replace(false);
            }
            Event::Failed(link::Role::Control, error) => {
                tracing::warn!(%worker, %error, "the controller cannot be reached; the next attempt follows");
            }
            other => tracing::debug!(%worker, event = ?other, "bulk connection"),
        }
    }
}
