//! What checks and deployments share: their flags, and how they go over the nodes.

use super::{
    directory::{self, FleetDir},
    facts,
    identity::BecomeArgs,
    limits::LimitArgs,
    playbooks,
    secrets::SecretsArgs,
    selection::SelectionArgs,
    signals,
    ssh::ConnectArgs,
    watching::{Seen, WatchArgs},
};
use crate::{Result, app::App, env};
use ::secrets::{Redactor, Secrets};
use base::{Code, Error, Secret};
use clap::Args;
use fleet::{
    connector::Connectors,
    deploy::{Deployment, Fleet, LOOK_TIMEOUT, LastLogs, Operator, Ready, Report, What},
    engine::{Blind, Done, Engine, Interrupt, Limits, Observer},
    log::{Entry, Journal},
    plan::Document,
    ruby::{Bridge, Known, Options},
    run::Identity,
    sources::Asker,
};
use inventory::{FleetFile, Inventory, Node, Selector};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// How long a deployment waits for another one, where nothing else is said.
const LOCK_TIMEOUT: u64 = 600;

/// The flags of checks and deployments.
#[derive(Args, Debug)]
pub struct DeploymentArgs {
    /// How it is shown
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Which nodes
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How many at once
    #[command(flatten)]
    pub limits: LimitArgs,
    /// As whom
    #[command(flatten)]
    pub other: BecomeArgs,
    /// How nodes are reached
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Which secrets
    #[command(flatten)]
    pub secrets: SecretsArgs,
    /// Where the fleet is
    #[command(flatten)]
    pub dir: FleetDir,
}

/// Failures that may go away by themselves.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct AgainArgs {
    /// How often a node is done again after an error that `deploy.retry` of hostler.yaml declares, whatever it says there
    #[arg(long, value_name = "N")]
    retries_on_error: Option<u32>,
}

impl AgainArgs {
    /// Lets what is prepared know.
    pub fn tell(self, ready: &mut Ready) {
        for prepared in ready.work.values_mut() {
            prepared.again.times = self.retries_on_error;
        }
    }
}

/// A fleet with some of its nodes chosen.
pub struct Chosen {
    dir: PathBuf,
    file: FleetFile,
    inventory: Inventory,
    nodes: Vec<Node>,
    secrets: Secrets,
    ruby: Bridge,
    identity: Identity,
    connectors: Arc<Connectors>,
    /// The password of the login, where it was asked for.
    password: Option<Secret>,
    /// Hides the secrets, and the passwords that were given.
    redactor: Redactor,
}

/// How it went over all nodes.
#[derive(Default)]
pub struct Went {
    /// How it went on each node.
    pub done: Vec<Done<Report>>,
    /// What is left of watching.
    pub seen: Seen,
}

impl DeploymentArgs {
    /// Reads the fleet and chooses the nodes: those of a plan, where there is one and nothing else is said.
    pub async fn choose(&self, app: &App, plan: Option<&Document>) -> Result<Chosen> {
        match plan {
            Some(plan) if self.selection.selection().include.is_empty() => {
                let nodes = plan.nodes.keys().cloned().map(Selector::Node).collect();
                let selection = SelectionArgs { nodes, ..self.selection.clone() };
                self.chosen(app, &selection, plan.nodes.keys()).await
            }
            _ => self.chosen(app, &self.selection, []).await,
        }
    }

    async fn chosen(
        &self,
        app: &App,
        selection: &SelectionArgs,
        planned: impl IntoIterator<Item = &String>,
    ) -> Result<Chosen> {
        let dir = self.dir.path()?;
        let mut inventory = self.dir.inventory(app, &self.connect.ssh).await?;
        if let Some(gone) = planned.into_iter().find(|name| !inventory.nodes.contains_key(*name)) {
            return Err(moved(&format!("there is no node '{gone}' any more")).into());
        }
        let nodes = selection.choose_to_reach(app, &mut inventory).await?;
        let secrets = self.secrets.lazy(&self.dir)?.get().await?.clone();
        let identity = self.other.identity(app, Some(&secrets))?;
        let login = self.connect.login(app)?;
        let password = login.password.clone();
        // What playbooks get is opened now, so that it is hidden. Whoever needs what cannot be opened hears so.
        nodes.iter().filter(|n| !n.services.is_empty()).for_each(|n| drop(inventory.playbook_vars(&n.name)));
        let of_inventory = inventory.secrets();
        let hidden = identity.password.iter().chain(&login.password).chain(&of_inventory);
        let redactor = secrets.redactor(hidden)?;
        let connectors = Arc::new(self.connect.connectors(app, &self.dir, login)?);
        let (limits, asked) = (self.limits.limits(), connectors.clone());
        inventory
            .add_source(facts::asking(&dir, Asker { connectors: asked, limits, redactor: redactor.clone() }));
        let ruby = Bridge::new(Options::new(&dir), Arc::new(Known::new(inventory.clone())));
        let file = self.dir.file()?;
        Ok(Chosen { dir, file, inventory, nodes, secrets, ruby, identity, connectors, password, redactor })
    }

    /// Goes over the nodes. Nothing is shown with [`What::Look`].
    pub async fn go(
        &self,
        app: &App,
        chosen: &Chosen,
        ready: Ready,
        what: What,
        interrupt: &Interrupt,
    ) -> Result<Went> {
        let redactor = &chosen.redactor;
        let author = author();
        let journal = match what {
            What::Deploy => Some(self.journal(app, &author, &ready.nodes)?),
            _ => None,
        };
        let ends: BTreeMap<String, watch::Sender<Option<bool>>> =
            ready.nodes.iter().map(|n| (n.name.clone(), watch::Sender::new(None))).collect();
        let playbooks = playbooks::Runner {
            app,
            ssh: &self.connect.ssh,
            inventory: &chosen.inventory,
            password: chosen.password.as_ref(),
            become_password: chosen.identity.password.as_ref(),
        };
        let job = Deployment {
            connectors: &chosen.connectors,
            identity: chosen.identity.clone(),
            nodes: ready.work,
            what,
            author,
            lock_timeout: Duration::from_secs(ready.settings.lock_timeout.unwrap_or(LOCK_TIMEOUT)),
            look_timeout: ready.settings.look_timeout.map_or(LOOK_TIMEOUT, Duration::from_secs),
            limit: ready.limit,
            redactor: redactor.clone(),
            operator: Operator { ruby: Some(&chosen.ruby), ansible: Some(&playbooks) },
            journal: journal.as_ref(),
            ends,
        };
        let limits = self.limits.limits();
        if what == What::Look {
            let done = engine(&limits, interrupt, &Blind, redactor).run(&ready.nodes, &job).await;
            return Ok(Went { done, seen: Seen::default() });
        }
        let watch = self.watch.begin(app, "Executing actions", &ready.nodes, 0).await?;
        let done = engine(&limits, interrupt, &watch, redactor).run(&ready.nodes, &job).await;
        let seen = watch.finish().await;
        if let Some(journal) = &journal {
            journal.end();
        }
        Ok(Went { done, seen })
    }

    /// The newest log of each chosen node, of all where none is chosen; at most so many at once as the flags say.
    pub async fn last_logs(&self, chosen: &Chosen) -> Result<Vec<Done<Option<Entry>>>> {
        let logs = LastLogs {
            connectors: &chosen.connectors,
            identity: chosen.identity.clone(),
            log_dirs: chosen.fleet().log_dirs(&chosen.nodes)?,
            whole: false,
        };
        let (limits, interrupt) = (self.limits.limits(), Interrupt::new());
        Ok(engine(&limits, &interrupt, &Blind, &chosen.redactor).run(&chosen.nodes, &logs).await)
    }

    /// The same, but all nodes where none is chosen.
    pub async fn choose_or_all(&self, app: &App) -> Result<Chosen> {
        let all = self.selection.selection().include.is_empty();
        let selection = SelectionArgs { all: all || self.selection.all, ..self.selection.clone() };
        self.chosen(app, &selection, []).await
    }

    /// Begins the local history of a deployment, and says what became of the one before if it was cut off.
    fn journal(&self, app: &App, author: &str, nodes: &[Node]) -> Result<Journal> {
        let dir = directory::remembered(&self.dir.path()?, "deployments")?;
        if let Some(cut) = fleet::log::cut_off(&dir) {
            let open: Vec<String> = cut
                .open
                .iter()
                .map(|(node, step)| match step {
                    Some(step) => format!("{node} (at {step})"),
                    None => node.clone(),
                })
                .collect();
            let date = cut.date.strftime("%Y-%m-%d %H:%M:%S");
            app.printer.note(&format!(
                "the deployment of {date} UTC by {} was cut off; not ended there: {}",
                cut.author,
                if open.is_empty() { "nothing".into() } else { open.join(", ") }
            ));
        }
        Ok(Journal::begin(&dir, author, nodes.iter().map(|n| n.name.clone()).collect())?)
    }

    /// Listens for Ctrl-C.
    pub fn interrupt(app: &App) -> Result<(Interrupt, rt::task::Task<()>)> {
        let interrupt = Interrupt::new();
        let listening = signals::listen(&app.printer, &interrupt)?;
        Ok((interrupt, listening))
    }
}

fn engine<'a>(
    limits: &'a Limits,
    interrupt: &'a Interrupt,
    observer: &'a dyn Observer,
    redactor: &'a Redactor,
) -> Engine<'a> {
    Engine { limits, interrupt, observer, redactor }
}

impl Chosen {
    /// What is done on the nodes; with `check`, for a check.
    pub async fn prepare(&self, check: bool) -> Result<Ready> {
        let ready = self.fleet().prepare(&self.nodes, check).await;
        // What is wrong with a template is told with its text, which may hold a secret.
        Ok(ready.map_err(|e| self.redactor.error(e))?)
    }

    /// How many nodes were chosen that have no services.
    pub fn idle(&self) -> usize {
        self.nodes.iter().filter(|n| n.services.is_empty()).count()
    }

    /// The fleet, as preparing takes it.
    fn fleet(&self) -> Fleet<'_> {
        Fleet { dir: &self.dir, file: &self.file, inventory: &self.inventory, secrets: &self.secrets }
    }

    /// The nodes that were chosen.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inventory.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Leaves out those that are not meant.
    pub fn retain(&mut self, meant: impl Fn(&Node) -> bool) {
        self.nodes.retain(meant);
    }

    /// The inventory, which may be asked for more.
    pub fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }
}

/// Who deploys: the user and the machine.
pub fn author() -> String {
    let user = env::var("USER").or_else(|| env::var("LOGNAME")).unwrap_or_else(|| "somebody".into());
    format!("{user}@{}", rt::host::hostname())
}

/// The error of a plan that was made for another world.
pub fn moved(what: &str) -> Error {
    let message = format!("the plan does not hold any more: {what}");
    Error::new(Code::PreconditionFailed, message)
        .at("--plan")
        .hint("make a new one with `hostler check -o plan.json`")
}

/// Reads a plan.
pub fn read_plan(path: &Path) -> Result<Document> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io(format_args!("read {}", path.display()), &e).at("--plan"))?;
    Ok(Document::read(&text).map_err(|e| e.at("--plan"))?)
}
