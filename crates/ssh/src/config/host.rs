//! What the configuration says about one host, as types.

use super::{
    Surroundings,
    algorithms::AlgorithmList,
    jump::{self, Hop},
    resolve::Values,
    tokens, value,
};
use base::{Error, Result};
use std::{path::PathBuf, time::Duration};

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// All of them.
    #[default]
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// What stands between us and the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// Nothing.
    #[default]
    Direct,
    /// A command whose standard input and output are the connection.
    Command(String),
    /// Other hosts, the first of them nearest to us.
    Jump(Vec<Hop>),
}

/// What happens to a host key that is not known (`StrictHostKeyChecking`). A key that has changed is always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NewHostKeys {
    /// It is refused.
    Refuse,
    /// It is kept.
    Accept,
    /// Somebody is asked.
    #[default]
    Ask,
}

/// Which agent signs (`IdentityAgent`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Agent {
    /// The one of the surroundings.
    #[default]
    Usual,
    /// None.
    Nobody,
    /// The one at this socket.
    Socket(PathBuf),
}

/// What the configuration says about one host: ssh_config(5) explains each value under the name of the keyword.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // so does OpenSSH
pub struct HostConfig {
    /// The name that was asked for.
    pub host: String,
    /// The name or address to connect to.
    pub host_name: String,
    /// The port of its SSH server.
    pub port: u16,
    /// The login name.
    pub user: String,
    /// What stands between.
    pub proxy: Proxy,
    /// Which addresses are used.
    pub address_family: AddressFamily,
    /// The address of ours that the connection comes from.
    pub bind_address: Option<String>,
    /// How often the connection is tried.
    pub connection_attempts: u32,
    /// The most that a connection may take, where it is said.
    pub connect_timeout: Option<Duration>,
    /// Whether the system looks after silent connections.
    pub tcp_keep_alive: bool,
    /// After how much silence the server is asked for a sign of life, where it is said.
    pub server_alive_interval: Option<Duration>,
    /// How many signs of life may stay out.
    pub server_alive_count_max: u32,
    /// Private keys, in the order of the files.
    pub identity_files: Vec<PathBuf>,
    /// Whether somebody named these keys; else they are the usual ones, and those that do not exist are no error.
    pub identity_files_named: bool,
    /// Certificates of these keys.
    pub certificate_files: Vec<PathBuf>,
    /// Whether the agent's keys count only where a file names them.
    pub identities_only: bool,
    /// Which agent signs.
    pub identity_agent: Agent,
    /// Where host keys are known, and new ones are kept in the first.
    pub user_known_hosts: Vec<PathBuf>,
    /// Where host keys are known too.
    pub global_known_hosts: Vec<PathBuf>,
    /// Keys that no host may show.
    pub revoked_host_keys: Option<PathBuf>,
    /// What happens to a host key that is not known.
    pub new_host_keys: NewHostKeys,
    /// The name under which the host's keys are known.
    pub host_key_alias: Option<String>,
    /// Whether the address must be known with the same key.
    pub check_host_ip: bool,
    /// Whether hosts on loopback addresses need not be known (`NoHostAuthenticationForLocalhost`).
    pub trust_localhost: bool,
    /// Whether names are kept as hashes.
    pub hash_known_hosts: bool,
    /// The key exchanges, in order.
    pub kex_algorithms: Option<AlgorithmList>,
    /// The ciphers, in order.
    pub ciphers: Option<AlgorithmList>,
    /// The integrity checks, in order.
    pub macs: Option<AlgorithmList>,
    /// The types of host keys, in order.
    pub host_key_algorithms: Option<AlgorithmList>,
    /// The types of our keys.
    pub pubkey_accepted_algorithms: Option<AlgorithmList>,
    /// How certificates may be signed.
    pub ca_signature_algorithms: Option<AlgorithmList>,
    /// The fewest bits of an RSA key.
    pub required_rsa_size: u32,
    /// Whether what is sent is compressed.
    pub compression: bool,
    /// The ways of logging in, in order, where it is said.
    pub preferred_authentications: Option<Vec<String>>,
    /// Whether keys are tried.
    pub pubkey_authentication: bool,
    /// Whether passwords are tried.
    pub password_authentication: bool,
    /// Whether the server's questions are answered.
    pub kbd_interactive_authentication: bool,
    /// How often somebody is asked for a password.
    pub number_of_password_prompts: u32,
    /// Whether nobody is asked anything.
    pub batch_mode: bool,
    /// Variables that commands get, where the server lets them.
    pub environment: Vec<(String, String)>,
    /// Whatever of it only the program `ssh` can do.
    pub only_openssh: Vec<String>,
}

/// Private keys that are tried where nobody names any (ssh_config(5), `IdentityFile`).
const USUAL_KEYS: [&str; 6] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_dsa"];

impl HostConfig {
    pub(crate) fn new(host: &str, values: &Values, me: &Surroundings) -> Result<Self> {
        let host_name = values.text("hostname").unwrap_or(host).to_owned();
        let port = values.one("port").map_or(Ok(22), |(word, at)| value::port(word, at))?;
        let user = values.text("user").unwrap_or(&me.user).to_owned();
        let alias = values.text("hostkeyalias").map(str::to_ascii_lowercase);
        let paths = Paths::new(host, &host_name, port, &user, alias.as_deref(), values, me);
        let batch_mode = flag(values, "batchmode", false)?;
        let identity_files = match values.0.get("identityfile") {
            Some(_) => paths.each(values, "identityfile", &[])?,
            None => USUAL_KEYS.iter().map(|name| me.home.join(".ssh").join(name)).collect(),
        };
        let list = |keyword| values.one(keyword).map(|(word, _)| AlgorithmList::new(word));
        Ok(HostConfig {
            proxy: proxy(host, &host_name, port, &user, values)?,
            address_family: family(values)?,
            bind_address: values.text("bindaddress").map(str::to_owned),
            connection_attempts: number(values, "connectionattempts", 1)?,
            connect_timeout: duration(values, "connecttimeout")?,
            tcp_keep_alive: flag(values, "tcpkeepalive", true)?,
            server_alive_interval: duration(values, "serveraliveinterval")?,
            server_alive_count_max: number(values, "serveralivecountmax", 3)?,
            identity_files,
            identity_files_named: values.0.contains_key("identityfile"),
            certificate_files: paths.each(values, "certificatefile", &[])?,
            identities_only: flag(values, "identitiesonly", false)?,
            identity_agent: paths.agent(values)?,
            user_known_hosts: paths.each(
                values,
                "userknownhostsfile",
                &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
            )?,
            global_known_hosts: paths.each(
                values,
                "globalknownhostsfile",
                &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
            )?,
            revoked_host_keys: paths.each(values, "revokedhostkeys", &[])?.pop(),
            new_host_keys: new_host_keys(values)?,
            host_key_alias: alias,
            check_host_ip: flag(values, "checkhostip", false)?,
            trust_localhost: flag(values, "nohostauthenticationforlocalhost", false)?,
            hash_known_hosts: flag(values, "hashknownhosts", false)?,
            kex_algorithms: list("kexalgorithms"),
            ciphers: list("ciphers"),
            macs: list("macs"),
            host_key_algorithms: list("hostkeyalgorithms"),
            pubkey_accepted_algorithms: list("pubkeyacceptedalgorithms"),
            ca_signature_algorithms: list("casignaturealgorithms"),
            required_rsa_size: number(values, "requiredrsasize", 1024)?,
            compression: flag(values, "compression", false)?,
            preferred_authentications: values
                .text("preferredauthentications")
                .map(|text| text.split(',').map(str::to_owned).collect()),
            pubkey_authentication: pubkey(values)?,
            password_authentication: flag(values, "passwordauthentication", true)?,
            kbd_interactive_authentication: flag(values, "kbdinteractiveauthentication", true)?,
            number_of_password_prompts: number(values, "numberofpasswordprompts", 3)?,
            batch_mode,
            environment: environment(values, me),
            only_openssh: only_openssh(values),
            host: host.to_owned(),
            host_name,
            port,
            user,
        })
    }
}

fn flag(values: &Values, keyword: &str, default: bool) -> Result<bool> {
    values.one(keyword).map_or(Ok(default), |(word, at)| value::flag(word, at))
}

fn number(values: &Values, keyword: &str, default: u32) -> Result<u32> {
    values.one(keyword).map_or(Ok(default), |(word, at)| value::number(word, at))
}

fn duration(values: &Values, keyword: &str) -> Result<Option<Duration>> {
    values.one(keyword).map_or(Ok(None), |(word, at)| value::duration(word, at))
}

/// `host-bound` and `unbound` are about agents that are forwarded, which we never do.
fn pubkey(values: &Values) -> Result<bool> {
    match values.one("pubkeyauthentication") {
        Some((word, _)) if ["unbound", "host-bound"].contains(&word.to_ascii_lowercase().as_str()) => {
            Ok(true)
        }
        _ => flag(values, "pubkeyauthentication", true),
    }
}

fn family(values: &Values) -> Result<AddressFamily> {
    let Some((word, at)) = values.one("addressfamily") else { return Ok(AddressFamily::Any) };
    match word.to_ascii_lowercase().as_str() {
        "any" => Ok(AddressFamily::Any),
        "inet" => Ok(AddressFamily::Inet),
        "inet6" => Ok(AddressFamily::Inet6),
        _ => Err(value::unsuitable(word, at, "any, inet or inet6")),
    }
}

/// `no` keeps what is new and would even go on with a changed key: that, we never do.
fn new_host_keys(values: &Values) -> Result<NewHostKeys> {
    let Some((word, at)) = values.one("stricthostkeychecking") else { return Ok(NewHostKeys::Ask) };
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(NewHostKeys::Refuse),
        "accept-new" | "no" | "false" | "off" => Ok(NewHostKeys::Accept),
        "ask" => Ok(NewHostKeys::Ask),
        _ => Err(value::unsuitable(word, at, "yes, no, ask, off or accept-new")),
    }
}

fn proxy(host: &str, host_name: &str, port: u16, user: &str, values: &Values) -> Result<Proxy> {
    let port = port.to_string();
    let known = [('h', host_name), ('n', host), ('p', port.as_str()), ('r', user)];
    let jump = values.one("proxyjump").filter(|(text, _)| !text.eq_ignore_ascii_case("none"));
    if let Some((text, at)) = jump {
        let text = tokens::expand(text, &known).map_err(|e| e.at(at.to_string()))?;
        return jump::parse(&text).map(Proxy::Jump).map_err(|e| e.at(at.to_string()));
    }
    match values.one("proxycommand") {
        Some((text, _)) if text.eq_ignore_ascii_case("none") => Ok(Proxy::Direct),
        Some((text, at)) => {
            let command = tokens::expand(text, &known).map_err(|e| e.at(at.to_string()))?;
            Ok(Proxy::Command(command))
        }
        None => Ok(Proxy::Direct),
    }
}

/// What is sent: variables named by patterns, then those with a value of their own.
fn environment(values: &Values, me: &Surroundings) -> Vec<(String, String)> {
    let mut patterns: Vec<&str> = Vec::new();
    for word in values.all("sendenv") {
        match word.strip_prefix('-') {
            Some(gone) => patterns.retain(|p| !super::pattern::matches(gone, p)),
            None => patterns.push(word),
        }
    }
    let sent = |name: &str| patterns.iter().any(|p| super::pattern::matches(p, name));
    let inherited = me.environment.iter().filter(|(name, _)| sent(name)).map(|(n, v)| (n.clone(), v.clone()));
    let set = values.all("setenv").filter_map(|word| word.split_once('='));
    inherited.chain(set.map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
}

fn only_openssh(values: &Values) -> Vec<String> {
    let named = ["knownhostscommand", "bindinterface"].into_iter().filter(|k| values.0.contains_key(*k));
    let fd_pass =
        values.text("proxyusefdpass").filter(|w| !["no", "false"].contains(w)).map(|_| "proxyusefdpass");
    named.chain(fd_pass).map(str::to_owned).collect()
}

/// Values that are paths, with the tokens that they may hold.
struct Paths<'a> {
    known: Vec<(char, String)>,
    me: &'a Surroundings,
}

impl<'a> Paths<'a> {
    fn new(
        host: &str,
        host_name: &str,
        port: u16,
        user: &str,
        alias: Option<&str>,
        values: &Values,
        me: &'a Surroundings,
    ) -> Self {
        let jump = values.text("proxyjump").filter(|j| !j.eq_ignore_ascii_case("none")).unwrap_or_default();
        let short = me.host.split('.').next().unwrap_or_default();
        let port = port.to_string();
        let digest = value::connection_digest(&[&me.host, host_name, &port, user]);
        let known = [
            ('h', host_name),
            ('n', host),
            ('p', &port),
            ('r', user),
            ('u', &me.user),
            ('k', alias.unwrap_or(host)),
            ('l', &me.host),
            ('L', short),
            ('j', jump),
            ('C', &digest),
        ];
        let mut known: Vec<(char, String)> = known.iter().map(|(c, v)| (*c, (*v).to_owned())).collect();
        known.push(('d', me.home.display().to_string()));
        known.push(('i', me.uid.to_string()));
        Paths { known, me }
    }

    fn path(&self, word: &str) -> Result<PathBuf> {
        let known: Vec<(char, &str)> = self.known.iter().map(|(c, v)| (*c, v.as_str())).collect();
        let expanded = tokens::expand(word, &known)?;
        tokens::home(&tokens::variables(&expanded, self.me)?, self.me)
    }

    /// `none` stands for no file.
    fn each(&self, values: &Values, keyword: &str, default: &[&str]) -> Result<Vec<PathBuf>> {
        let Some(given) = values.0.get(keyword) else {
            return default.iter().map(|w| self.path(w)).collect();
        };
        let words = given.iter().flat_map(|v| v.words.iter().map(|w| (w, &v.at)));
        let named = words.filter(|(word, _)| !word.eq_ignore_ascii_case("none"));
        named.map(|(word, at)| self.path(word).map_err(|e| e.at(at.to_string()))).collect()
    }

    fn agent(&self, values: &Values) -> Result<Agent> {
        let Some((word, at)) = values.one("identityagent") else { return Ok(Agent::Usual) };
        let located = |e: Error| e.at(at.to_string());
        match word {
            "SSH_AUTH_SOCK" => Ok(Agent::Usual),
            word if word.eq_ignore_ascii_case("none") => Ok(Agent::Nobody),
            word => match word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(name) => Ok(self
                    .me
                    .environment
                    .get(name)
                    .map_or(Agent::Nobody, |path| Agent::Socket(PathBuf::from(path)))),
                None => self.path(word).map(Agent::Socket).map_err(located),
            },
        }
    }
}
