//! What goes through the socket: frames of a length, a kind and a content.

use crate::{
    connector::{Event, Login},
    session::{Chunk, Ended},
};
use base::{Error, Result, Secret};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use inventory::Node;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ssh::{
    DialOptions, HostKeyPolicy, Transport,
    config::{Files, Surroundings},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Larger frames are a mistake. A node's metadata may be long.
const LARGEST: usize = 16 << 20;
/// Length and kind.
const HEAD: usize = 5;
/// What is read at once.
const READ: usize = 32 << 10;

/// How nodes are reached, for one run of the program.
#[derive(Clone, Serialize, Deserialize)]
pub struct How {
    me: Surroundings,
    files: Files,
    host_keys: Option<HostKeyPolicy>,
    transport: Option<Transport>,
    user: Option<String>,
    password: Option<String>,
}

impl How {
    /// As the connector takes it. Nobody can be asked.
    pub fn new(me: Surroundings, options: &DialOptions, login: &Login) -> Self {
        How {
            me,
            files: options.files.clone(),
            host_keys: options.host_keys,
            transport: options.transport,
            user: login.user.clone(),
            password: login.password.as_ref().map(|p| p.expose_secret().to_owned()),
        }
    }

    /// The same, at the other end.
    pub fn parts(self) -> (Surroundings, DialOptions, Login) {
        let How { files, host_keys, transport, .. } = self;
        let options = DialOptions { files, host_keys, transport, ..DialOptions::default() };
        (self.me, options, Login { user: self.user, password: self.password.map(Secret::new) })
    }
}

/// What is asked of the process. Answers are `Result`s.
#[derive(Serialize, Deserialize)]
pub enum Ask {
    /// First of all on one socket, which stays open as long as the run. Answered with its number.
    Begin(Box<How>),
    /// On a further one: a connection to a node, for the run of that number.
    Connect(u64, Box<Node>),
    /// After that: a line in the login shell of the user. Its streams follow.
    Start(String),
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Message = 0,
    Stdout = 1,
    Stderr = 2,
    Stdin = 3,
}

/// A frame that came.
pub enum Frame {
    /// An [`Ask`] or an answer.
    Message(Bytes),
    /// Standard input of what was started.
    Stdin(Bytes),
    /// An output of it.
    Output(Chunk),
}

impl Frame {
    /// As a message of this type.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T> {
        match self {
            Frame::Message(json) => serde_json::from_slice(json).map_err(|e| strange(&e.to_string())),
            _ => Err(strange("no message came")),
        }
    }

    /// As what comes from a started line; its end is a message.
    pub fn event(self) -> Result<Event> {
        match self {
            Frame::Output(chunk) => Ok(Event::Chunk(chunk)),
            other => other.message::<Result<Ended>>()?.map(Event::Ended),
        }
    }
}

/// Reads frames. Safe to cancel.
pub struct Frames<R> {
    from: R,
    held: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// From this end of a socket.
    pub fn new(from: R) -> Self {
        Frames { from, held: BytesMut::new() }
    }

    /// The next one; `None` where the other side has closed.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.pop()? {
                return Ok(Some(frame));
            }
            self.held.reserve(READ);
            let n = self.from.read_buf(&mut self.held).await.map_err(|e| lost(&e))?;
            if n == 0 {
                return Ok(None);
            }
        }
    }

    /// The answer to what was asked.
    pub async fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        match self.next().await? {
            Some(frame) => frame.message::<Result<T>>()?,
            None => Err(gone()),
        }
    }

    fn pop(&mut self) -> Result<Option<Frame>> {
        let Some(mut head) = self.held.get(..HEAD) else { return Ok(None) };
        let (length, kind) = (head.get_u32() as usize, head.get_u8());
        if length > LARGEST {
            return Err(strange("a frame is too large"));
        }
        if self.held.len() < HEAD + length {
            return Ok(None);
        }
        self.held.advance(HEAD);
        let content = self.held.split_to(length).freeze();
        Ok(Some(match kind {
            k if k == Kind::Message as u8 => Frame::Message(content),
            k if k == Kind::Stdin as u8 => Frame::Stdin(content),
            k if k == Kind::Stdout as u8 => Frame::Output(Chunk::Stdout(content)),
            k if k == Kind::Stderr as u8 => Frame::Output(Chunk::Stderr(content)),
            _ => return Err(strange("a frame of an unknown kind")),
        }))
    }
}

/// Sends a message.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<()> {
    let json =
        serde_json::to_vec(message).map_err(|e| Error::internal("cannot write a message").because(e))?;
    write(to, Kind::Message, &json).await
}

/// Sends standard input.
pub async fn send_input(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    for part in bytes.chunks(LARGEST) {
        write(to, Kind::Stdin, part).await?;
    }
    Ok(())
}

/// Sends output.
pub async fn send_output(to: &mut (impl AsyncWrite + Unpin), chunk: &Chunk) -> Result<()> {
    let kind = match chunk {
        Chunk::Stdout(_) => Kind::Stdout,
        Chunk::Stderr(_) => Kind::Stderr,
    };
    write(to, kind, chunk.bytes()).await
}

async fn write(to: &mut (impl AsyncWrite + Unpin), kind: Kind, content: &[u8]) -> Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| strange("a frame is too large"))?;
    let mut frame = BytesMut::with_capacity(HEAD + content.len());
    frame.put_u32(length);
    frame.put_u8(kind as u8);
    frame.put_slice(content);
    to.write_all(&frame).await.map_err(|e| lost(&e))
}

fn lost(e: &std::io::Error) -> Error {
    gone().because(e)
}

/// The error for whoever still wants something of a process that has ended.
pub fn gone() -> Error {
    Error::unavailable("the process that keeps connections has ended").hint("try again, or without --persist")
}

fn strange(why: &str) -> Error {
    Error::internal("the process that keeps connections is not understood").because(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn messages_and_streams_keep_their_order() {
        let (mut near, far) = tokio::io::duplex(64);
        let sending = async move {
            send(&mut near, &Ask::Start("exec sh".into())).await.unwrap();
            send_input(&mut near, &vec![7; 100_000]).await.unwrap();
            send_output(&mut near, &Chunk::Stderr("oh".into())).await.unwrap();
            send(&mut near, &Ok::<_, Error>(Ended::Code(3))).await.unwrap();
        };
        let reading = async {
            let mut frames = Frames::new(far);
            let Ask::Start(line) = frames.next().await.unwrap().unwrap().message().unwrap() else { panic!() };
            assert_eq!(line, "exec sh");
            let Some(Frame::Stdin(input)) = frames.next().await.unwrap() else { panic!() };
            assert_eq!(input, vec![7; 100_000]);
            let said = frames.next().await.unwrap().unwrap().event().unwrap();
            assert_eq!(said, Event::Chunk(Chunk::Stderr("oh".into())));
            let ended = frames.next().await.unwrap().unwrap().event().unwrap();
            assert_eq!(ended, Event::Ended(Ended::Code(3)));
            assert!(frames.next().await.unwrap().is_none());
        };
        tokio::join!(sending, reading);
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut frames = Frames::new(tokio::io::empty());
            frames.held.extend_from_slice(&bytes);
            while let Ok(Some(frame)) = frames.pop() {
                let _ = frame.event();
            }
        }
    }
}
