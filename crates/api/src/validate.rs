//! Rules that types alone do not carry. Each failure names the field by a JSON pointer.

use crate::{
    fleet::{FleetSource, GitSource},
    image::ImageSpec,
    meta::Labels,
    settings::SettingsSpec,
    vm::{Probe, ProbeKind, VmSpec},
    worker::WorkerSpec,
};
use base::{ByteSize, Error, Result};

/// Most CPUs of one VM.
pub const MAX_CPUS: u32 = 1024;
/// Most characters of a startup script.
pub const MAX_SCRIPT: usize = 256 * 1024;
/// Most labels, resources, keys of one object.
pub const MAX_ENTRIES: usize = 64;
/// Most bytes of a fleet directory's known hosts.
pub const MAX_KNOWN_HOSTS: usize = 1024 * 1024;
/// Most bytes of a credential.
pub const MAX_CREDENTIAL: usize = 64 * 1024;
/// Most bytes of one argument: what Linux takes (`MAX_ARG_STRLEN`).
pub const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// Something with rules.
pub trait Validate {
    /// Checks all rules; the first failure is the answer.
    fn validate(&self) -> Result<()>;
}

impl Validate for VmSpec {
    fn validate(&self) -> Result<()> {
        range("/spec/cpus", u64::from(self.cpus), 1, u64::from(MAX_CPUS))?;
        size("/spec/memory", self.memory, ByteSize::mib(16), ByteSize::gib(16 * 1024))?;
        size("/spec/disk", self.disk, ByteSize::mib(1), ByteSize::gib(64 * 1024))?;
        labels("/spec/workerLabels", &self.worker_labels)?;
        for (name, amount) in &self.resources {
            label_key("/spec/resources", name)?;
            range(format!("/spec/resources/{name}"), *amount, 1, u64::from(u32::MAX))?;
        }
        count("/spec/resources", self.resources.len())?;
        if let Some(n) = self.pending_timeout_seconds {
            range("/spec/pendingTimeoutSeconds", n, 1, 30 * 86_400)?;
        }
        if let Some(n) = self.ttl_seconds {
            range("/spec/ttlSeconds", n, 1, 10 * 365 * 86_400)?;
        }
        range("/spec/stopGraceSeconds", self.stop_grace_seconds, 0, 3600)?;
        range("/spec/probe/timeoutSeconds", self.probe.timeout_seconds, 1, 86_400)?;
        one_of("/spec/arch", self.arch.as_deref(), &["amd64", "arm64"])?;
        one_of("/spec/os", self.os.as_deref(), &["linux", "macos"])?;
        one_of("/spec/runtime", self.runtime.as_deref(), &["qemu", "synthetic"])?;
        if self.networks.len() != 1 {
            return Err(Error::invalid("/spec/networks", "a VM has exactly one network in this version")
                .hint("leave the field out, or write [{\"type\": \"user\"}]"));
        }
        probe(&self.probe)?;
        guest(self)?;
        script(self)
    }
}

fn probe(probe: &Probe) -> Result<()> {
    let (command, port) = (probe.command.is_some(), probe.port.is_some());
    match probe.kind {
        ProbeKind::Exec if !command => {
            Err(Error::invalid("/spec/probe/command", "an exec probe needs a command")
                .hint("add the command that ends with 0 when the guest is ready"))
        }
        ProbeKind::Tcp if !port => Err(Error::invalid("/spec/probe/port", "a tcp probe needs a port")
            .hint("add the port that sends bytes when the guest is ready")),
        ProbeKind::Ssh | ProbeKind::Tcp if command => {
            Err(Error::invalid("/spec/probe/command", "only an exec probe has a command")
                .hint("leave it out, or say kind: exec"))
        }
        ProbeKind::Ssh | ProbeKind::Exec if port => {
            Err(Error::invalid("/spec/probe/port", "only a tcp probe has a port")
                .hint("leave it out, or say kind: tcp"))
        }
        _ => Ok(()),
    }
}

fn guest(spec: &VmSpec) -> Result<()> {
    count("/spec/guest/authorizedKeys", spec.guest.authorized_keys.len())?;
    if let Some(user) = &spec.guest.user {
        user_name("/spec/guest/user", user)?;
    }
    for (i, key) in spec.guest.authorized_keys.iter().enumerate() {
        if key.contains('\n') || !key_type_is_known(key) || key.split_ascii_whitespace().count() < 2 {
            return Err(Error::invalid(
                format!("/spec/guest/authorizedKeys/{i}"),
                "not a public key of OpenSSH's format",
            )
            .hint("give the content of a .pub file: one line such as 'ssh-ed25519 AAAA... me@host'"));
        }
    }
    Ok(())
}

fn key_type_is_known(key: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|p| key.starts_with(p))
}

fn script(spec: &VmSpec) -> Result<()> {
    let Some(script) = &spec.startup_script else { return Ok(()) };
    if script.script.len() > MAX_SCRIPT {
        return Err(Error::invalid("/spec/startupScript/script", format!("longer than {MAX_SCRIPT} bytes"))
            .hint("let the script fetch what it needs, or copy it later: hostler vm cp"));
    }
    range("/spec/startupScript/timeoutSeconds", script.timeout_seconds, 1, 86_400)?;
    count("/spec/startupScript/env", script.env.len())?;
    for name in script.env.keys() {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::invalid(
                format!("/spec/startupScript/env/{name}"),
                "not the name of an environment variable",
            )
            .hint("use letters, digits and '_', not starting with a digit"));
        }
    }
    Ok(())
}

impl Validate for ImageSpec {
    fn validate(&self) -> Result<()> {
        one_of("/spec/arch", Some(&self.arch), &["amd64", "arm64"])?;
        one_of("/spec/os", Some(&self.os), &["linux", "macos"])?;
        user_name("/spec/user", &self.user)?;
        let given =
            |secret: &Option<base::Secret>| secret.as_ref().is_some_and(|s| !s.expose_secret().is_empty());
        if !self.seed && !given(&self.password) && !given(&self.key) {
            return Err(Error::invalid(
                "/spec/password",
                "an image without a seed needs the password or a key of its user",
            )
            .hint("give --password-file or --key-file, or import it with a seed"));
        }
        if self.command_line.contains('\n') || self.command_line.len() > 2048 {
            return Err(Error::invalid("/spec/commandLine", "not one line of at most 2048 bytes")
                .hint("separate the kernel's parameters by spaces"));
        }
        Ok(())
    }
}

impl Validate for WorkerSpec {
    fn validate(&self) -> Result<()> {
        labels("/spec/labels", &self.labels)?;
        range("/spec/cpuRatioPermille", u64::from(self.cpu_ratio_permille), 100, 100_000)
    }
}

impl Validate for SettingsSpec {
    fn validate(&self) -> Result<()> {
        range("/spec/workerOfflineSeconds", self.worker_offline_seconds, 1, 86_400)?;
        range("/spec/reservationAfterSeconds", self.reservation_after_seconds, 1, 86_400)?;
        range("/spec/runners", self.runners.into(), 1, 64)?;
        let l = &self.runner_limits;
        range("/spec/runnerLimits/memoryMib", l.memory_mib.into(), 64, 1 << 24)?;
        range("/spec/runnerLimits/cpus", l.cpus.into(), 1, 1024)?;
        range("/spec/runnerLimits/cpuSeconds", l.cpu_seconds.into(), 1, 604_800)?;
        range("/spec/runnerLimits/processes", l.processes.into(), 32, 32_768)?;
        range("/spec/runnerLimits/timeSeconds", l.time_seconds.into(), 1, 604_800)?;
        let r = &self.retention;
        range("/spec/retention/eventDays", r.event_days.into(), 1, 3650)?;
        range("/spec/retention/eventsPerObject", r.events_per_object.into(), 10, 100_000)?;
        range("/spec/retention/operationDays", r.operation_days.into(), 1, 3650)?;
        range("/spec/retention/idempotencyHours", r.idempotency_hours.into(), 1, 24 * 365)?;
        range("/spec/retention/auditDays", r.audit_days.into(), 1, 3650)
    }
}

impl Validate for crate::access::ProjectSpec {
    fn validate(&self) -> Result<()> {
        description(&self.description)
    }
}

impl Validate for crate::access::ServiceAccountSpec {
    fn validate(&self) -> Result<()> {
        description(&self.description)
    }
}

impl Validate for crate::access::RoleBindingSpec {
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

impl Validate for crate::access::JoinTokenSpec {
    fn validate(&self) -> Result<()> {
        range("/spec/uses", self.uses.into(), 1, 10_000)?;
        range("/spec/ttlSeconds", self.ttl_seconds, 60, 30 * 86_400)
    }
}

impl Validate for crate::record::OperationSpec {
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

impl Validate for crate::fleet::FleetSpec {
    fn validate(&self) -> Result<()> {
        match &self.source {
            FleetSource::Git(git) => git_source(git)?,
            FleetSource::Path(path) if !path.starts_with('/') => {
                return Err(Error::invalid("/spec/source/path", format!("'{path}' is not a whole path"))
                    .hint("start it with '/': it is a directory of the controller's host"));
            }
            FleetSource::Path(_) => {}
        }
        count("/spec/credentials", self.credentials.len())?;
        if self.known_hosts.len() > MAX_KNOWN_HOSTS {
            return Err(
                Error::invalid("/spec/knownHosts", "longer than 1 MiB").hint("keep the lines of its nodes")
            );
        }
        match self.check_every_seconds {
            Some(seconds) => range("/spec/checkEverySeconds", seconds, 10, 30 * 86_400),
            None => Ok(()),
        }
    }
}

/// Over https and ssh only: other transports of git run programs or read files of the controller's host.
fn git_source(git: &GitSource) -> Result<()> {
    let at = "/spec/source/git";
    let scp = |url: &str| {
        url.split_once(':').is_some_and(|(host, path)| {
            host.contains('@') && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
        })
    };
    let url = git.url.as_str();
    let known =
        url.starts_with("https://") || url.starts_with("ssh://") || (!url.contains("://") && scp(url));
    if !known || url.starts_with('-') || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::invalid(
            format!("{at}/url"),
            format!("'{url}' is not a repository that can be fetched"),
        )
        .hint("use https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"));
    }
    let words = [("branch", &git.branch), ("directory", &git.directory)];
    for (field, word) in words.into_iter().filter_map(|(f, w)| w.as_deref().map(|w| (f, w))) {
        let climbs = word.split('/').any(|part| part == "..");
        if word.is_empty() || word.starts_with(['-', '/']) || climbs || word.chars().any(char::is_control) {
            return Err(Error::invalid(format!("{at}/{field}"), format!("'{word}' is not a {field}"))
                .hint("name it without '..', and not starting with '-' or '/'"));
        }
    }
    Ok(())
}

impl Validate for crate::fleet::CredentialSpec {
    fn validate(&self) -> Result<()> {
        description(&self.description)?;
        let length = self.value.as_ref().map_or(0, |v| v.expose_secret().len());
        if length > MAX_CREDENTIAL {
            return Err(Error::invalid("/spec/value", "longer than 64 KiB").hint("keep files elsewhere"));
        }
        Ok(())
    }
}

impl Validate for crate::fleet::FleetRequest {
    fn validate(&self) -> Result<()> {
        count("/arguments", self.arguments.len())?;
        for (i, argument) in self.arguments.iter().enumerate() {
            if argument.len() > MAX_ARGUMENT || argument.contains('\0') {
                return Err(Error::invalid(
                    format!("/arguments/{i}"),
                    "longer than 128 KiB, or with a NUL in it",
                )
                .hint("put long scripts into the directory"));
            }
        }
        Ok(())
    }
}

/// Labels of any object: keys as in `team` or `example.org/team`, values of at most 255 characters.
pub fn labels(field: &str, labels: &Labels) -> Result<()> {
    count(field, labels.len())?;
    for (key, value) in labels {
        label_key(field, key)?;
        if value.len() > 255 || value.chars().any(char::is_control) {
            return Err(Error::invalid(format!("{field}/{}", pointer(key)), "not the value of a label")
                .hint("use at most 255 printable characters"));
        }
    }
    Ok(())
}

fn label_key(field: &str, key: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    if key.is_empty() || key.len() > 128 || !key.bytes().all(good) {
        return Err(Error::invalid(format!("{field}/{}", pointer(key)), format!("'{key}' is not a key"))
            .hint("use 1 to 128 letters, digits, '-', '_', '.' and '/'"));
    }
    Ok(())
}

/// Escapes a key for a JSON pointer (RFC 6901).
pub fn pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn description(text: &str) -> Result<()> {
    if text.len() > 1024 {
        return Err(Error::invalid("/spec/description", "longer than 1024 bytes").hint("say less"));
    }
    Ok(())
}

fn user_name(field: &str, user: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = user.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if !first || user.len() > 32 || !user.bytes().all(good) {
        return Err(Error::invalid(field, format!("'{user}' is not a login name"))
            .hint("use 1 to 32 of a-z, 0-9, '-' and '_', starting with a letter or '_'"));
    }
    Ok(())
}

fn count(field: &str, n: usize) -> Result<()> {
    if n > MAX_ENTRIES {
        return Err(Error::invalid(field, format!("{n} entries are too many"))
            .hint(format!("keep at most {MAX_ENTRIES}")));
    }
    Ok(())
}

fn range(field: impl Into<String>, n: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&n) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{n} is out of range")).hint(format!("use {least} to {most}")))
}

fn size(field: &str, n: ByteSize, least: ByteSize, most: ByteSize) -> Result<()> {
    if (least..=most).contains(&n) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{n} is out of range")).hint(format!("use {least} to {most}")))
}

fn one_of(field: &str, value: Option<&str>, known: &[&str]) -> Result<()> {
    match value {
        Some(v) if !known.contains(&v) => {
            Err(Error::invalid(field, format!("'{v}' is not known"))
                .hint(format!("use {}", known.join(" or "))))
        }
        _ => Ok(()),
    }
}
