//! `hostler doctor`: what is wrong here, and how to repair it.

use crate::{
    Failure, Result,
    app::{App, load_contexts},
    env,
    failure::OK,
    rows::{self, Row, or_dash},
    table::{Column, col},
};
use api::{access::WhoAmI, routes::RouteId};
use base::Error;
use serde::Serialize;
use std::{path::Path, time::Duration};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

impl Row for Check {
    const COLUMNS: &'static [Column] = &[col("CHECK"), col("STATE"), col("MESSAGE")];
    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        let hint = self.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        vec![self.name.clone(), state.into(), format!("{}{hint}", or_dash(&self.message))]
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Check {
    fn good(name: &str, message: impl Into<String>) -> Self {
        Check { name: name.into(), state: State::Ok, message: message.into(), hint: None }
    }

    fn warning(name: &str, message: impl Into<String>, hint: &str) -> Self {
        Check { name: name.into(), state: State::Warning, message: message.into(), hint: Some(hint.into()) }
    }

    fn failed(name: &str, error: &Error) -> Self {
        Check {
            name: name.into(),
            state: State::Failed,
            message: error.to_string(),
            hint: error.hint.clone(),
        }
    }
}

/// Looks at everything. Exit code 1 where something has failed.
pub async fn run(app: &App) -> Result {
    let mut checks = vec![contexts()];
    checks.extend(cluster(app).await);
    checks.extend(host().await);
    if app.printer.format.is_data() {
        rows::list(app, &checks, None, "checks")?;
    } else {
        // In full, whatever the width: the hint is what one came for.
        for check in &checks {
            app.printer.line(&wide_line(check));
        }
    }
    let failed = checks.iter().filter(|c| c.state == State::Failed).count();
    if failed == 0 {
        return Ok(OK);
    }
    Err(Failure { silent: true, ..Failure::from(Error::internal(format!("{failed} checks failed"))) })
}

fn wide_line(check: &Check) -> String {
    let cells = check.cells();
    format!("{:<18} {:<8} {}", cells[0], cells[1], cells[2])
}

fn contexts() -> Check {
    match load_contexts() {
        Ok((path, contexts)) => {
            let message = format!("{} in {}", contexts.contexts.len(), path.display());
            match contexts.current {
                _ if contexts.contexts.is_empty() => Check::warning(
                    "contexts",
                    message,
                    "`hostler dev` makes one, `hostler context add` another",
                ),
                Some(current) => Check::good("contexts", format!("{message}; current: {current}")),
                None => Check::warning("contexts", message, "choose one: hostler context use NAME"),
            }
        }
        Err(f) => Check::failed("contexts", &f.error.error),
    }
}

async fn cluster(app: &App) -> Vec<Check> {
    let client = match app.client() {
        Ok(client) => client,
        Err(f) if f.error.error.field.as_deref() == Some("context") => return Vec::new(),
        Err(f) => return vec![Check::failed("controller", &f.error.error)],
    };
    let mut checks = Vec::new();
    let begun = rt::clock::now();
    match client.call(RouteId::Readyz, &[]).raw().await {
        Ok(_) => {
            let took = begun.elapsed().as_millis();
            checks.push(Check::good("controller", format!("{} is ready ({took} ms)", client.url())));
        }
        Err(e) => return vec![Check::failed("controller", &e.error)],
    }
    match client.call(RouteId::WhoAmI, &[]).send::<WhoAmI>().await {
        Ok(who) if who.roles.is_empty() => checks.push(Check::warning(
            "token",
            format!("{} has no role", who.account),
            "an admin gives one: hostler service-account bind",
        )),
        Ok(who) => checks.push(Check::good("token", format!("we are {}", who.account))),
        Err(e) => checks.push(Check::failed("token", &e.error)),
    }
    checks
}

/// What a worker on this host would need.
async fn host() -> Vec<Check> {
    let machine = if rt::host::arch() == "arm64" { "qemu-system-aarch64" } else { "qemu-system-x86_64" };
    let mut checks = vec![program(machine).await, program("qemu-img").await, program("ssh").await];
    checks.push(acceleration());
    if let Ok(dir) = env::state_dir("") {
        checks.push(space(&dir));
    }
    checks.push(sandboxes().await);
    checks
}

async fn sandboxes() -> Check {
    match runner::Sandbox::available().await {
        Ok(()) => Check::good("sandboxes", "code of fleet directories can be kept apart"),
        Err(e) => {
            let hint = e.hint.clone().unwrap_or_default();
            Check::warning("sandboxes", format!("{e}: only controllers need it"), &hint)
        }
    }
}

async fn program(name: &str) -> Check {
    let mut command = rt::process::command(name);
    command.arg(if name == "ssh" { "-V" } else { "--version" });
    match rt::process::run(command, Duration::from_secs(10)).await {
        Ok(output) => {
            let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
            Check::good(name, text.lines().next().unwrap_or_default())
        }
        Err(e) => {
            let hint = e.hint.clone().unwrap_or_default();
            Check::warning(name, format!("{}: only workers need it", e.message), &hint)
        }
    }
}

fn acceleration() -> Check {
    if rt::host::os() != "linux" {
        return Check::good("acceleration", "hvf");
    }
    let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    match open {
        // The device opens on hosts where no guest ever runs.
        Ok(_) if rt::host::arch() == "amd64" && !virtualises() => Check::warning(
            "acceleration",
            "tcg: /dev/kvm opens, but the CPU has neither vmx nor svm, so VMs run in software, several times slower",
            "turn nested virtualisation on in the hypervisor above",
        ),
        Ok(_) => Check::good("acceleration", "kvm"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Check::warning(
            "acceleration",
            "tcg: this host has no /dev/kvm: VMs run in software, several times slower",
            "turn virtualisation on in the firmware, or nested virtualisation in the hypervisor above",
        ),
        Err(e) => Check::warning(
            "acceleration",
            format!("tcg: /dev/kvm cannot be used: {e}"),
            "sudo usermod -aG kvm $USER, then log in again",
        ),
    }
}

fn virtualises() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm")
}

fn space(dir: &Path) -> Check {
    let there = dir.ancestors().find(|d| d.exists()).unwrap_or(dir);
    match rt::files::disk_space(there) {
        Ok((free, _)) if free < 2 << 30 => Check::warning(
            "disk",
            format!("{} is left in {}", base::ByteSize(free), there.display()),
            "free some space, or set XDG_STATE_HOME",
        ),
        Ok((free, _)) => {
            Check::good("disk", format!("{} is left in {}", base::ByteSize(free), there.display()))
        }
        Err(e) => Check::failed("disk", &e),
    }
}
