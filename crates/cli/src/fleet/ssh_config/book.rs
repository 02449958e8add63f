//! From nodes to blocks. What the user's own configuration says about a node is resolved here, so that the blocks mean the
//! same whether or not that configuration is read with them.

use super::block::Block;
use crate::{app::App, env, fleet::ssh::SshArgs};
use base::Result;
use fleet::connector::{Login, target};
use inventory::Node;
use ssh::{
    DialOptions, Dialer, Target,
    config::{Files, Hop, HostConfig, Proxy, Surroundings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The blocks of nodes and of the hosts on the way to them.
pub struct Book<'a> {
    app: &'a App,
    me: Surroundings,
    login: Login,
    usual: Files,
    /// One for the usual configuration and one for each other that nodes name.
    dialers: BTreeMap<Option<PathBuf>, Dialer>,
    known_hosts: Option<&'a Path>,
    nodes: Vec<Block>,
    gateways: Vec<Block>,
    /// Aliases that have a block, or get one.
    done: BTreeSet<String>,
    /// Hosts on the way that have no block yet, and the configuration that knows them.
    open: Vec<(Hop, Option<PathBuf>)>,
    /// Lines of known_hosts.
    keys: Vec<String>,
}

impl<'a> Book<'a> {
    /// With these flags; host keys that the inventory knows will be in this file.
    pub fn new(app: &'a App, ssh: &SshArgs, known_hosts: Option<&'a Path>) -> Self {
        Book {
            app,
            me: env::surroundings(),
            login: Login { user: ssh.user(), password: None },
            usual: ssh.files(),
            dialers: BTreeMap::new(),
            known_hosts,
            nodes: Vec::new(),
            gateways: Vec::new(),
            done: BTreeSet::new(),
            open: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// All blocks, those of nodes first: where one is on the way to another, its own counts.
    pub fn into_blocks(self) -> Vec<Block> {
        self.nodes.into_iter().chain(self.gateways).collect()
    }

    /// The file of host keys.
    pub fn known_hosts(&self) -> String {
        let mut text = self.keys.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// Adds a node and the hosts on the way to it.
    pub async fn add(&mut self, node: &Node) -> Result<()> {
        let said = node.text("description").unwrap_or_default();
        let without = |why: &str| Block::new(&node.name, why);
        let block = if node.flag("local_node") {
            without("this host, without SSH")
        } else if node.metadata.contains_key("docker") {
            without("a container, without SSH")
        } else if let Some(why) = node.text("connection_error") {
            without(why)
        } else if !Block::can_be(&node.name) {
            without("this name cannot be one of SSH")
        } else if let Some(vm) = node.text("vm") {
            self.vm(node, vm)?
        } else {
            let target = target(node, &self.login)?;
            let file = node.text("ssh_config").map(PathBuf::from);
            self.host(&node.name, said, &target, file.as_ref()).await?
        };
        self.done.insert(node.name.clone());
        self.nodes.push(block);
        while let Some((hop, file)) = self.open.pop() {
            let target = on_the_way(&hop);
            let block = self.host(&hop.host, "on the way to others", &target, file.as_ref()).await?;
            self.gateways.push(block);
        }
        Ok(())
    }

    /// A VM, by a tunnel through the controller.
    fn vm(&self, node: &Node, vm: &str) -> Result<Block> {
        let target = target(node, &self.login)?;
        let mut block = Block::new(&node.name, &node.origin);
        block.expanded("HostName", vm)?;
        if let Some(user) = &target.user {
            block.word("User", user)?;
        }
        let program = std::env::current_exe().map_or_else(|_| "hostler".into(), |p| p.display().to_string());
        let context = self.app.global.context.as_ref();
        let context = context.map(|name| format!(" --context {}", ssh::quote(name))).unwrap_or_default();
        let port = target.port.unwrap_or(22);
        let program = ssh::quote(&program);
        block.line(
            "ProxyCommand",
            &format!("{program}{context} vm port-forward {} {port} --stdio", ssh::quote(vm)),
        )?;
        block.word("HostKeyAlias", &format!("{vm}.vm"))?;
        Ok(block)
    }

    async fn host(
        &mut self,
        alias: &str,
        said: &str,
        target: &Target,
        file: Option<&PathBuf>,
    ) -> Result<Block> {
        let host = self.dialer(file)?.resolve(target).await?;
        let mut block = Block::new(alias, said);
        block.expanded("HostName", &host.host_name)?;
        block.word("Port", &host.port.to_string())?;
        block.word("User", &host.user)?;
        match &host.proxy {
            Proxy::Direct => {}
            Proxy::Command(command) => block.line("ProxyCommand", command)?,
            Proxy::Jump(hops) => {
                let mut over = Vec::new();
                for hop in hops {
                    over.push(self.gateway(hop, file).await?.to_string());
                }
                block.word("ProxyJump", &over.join(","))?;
            }
        }
        login(&mut block, &host)?;
        self.host_keys(&mut block, &host, target)?;
        Ok(block)
    }

    /// A host on the way, with the user who logs in there: its block may be that of a node, where another one does.
    async fn gateway(&mut self, hop: &Hop, file: Option<&PathBuf>) -> Result<Hop> {
        let user = self.dialer(file)?.resolve(&on_the_way(hop)).await?.user.clone();
        if Block::can_be(&hop.host) && self.done.insert(hop.host.clone()) {
            self.open.push((hop.clone(), file.cloned()));
        }
        Ok(Hop { user: Some(user), ..hop.clone() })
    }

    /// Where its host keys are known.
    fn host_keys(&mut self, block: &mut Block, host: &HostConfig, target: &Target) -> Result<()> {
        if let Some(alias) = &host.host_key_alias {
            block.word("HostKeyAlias", alias)?;
        }
        if let (Some(file), false) = (self.known_hosts, target.host_keys.is_empty()) {
            let name = match (&host.host_key_alias, host.port) {
                (Some(alias), _) => alias.clone(),
                (None, 22) => host.host_name.clone(),
                (None, port) => format!("[{}]:{port}", host.host_name),
            };
            self.keys.extend(target.host_keys.iter().map(|key| format!("{name} {key}")));
            block.paths("UserKnownHostsFile", &[file])?;
            return block.word("StrictHostKeyChecking", "yes");
        }
        let usual = ["known_hosts", "known_hosts2"].map(|name| self.me.home.join(".ssh").join(name));
        if host.user_known_hosts != usual {
            block.paths("UserKnownHostsFile", &host.user_known_hosts)?;
        }
        Ok(())
    }

    fn dialer(&mut self, file: Option<&PathBuf>) -> Result<Dialer> {
        if let Some(dialer) = self.dialers.get(&file.cloned()) {
            return Ok(dialer.clone());
        }
        let files = file.map_or_else(|| self.usual.clone(), |path| Files::Only(path.clone()));
        let dialer = Dialer::new(&self.me, DialOptions { files, ..DialOptions::default() })?;
        self.dialers.insert(file.cloned(), dialer.clone());
        Ok(dialer)
    }
}

fn on_the_way(hop: &Hop) -> Target {
    Target { user: hop.user.clone(), port: hop.port, ..Target::new(&hop.host) }
}

/// With which keys to log in, where the configuration names some.
fn login(block: &mut Block, host: &HostConfig) -> Result<()> {
    if host.identity_files_named {
        for path in &host.identity_files {
            block.paths("IdentityFile", &[path])?;
        }
    }
    for path in &host.certificate_files {
        block.paths("CertificateFile", &[path])?;
    }
    if host.identities_only {
        block.word("IdentitiesOnly", "yes")?;
    }
    Ok(())
}
