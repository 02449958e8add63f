//! The turn of a service in Ruby: its method is evaluated, and what it returns is done, one after the other.

use super::operator::{Way, local, send};
use crate::{
    ruby::{Action, Bridge, Copy, Method, Service},
    service::{InRuby, Script, Upload},
    session::{Become, Chunk, Command, Ended, Method as Other, Sink},
};
use base::{Error, Result};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use secrets::{Redacted, Redactor};

/// Does what `check` or `deploy` of the service returns. The first action that fails is the last.
pub async fn run(
    bridge: &Bridge,
    service: &InRuby,
    check: bool,
    node: &Node,
    way: Way<'_>,
    sink: &mut dyn Sink,
) -> Result<Ended> {
    let method = if check { Method::Check } else { Method::Deploy };
    let of = Service { platform: &service.platform, directory: &service.directory, name: &service.name };
    let mut said = Vec::new();
    let found = bridge.actions(of, method, node, &mut |chunk| said.push(chunk)).await;
    for chunk in said {
        sink.take(chunk).await;
    }
    let found = found?;
    let redactor = Redactor::new(&found.secrets)?;
    let mut hidden = Hidden { sink, streams: [redactor.stream(), redactor.stream()] };
    for action in found.actions {
        let ended = one(bridge, action, service, way, &mut hidden).await?;
        hidden.flush().await;
        if !ended.success() {
            return Ok(ended);
        }
    }
    Ok(Ended::Code(0))
}

async fn one(
    bridge: &Bridge,
    action: Action,
    service: &InRuby,
    way: Way<'_>,
    sink: &mut Hidden<'_>,
) -> Result<Ended> {
    match action {
        Action::RemoteBash(script) => {
            let interpreter = Some(Command::USUAL.to_owned());
            way.run(Command { script, interpreter, ..Command::default() }, sink).await
        }
        Action::Bash(script) => {
            let directory = Some(service.directory.clone());
            local(&Script { script, directory, ..Script::default() }, false, sink).await
        }
        Action::Copy(copy) => copied(copy, way, sink).await,
        Action::Ruby(block) => {
            let mut said = Vec::new();
            let called = bridge.call(&block, None, &mut |chunk| said.push(chunk)).await;
            for chunk in said {
                sink.take(chunk).await;
            }
            called.map(|()| Ended::Code(0))
        }
        Action::Interactive => Err(Error::invalid("interactive", "nobody can be asked during a deployment")),
    }
}

async fn copied(copy: Copy, way: Way<'_>, sink: &mut Hidden<'_>) -> Result<Ended> {
    let root = Become { user: "root".into(), method: Other::Sudo, password: None };
    let way = if copy.sudo && way.other.is_none() { Way { other: Some(&root), ..way } } else { way };
    for (source, into) in copy.files {
        let upload = Upload { source, into, owner: copy.owner.clone(), group: copy.group.clone() };
        let ended = send(&upload, way, sink).await?;
        if !ended.success() {
            return Ok(ended);
        }
    }
    Ok(Ended::Code(0))
}

/// An output without the texts that the service declared secret.
struct Hidden<'a> {
    sink: &'a mut dyn Sink,
    streams: [Redacted; 2],
}

impl Hidden<'_> {
    async fn flush(&mut self) {
        let [out, err] = self.streams.each_mut().map(Redacted::finish);
        self.sink.take(Chunk::Stdout(out.into())).await;
        self.sink.take(Chunk::Stderr(err.into())).await;
    }
}

impl Sink for Hidden<'_> {
    fn take(&mut self, chunk: Chunk) -> BoxFuture<'_, ()> {
        let chunk = match chunk {
            Chunk::Stdout(bytes) => Chunk::Stdout(self.streams[0].push(&bytes).into_owned().into()),
            Chunk::Stderr(bytes) => Chunk::Stderr(self.streams[1].push(&bytes).into_owned().into()),
        };
        self.sink.take(chunk).boxed()
    }
}
