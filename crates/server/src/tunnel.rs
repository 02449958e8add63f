//! Streams into VMs: a WebSocket on one side, a tunnel of the link on the other.
//!
//! `hostler.tcp.v1`: binary messages are bytes, an empty one ends that direction. `hostler.exec.v1`: each binary message
//! is one frame of the tunnel. Both sides have flow control; nothing is buffered beyond one message.

use crate::request::Request;
use api::{
    Vm,
    query::{LOG_END, LOG_OFFSET, LogQuery},
    routes::RouteId,
    stream::{EXEC_PROTOCOL, ExecRequest, TCP_PROTOCOL},
    vm::{Power, VmPhase},
};
use axum::{
    body::Body,
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderValue, Response, header},
    response::IntoResponse,
};
use base::{Code, Error, Result, Uid};
use bytes::Bytes;
use controller::{Controller, Principal, authorize};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use link::{
    Class, TunnelReader, TunnelStream, TunnelWriter,
    frame::{FrameReader, FrameWriter, MAX_FRAME},
};
use std::{fmt::Write, io, time::Duration};
use tokio::io::AsyncReadExt;

/// How often a stream's rights are looked at again.
const RECHECK: Duration = Duration::from_secs(3);
/// How often a VM that has no place yet is looked at for someone who waits.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for a guest that is still booting.
const MAX_WAIT: u64 = 3600;

/// What speaks through a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Exec,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => TCP_PROTOCOL,
            Protocol::Exec => EXEC_PROTOCOL,
        }
    }
}

/// Answers the routes of streams. The tunnel is opened first, so that what cannot be reached is a problem and not a
/// WebSocket that closes at once.
pub(crate) async fn serve(mut request: Request) -> Result<Response<Body>> {
    let (project, name) = (request.project()?, request.parameter("name")?.to_owned());
    let (vm, worker) = address(&request, &project, &name).await?;
    let (target, protocol, class) = target(&request, vm)?;
    check_origin(&request)?;
    let upgrade = upgrade(&mut request, protocol).await?;
    request.controller.audit_connect(&request.caller()?, &project).await?;
    let tunnel = request.controller.links().open(worker, &target, class).await?;
    let rights = Rights::of(&request, project)?;
    let response = upgrade.on_upgrade(move |socket| async move {
        tokio::select! {
            () = bridge(socket, tunnel, protocol) => {}
            e = rights.lost() => tracing::info!(error = %e, "a stream ends because its rights ended"),
        }
    });
    Ok(response.into_response())
}

/// Where the VM is. Whoever waits for its guest waits for its place too.
async fn address(request: &Request, project: &base::Name, name: &str) -> Result<(Uid, Uid)> {
    let wait = match request.route.id {
        RouteId::ExecVm => request.query::<ExecRequest>()?.wait.unwrap_or(0).min(MAX_WAIT),
        _ => 0,
    };
    if wait > 0 {
        refuse_stopped(&request.controller.get(Some(project), name)?)?;
    }
    let since = rt::clock::now();
    loop {
        match request.controller.vm_address(project, name) {
            Err(e) if e.code == Code::Unavailable && since.elapsed().as_secs() < wait => {
                rt::clock::sleep(LOOK).await;
            }
            found => return found,
        }
    }
}

/// Waiting does not help where nobody wants it to run.
fn refuse_stopped(vm: &Vm) -> Result<()> {
    if vm.spec.power != Power::Stopped || vm.status.phase != VmPhase::Stopped {
        return Ok(());
    }
    let name = &vm.metadata.name;
    Err(Error::conflict(format!("the VM '{name}' is stopped"))
        .hint(format!("start it: hostler vm start {name}")))
}

fn target(request: &Request, vm: Uid) -> Result<(String, Protocol, Class)> {
    Ok(match request.route.id {
        RouteId::PortVm => {
            let text = request.parameter("port")?;
            let port: u16 = text.parse().ok().filter(|p| *p > 0).ok_or_else(|| {
                Error::new(Code::Invalid, format!("'{text}' is not a port")).at("port").hint("use 1 to 65535")
            })?;
            (format!("vms/{vm}/ports/{port}"), Protocol::Tcp, Class::Bulk)
        }
        RouteId::VncVm => (format!("vms/{vm}/vnc"), Protocol::Tcp, Class::Bulk),
        RouteId::ConsoleVm => (format!("vms/{vm}/console"), Protocol::Tcp, Class::Interactive),
        _ => {
            let query: ExecRequest = request.query()?;
            if query.wait.is_some_and(|w| w > MAX_WAIT) {
                return Err(Error::invalid("wait", "longer than an hour").hint("use at most 3600"));
            }
            // Whoever types goes apart from whoever copies.
            let class = if query.tty { Class::Interactive } else { Class::Bulk };
            let text = request.parts.uri.query().unwrap_or_default();
            (format!("vms/{vm}/exec?{text}"), Protocol::Exec, class)
        }
    })
}

/// Browsers say which page opened a WebSocket: only our own may (OWASP, cross-site WebSocket hijacking).
fn check_origin(request: &Request) -> Result<()> {
    let Some(origin) = request.header("origin") else { return Ok(()) };
    let host = request.header("host").unwrap_or_default();
    if origin.split_once("://").is_some_and(|(_, o)| o == host) {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, format!("pages of {origin} may not open streams here"))
        .at("Origin")
        .hint("open it from a page of this server, or with the CLI"))
}

async fn upgrade(request: &mut Request, protocol: Protocol) -> Result<WebSocketUpgrade> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut request.parts, &()).await.map_err(|e| {
        Error::new(Code::Invalid, "this path speaks WebSocket only")
            .because(e.body_text())
            .hint(format!("upgrade with HTTP/1.1 and the subprotocol {}", protocol.name()))
    })?;
    let offered = request.header("sec-websocket-protocol").unwrap_or_default();
    if !offered.split(',').any(|p| p.trim() == protocol.name()) {
        return Err(Error::invalid(
            "Sec-WebSocket-Protocol",
            format!("this path speaks {}", protocol.name()),
        )
        .hint(format!("offer the subprotocol {}", protocol.name())));
    }
    Ok(upgrade
        .protocols([protocol.name()])
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .write_buffer_size(0)
        .max_write_buffer_size(4 << 20))
}

/// The rights that a stream lives by.
struct Rights {
    controller: Controller,
    principal: Principal,
    route: &'static api::routes::Route,
    project: base::Name,
}

impl Rights {
    fn of(request: &Request, project: base::Name) -> Result<Self> {
        Ok(Rights {
            controller: request.controller.clone(),
            principal: request.principal()?.clone(),
            route: request.route,
            project,
        })
    }

    async fn lost(self) -> Error {
        loop {
            rt::clock::sleep(RECHECK).await;
            let still = self.controller.still(&self.principal);
            if let Err(e) = still.and_then(|p| authorize(Some(&p), self.route, Some(&self.project))) {
                return e;
            }
        }
    }
}

async fn bridge(socket: WebSocket, tunnel: TunnelStream, protocol: Protocol) {
    let (mut sink, source) = socket.split();
    let (reader, writer) = tunnel.into_split();
    let ended = match protocol {
        Protocol::Tcp => bridge_tcp(&mut sink, source, reader, writer).await,
        Protocol::Exec => bridge_exec(&mut sink, source, reader, writer).await,
    };
    let (code, reason) = match ended {
        Ok(()) => (close_code::NORMAL, String::new()),
        Err(e) => (close_code::ERROR, e.to_string().chars().take(100).collect()),
    };
    let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

fn lost(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

/// The guest's side takes no more: a command may leave its input unread. What it still says, or why it broke, comes the
/// other way.
fn deaf(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, error)
}

fn is_deaf(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client is gone")
}

/// Until both directions have ended, or one is broken.
async fn bridge_tcp(
    sink: &mut Sink,
    mut source: Source,
    mut reader: TunnelReader,
    mut writer: TunnelWriter,
) -> io::Result<()> {
    let up = async {
        while let Some(message) = source.next().await {
            match message.map_err(lost)? {
                Message::Binary(bytes) if bytes.is_empty() => writer.finish().map_err(deaf)?,
                Message::Binary(bytes) => writer.send(bytes).await.map_err(deaf)?,
                Message::Close(_) => return Err(gone()),
                Message::Text(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "text on a byte stream"));
                }
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        Err::<(), _>(gone())
    };
    let down = async {
        while let Some(bytes) = reader.receive().await? {
            sink.send(Message::Binary(bytes)).await.map_err(lost)?;
        }
        sink.send(Message::Binary(Bytes::new())).await.map_err(lost)
    };
    tokio::pin!(up, down);
    // The guest's end does not end the client's direction; the client leaves when it has seen enough.
    tokio::select! {
        broken = &mut up => match broken {
            Err(e) if is_deaf(&e) => return down.await,
            broken => return broken_is_end(broken),
        },
        ended = &mut down => ended?,
    }
    broken_is_end(up.await)
}

fn broken_is_end(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
        other => other,
    }
}

/// Until the command's last frame.
async fn bridge_exec(
    sink: &mut Sink,
    mut source: Source,
    reader: TunnelReader,
    writer: TunnelWriter,
) -> io::Result<()> {
    let mut frames = FrameReader::new(reader);
    let mut out = FrameWriter::new(writer);
    let up = async {
        while let Some(message) = source.next().await {
            match message.map_err(lost)? {
                Message::Binary(bytes) => out.send(&bytes).await.map_err(deaf)?,
                Message::Close(_) => return Err(gone()),
                Message::Text(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "text on a byte stream"));
                }
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        Err::<(), _>(gone())
    };
    let down = async {
        while let Some(frame) = frames.next().await? {
            sink.send(Message::Binary(frame)).await.map_err(lost)?;
        }
        Ok(())
    };
    tokio::pin!(down);
    tokio::select! {
        broken = up => match broken {
            Err(e) if is_deaf(&e) => down.await,
            broken => broken_is_end(broken),
        },
        ended = &mut down => ended,
    }
}

/// Answers the route of logs: bytes from an offset, going on where that is asked.
pub(crate) async fn log(request: Request) -> Result<Response<Body>> {
    let (project, name) = (request.project()?, request.parameter("name")?);
    let (vm, worker) = request.controller.vm_address(&project, name)?;
    let log = request.parameter("log")?;
    if !matches!(log, "console" | "startup") {
        return Err(Error::not_found(format!("a VM has no log '{log}'")).hint("use console or startup"));
    }
    let query: LogQuery = request.query()?;
    let mut target = format!("vms/{vm}/logs/{log}?header=true&follow={}", query.follow);
    for (name, value) in [("offset", query.offset), ("limit", query.limit)] {
        if let Some(value) = value {
            let _ = write!(target, "&{name}={value}");
        }
    }
    let mut tunnel = request.controller.links().open(worker, &target, Class::Bulk).await?;
    let cut = |e: io::Error| Error::unavailable("the worker did not send the log").because(e);
    let (offset, end) = (tunnel.read_u64().await.map_err(cut)?, tunnel.read_u64().await.map_err(cut)?);
    let (reader, writer) = tunnel.into_split();
    // The writing half stays open as long as somebody listens: its end tells the worker to stop.
    let lost = Box::pin(Rights::of(&request, project)?.lost());
    let bytes =
        futures::stream::unfold((reader, writer, lost), |(mut reader, writer, mut lost)| async move {
            let next = tokio::select! {
                next = reader.receive() => next,
                e = &mut lost => Err(io::Error::new(io::ErrorKind::PermissionDenied, e)),
            };
            next.transpose().map(|bytes| (bytes, (reader, writer, lost)))
        });
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(LOG_OFFSET, HeaderValue::from(offset));
    headers.insert(LOG_END, HeaderValue::from(end));
    Ok(response)
}
