//! One operation: fetch the directory into a sandbox, then run the verb in it.

use super::{
    Runs,
    log::{Log, Told},
    overseer::OfOperation,
    progress::Progress,
};
use api::{
    Credential, Fleet, Operation,
    fleet::{CredentialKind, Drift, FleetInput, FleetSource, FleetVerb, GitSource},
};
use base::{ByteSize, Code, Error, Name, Result, Secret};
use runner::{Broker, HOME, Limits, PROGRAM, Place, Policy, SOCKETS, Sandbox};
use secrets::{Redacted, Redactor};
use std::{path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, process::Command};

/// The largest report that is kept with the operation; a larger one is in its log.
const LARGEST_REPORT: usize = 256 * 1024;
/// The socket on which the verb tells of its nodes.
const EVENTS: &str = "events.sock";
/// Where the directory is, inside.
const DIRECTORY: &str = "/sandbox/fleet";

/// How an operation ended.
pub(super) enum Ended {
    /// The verb ended with this code, and told this as data: its answer, and each node with its steps.
    Exit { code: i32, report: Option<serde_json::Value>, nodes: serde_json::Value },
    /// Somebody asked for its end.
    Cancelled,
}

impl Ended {
    /// What a check with `--exit-code` means by its code.
    pub(super) fn drift(&self) -> Drift {
        match self {
            Ended::Exit { code: 0, .. } => Drift::None,
            Ended::Exit { code: 3, .. } => Drift::Pending,
            _ => Drift::Unknown,
        }
    }
}

/// What a fleet directory was granted.
#[derive(Default)]
struct Granted {
    keys: Vec<(Name, ssh::KeyPair)>,
    texts: Vec<Secret>,
}

/// A sandbox with all that serves it. Dropping it ends everything.
struct Ready {
    sandbox: Sandbox,
    limits: Limits,
    redactor: Redactor,
    _broker: Broker,
    _agent: rt::task::Task<()>,
    _decoy: runner::decoy::Watched,
}

impl Runs {
    /// Runs an operation to its end.
    pub(super) async fn attempt(
        &self,
        place: &Place,
        operation: &Operation,
        input: &FleetInput,
    ) -> Result<Ended> {
        Sandbox::available().await?;
        let limits = self.limits();
        let uid = operation.metadata.uid;
        let mut log = self.logs.begin(uid, Told::Output, limits.output.bytes())?;
        let events = self.logs.begin(uid, Told::Events, limits.output.bytes())?;
        let work = async {
            self.at_step(uid, 0).await?;
            let ready = self.prepare(place, operation, input, limits).await?;
            self.fetch(&ready, input, &mut log).await?;
            self.at_step(uid, 1).await?;
            self.run_verb(&ready, input, &mut log, events).await
        };
        rt::clock::timeout(limits.time, "the operation", work).await?
    }

    async fn prepare(
        &self,
        place: &Place,
        operation: &Operation,
        input: &FleetInput,
        limits: Limits,
    ) -> Result<Ready> {
        let project = operation.metadata.project.clone();
        let project = project.ok_or_else(|| Error::internal("a fleet operation belongs to no project"))?;
        let key = crate::kind::key::<Fleet>(Some(&project), input.fleet.as_str());
        let fleet = self
            .view
            .get::<Fleet>(&key)
            .ok_or_else(|| Error::not_found(format!("the fleet directory '{}' is gone", input.fleet)))?;
        let name = operation.metadata.uid.to_string();
        let sandbox = place.sandbox(&name, &self.program, limits).await?;
        let granted = &fleet.spec.credentials;
        let overseer = Arc::new(OfOperation::new(&self.view, &self.writer, operation, &project, granted));
        let broker = Broker::start(&sandbox.socket("broker.sock"), self.policy(), overseer.clone())?;
        sandbox.open_socket("broker.sock")?;
        let granted = self.credentials(&project, granted)?;
        let agent = agent(&sandbox, granted.keys, overseer.clone())?;
        let watcher = tokio::runtime::Handle::current();
        let decoy = runner::decoy::watch(&sandbox.decoy(), move |file| {
            let overseer = overseer.clone();
            // From the watch's own thread; it waits for the record, since the operation may end at once.
            watcher.block_on(async move {
                let refused = Err(Error::new(base::Code::Forbidden, "a file of the controller"));
                runner::Overseer::reached(&*overseer, runner::Reach::File(file), &refused).await;
            });
        })?;
        sandbox.write("home/.ssh/known_hosts", fleet.spec.known_hosts.as_bytes())?;
        sandbox.write("home/.ssh/config", ssh_config().as_bytes())?;
        let redactor = Redactor::new(&granted.texts)?;
        Ok(Ready { sandbox, limits, redactor, _broker: broker, _agent: agent, _decoy: decoy })
    }

    fn limits(&self) -> Limits {
        let set = self.view.read(|t| t.cluster_settings().runner_limits);
        Limits {
            memory: ByteSize::mib(set.memory_mib.into()),
            cpus: set.cpus,
            cpu: Duration::from_secs(set.cpu_seconds.into()),
            processes: set.processes,
            time: Duration::from_secs(set.time_seconds.into()),
            ..Limits::default()
        }
    }

    fn policy(&self) -> Policy {
        let allowed = self.view.read(|t| t.cluster_settings().runner_networks);
        Policy { allowed, own: self.address.get().copied().into_iter().collect() }
    }

    /// What was granted.
    fn credentials(&self, project: &Name, granted: &[Name]) -> Result<Granted> {
        let mut all = Granted::default();
        for name in granted {
            let key = crate::kind::key::<Credential>(Some(project), name.as_str());
            let credential = self.view.get::<Credential>(&key).ok_or_else(|| {
                Error::not_found(format!("the credential '{name}' is gone"))
                    .hint("take it out of the fleet directory, or make it again")
            })?;
            let Some(value) = &credential.spec.value else { continue };
            match credential.spec.kind {
                CredentialKind::SshKey => {
                    let key = ssh::KeyPair::from_openssh(value)?.with_comment(name.as_str());
                    all.keys.push((name.clone(), key));
                }
                CredentialKind::Text => all.texts.push(value.clone()),
            }
        }
        Ok(all)
    }

    async fn fetch(&self, ready: &Ready, input: &FleetInput, log: &mut Log) -> Result<()> {
        match &input.source {
            FleetSource::Git(git) => {
                let argv = clone(git);
                log.write(format!("$ git clone {}\n", git.url).as_bytes())?;
                let code = ready.run(&argv, log).await?;
                if code == 0 {
                    return Ok(());
                }
                Err(Error::unavailable(format!("{} could not be fetched", git.url))
                    .because(format!("git ended with {code}"))
                    .hint("see the operation's log: hostler operation log NAME"))
            }
            FleetSource::Path(path) => ready.copy(Path::new(path)).await,
        }
    }

    /// Runs the verb as a user would, in words, while it tells of its nodes on a socket.
    async fn run_verb(&self, ready: &Ready, input: &FleetInput, log: &mut Log, events: Log) -> Result<Ended> {
        let socket = ready.sandbox.socket(EVENTS);
        let progress = Progress::listen(&socket, ready.redactor.clone(), events)?;
        ready.sandbox.open_socket(EVENTS)?;
        let request = &input.request;
        let directory = match &input.source {
            FleetSource::Git(GitSource { directory: Some(below), .. }) => format!("{DIRECTORY}/{below}"),
            _ => DIRECTORY.to_owned(),
        };
        let mut argv = vec![PROGRAM.to_owned(), request.verb.as_str().to_owned()];
        argv.extend(["--fleet-dir".to_owned(), directory]);
        argv.extend(["--events".to_owned(), format!("{SOCKETS}/{EVENTS}")]);
        if request.verb == FleetVerb::Deploy {
            argv.push("--yes".to_owned());
        }
        argv.extend(request.arguments.iter().cloned());
        let code = ready.run(&argv, log).await?;
        let mut account = progress.account().await;
        let report = account.report.take().filter(|report| report.to_string().len() <= LARGEST_REPORT);
        Ok(Ended::Exit { code, report, nodes: account.nodes() })
    }
}

/// An agent in the sandbox that signs with the granted keys; each signature is audited.
fn agent(
    sandbox: &Sandbox,
    keys: Vec<(Name, ssh::KeyPair)>,
    overseer: Arc<OfOperation>,
) -> Result<rt::task::Task<()>> {
    let (uses, mut used) = tokio::sync::mpsc::channel::<String>(1024);
    let path = sandbox.socket("agent.sock");
    let names: Vec<(String, Name)> = keys.iter().map(|(n, k)| (k.fingerprint(), n.clone())).collect();
    let keys = keys.into_iter().map(|(_, key)| key).collect();
    let serving = ssh::key_agent::serve(&path, keys, uses)?;
    sandbox.open_socket("agent.sock")?;
    Ok(rt::task::spawn("agent of a sandbox", async move {
        let _serving = serving;
        while let Some(fingerprint) = used.recv().await {
            let name = names.iter().find(|(f, _)| *f == fingerprint);
            let name = name.map_or(fingerprint.as_str(), |(_, n)| n.as_str());
            overseer.audit(&format!("signatures/{name}"), &Ok(())).await;
        }
    }))
}

/// What a directory's connections have in common: the broker is the only way out, the agent has the keys.
fn ssh_config() -> String {
    format!(
        "Host *\n  ProxyCommand {PROGRAM} sandbox-connect %h %p\n  IdentityAgent {SOCKETS}/agent.sock\n  \
         UserKnownHostsFile {HOME}/.ssh/known_hosts\n  StrictHostKeyChecking yes\n  BatchMode yes\n"
    )
}

/// Only over https and ssh; transports that run programs are off.
fn clone(git: &GitSource) -> Vec<String> {
    let mut argv: Vec<String> = ["git", "-c", "protocol.allow=never"].map(Into::into).into();
    for allowed in ["https", "ssh"] {
        argv.extend(["-c".to_owned(), format!("protocol.{allowed}.allow=always")]);
    }
    argv.extend(["clone", "--quiet", "--recurse-submodules=no", "--single-branch"].map(Into::into));
    if let Some(branch) = &git.branch {
        argv.extend(["--branch".to_owned(), branch.clone()]);
    }
    argv.extend(["--".to_owned(), git.url.clone(), DIRECTORY.to_owned()]);
    argv
}

impl Ready {
    /// Runs something inside to its end. Everything it says goes to the log.
    async fn run(&self, argv: &[String], log: &mut Log) -> Result<i32> {
        let proxy = format!("http://{}", runner::inside::PROXY);
        let env = [
            ("HOSTLER_SANDBOX", "1".to_owned()),
            ("SSH_AUTH_SOCK", format!("{SOCKETS}/agent.sock")),
            ("HTTPS_PROXY", proxy.clone()),
            ("https_proxy", proxy),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ];
        let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let mut inside = vec![PROGRAM.to_owned(), "sandboxed".to_owned(), "--".to_owned()];
        inside.extend_from_slice(argv);
        let command = self.sandbox.command(&inside, &env);
        self.sandbox.limited(stream(command, &self.redactor, self.limits.flood, log)).await
    }

    /// Copies a directory of this host into the sandbox; links stay links, so that they lead nowhere outside.
    async fn copy(&self, path: &Path) -> Result<()> {
        let target = self.sandbox.work("fleet");
        let owner = self.sandbox.user().to_string();
        let mut copy = rt::process::command("cp");
        copy.args(["--recursive", "--no-dereference", "--preserve=mode,timestamps,links", "--"]);
        copy.arg(path).arg(&target);
        rt::process::run(copy, self.limits.time)
            .await
            .map_err(|e| Error::unavailable(format!("{} could not be copied", path.display())).because(e))?;
        let mut own = rt::process::command("chown");
        own.args(["--recursive", "--no-dereference", &format!("{owner}:{owner}"), "--"]).arg(&target);
        rt::process::run(own, self.limits.time).await.map(drop)
    }
}

/// Runs a command, and writes what it says to the log without secrets. One that says more than `most` is ended.
async fn stream(mut command: Command, redactor: &Redactor, most: ByteSize, log: &mut Log) -> Result<i32> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| rt::process::cannot_start("sh", &e))?;
    let lost = || Error::internal("a pipe of the sandbox is gone");
    let mut out = child.stdout.take().ok_or_else(lost)?;
    let mut err = child.stderr.take().ok_or_else(lost)?;
    let (mut clean_out, mut clean_err) = (redactor.stream(), redactor.stream());
    let (mut from_out, mut from_err) = (vec![0; 32 * 1024], vec![0; 32 * 1024]);
    let (mut open_out, mut open_err) = (true, true);
    let mut said = 0;
    let reading = |e: std::io::Error| Error::io("read what the sandbox says", &e);
    while (open_out || open_err) && said <= most.bytes() {
        tokio::select! {
            read = out.read(&mut from_out), if open_out => {
                let read = read.map_err(reading)?;
                open_out = read > 0;
                said += read as u64;
                log.write(&passed(&mut clean_out, &from_out[..read]))?;
            }
            read = err.read(&mut from_err), if open_err => {
                let read = read.map_err(reading)?;
                open_err = read > 0;
                said += read as u64;
                log.write(&passed(&mut clean_err, &from_err[..read]))?;
            }
        }
    }
    if said > most.bytes() {
        // Its processes end with `child`.
        return Err(Error::new(
            Code::Exhausted,
            format!("the operation said more than {most}, so it was ended"),
        )
        .hint("let its commands say less, or write to files of the nodes"));
    }
    let status = child.wait().await.map_err(|e| Error::io("wait for the sandbox", &e))?;
    Ok(status.code().unwrap_or(-1))
}

/// What may be shown of what was read; nothing read is the end.
fn passed(stream: &mut Redacted, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { stream.finish() } else { stream.push(bytes).to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_never_an_option_of_git() {
        let git =
            GitSource { url: "https://example.org/x".into(), branch: Some("main".into()), directory: None };
        let argv = clone(&git);
        let end = argv.iter().position(|a| a == "--").unwrap();
        assert_eq!(argv[end + 1], git.url);
        assert!(argv.contains(&"protocol.allow=never".to_owned()));
        assert!(DIRECTORY.starts_with(runner::WORK));
    }
}
