//! A server from its start to its end.

use crate::{listen, router};
use base::{Error, Result};
use controller::Controller;
use link::{accept::Acceptor, pki};
use std::{net::SocketAddr, sync::Arc};

/// How a server listens.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Names and addresses in its certificate, beside `localhost` and the loopback addresses.
    pub names: Vec<String>,
    /// Whether the API may be plain for clients on this host.
    pub plain_from_loopback: bool,
    /// What the port bears.
    pub limits: listen::Limits,
}

/// A listening server. Dropping it closes the port and all connections; VMs run on.
pub struct Server {
    address: SocketAddr,
    _accepting: rt::task::Task<()>,
    tasks: Arc<rt::task::Group>,
}

impl Server {
    /// Starts to listen. TLS from the first start: the certificate is of the controller's own CA.
    pub async fn start(controller: &Controller, options: Options) -> Result<Server> {
        let listener = listen::bind(options.listen).await?;
        let address = listener.local_addr().map_err(|e| Error::io("read the listening address", &e))?;
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        names.push(rt::host::hostname());
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
        names.extend(options.names);
        names.sort_unstable();
        names.dedup();
        let identity = controller.ca().issue_server(&names, None)?;
        let tls = pki::server_tls(controller.ca(), &identity)?;
        let acceptor = Acceptor::new(tls).plain_from_loopback(options.plain_from_loopback);
        let tasks = Arc::new(rt::task::Group::new());
        let running = listen::run(
            listener,
            acceptor,
            router::router(controller),
            controller.links().clone(),
            options.limits,
            tasks.clone(),
        );
        Ok(Server { address, _accepting: rt::task::spawn("listener", running), tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.tasks.len()
    }
}
