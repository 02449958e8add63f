//! `hostler vm port-forward` and `hostler vm vnc`.

use crate::{
    Result,
    app::App,
    complete,
    failure::OK,
    parse::{self, Forward, InProject},
};
use api::Vm;
use base::Error;
use clap::Args;
use client::{Client, Key, tcp::TcpStream};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes, join},
    net::TcpListener,
};

/// Large enough for a fast network, small enough for many connections.
const BUFFER: usize = 128 * 1024;

/// Reach TCP ports of a VM from this host.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hostler vm port-forward web 8080:80\n  hostler vm port-forward web 5432   (any free local port)\n  \
                        ssh -o ProxyCommand='hostler vm port-forward web 22 --stdio' user@web"
)]
pub struct PortForward {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// Ports of the VM, each with a local one before it or not
    #[arg(required = true, value_name = "[LOCAL:]REMOTE", value_parser = parse::forward)]
    pub ports: Vec<Forward>,
    /// The local address
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub address: IpAddr,
    /// Connect our input and output to the port instead
    #[arg(long)]
    pub stdio: bool,
}

/// Open a local port to the screen of a VM.
#[derive(Args, Clone, Debug)]
pub struct Vnc {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// The local port; 0 for any free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Port(u16),
    Screen,
}

impl Target {
    async fn open(self, client: &Client, key: &Key) -> client::Result<TcpStream> {
        match self {
            Target::Port(port) => client.vm_port(key, port).await,
            Target::Screen => client.vm_vnc(key).await,
        }
    }
}

impl PortForward {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let client = app.client()?;
        if self.stdio {
            return stdio(&client, &key, &self.ports).await;
        }
        // A wrong name shows now and not at the first connection.
        client.get::<Vm>(&key).await?;
        let group = rt::task::Group::new();
        for forward in &self.ports {
            let listener = listen(SocketAddr::new(self.address, forward.local)).await?;
            let local = local(&listener)?;
            if app.printer.format.is_data() {
                app.printer.json_line(&json!({ "local": local, "vm": key.short(), "port": forward.remote }));
            } else {
                app.printer.line(&format!("{local} -> {}:{}", key.short(), forward.remote));
            }
            let target = Target::Port(forward.remote);
            group.spawn("forward", serve(app.printer.clone(), listener, client.clone(), key.clone(), target));
        }
        std::future::pending::<()>().await;
        Ok(OK)
    }
}

impl Vnc {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let client = app.client()?;
        client.get::<Vm>(&key).await?;
        let listener = listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port)).await?;
        app.printer.line(&format!("vnc://{}", local(&listener)?));
        app.printer.note("open that address with a VNC viewer; Ctrl-C ends this");
        serve(app.printer.clone(), listener, client, key, Target::Screen).await;
        Ok(OK)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    Ok(listener.map_err(|e| Error::io(format_args!("listen on {address}"), &e))?)
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    Ok(listener.local_addr().map_err(|e| Error::io("read the local address", &e))?)
}

/// Takes connections until it is dropped, and all of them with it.
async fn serve(
    printer: crate::printer::Printer,
    listener: TcpListener,
    client: Client,
    key: Key,
    target: Target,
) {
    let connections = rt::task::Group::new();
    loop {
        let Ok((mut socket, peer)) = listener.accept().await else {
            // Out of descriptors: some will be free again.
            rt::clock::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let (client, key, printer) = (client.clone(), key.clone(), printer.clone());
        connections.spawn("connection", async move {
            let _ = socket.set_nodelay(true);
            let relayed = match target.open(&client, &key).await {
                Ok(mut tunnel) => relay(&mut socket, &mut tunnel).await,
                Err(e) => Err(e),
            };
            if let Err(e) = relayed {
                printer.note(&format!("connection from {peer}: {e}"));
            }
        });
    }
}

async fn relay(
    local: &mut (impl AsyncRead + AsyncWrite + Unpin),
    tunnel: &mut TcpStream,
) -> client::Result<()> {
    match copy_bidirectional_with_sizes(local, tunnel, BUFFER, BUFFER).await {
        Ok(_) => Ok(()),
        Err(e) => Err(client::tcp::unwrap_io("relay the connection", &e)),
    }
}

async fn stdio(client: &Client, key: &Key, ports: &[Forward]) -> Result {
    let [forward] = ports else {
        return Err(crate::Failure::usage("--stdio", "takes exactly one port"));
    };
    let mut tunnel = client.vm_port(key, forward.remote).await?;
    let mut stdio = join(tokio::io::stdin(), tokio::io::stdout());
    relay(&mut stdio, &mut tunnel).await?;
    Ok(OK)
}
