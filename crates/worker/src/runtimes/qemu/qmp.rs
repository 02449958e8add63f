//! A client of the QEMU Machine Protocol (docs/interop/qmp-spec in QEMU's manual): lines of JSON over a stream.

use base::{Error, Result};
use rt::{clock, task};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, WriteHalf},
    sync::{broadcast, oneshot},
};

/// The longest line that makes sense (`query-machines` answers some 50 KiB).
const LONGEST_LINE: usize = 4 << 20;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value>>>>>;
type Writer = tokio::sync::Mutex<WriteHalf<Box<dyn Stream>>>;

/// What QMP runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection. Commands may overlap; answers find their command by its id.
pub struct Qmp {
    writer: Writer,
    waiting: Waiting,
    next_id: AtomicU64,
    limit: Duration,
    events: broadcast::Sender<Event>,
    version: String,
    reader: task::Task<()>,
}

/// Something that QEMU says by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Its name, e.g. `SHUTDOWN`.
    #[serde(rename = "event")]
    pub name: String,
    /// What comes with it.
    #[serde(default)]
    pub data: Value,
}

/// One line from QEMU.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event(Event),
    Return {
        id: u64,
        #[serde(rename = "return")]
        value: Value,
    },
    Failure {
        id: Option<u64>,
        error: Failure,
    },
}

#[derive(Deserialize)]
struct Failure {
    class: String,
    desc: String,
}

#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "QMP")]
    qmp: Hello,
}

#[derive(Deserialize)]
struct Hello {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    qemu: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    major: u32,
    minor: u32,
    micro: u32,
}

impl Qmp {
    /// Connects to a socket. QEMU serves one client at a time: another one makes this wait, at most `limit`, which
    /// also bounds each command.
    pub async fn connect(socket: &Path, limit: Duration) -> Result<Self> {
        let stream = rt::socket::connect(socket)
            .await
            .map_err(|e| Error::io(format_args!("reach the hypervisor at {}", socket.display()), &e))?;
        Self::over(Box::new(stream), limit).await
    }

    /// Talks over a stream: reads the greeting and leaves the negotiation mode.
    pub async fn over(stream: Box<dyn Stream>, limit: Duration) -> Result<Self> {
        let (from, to) = tokio::io::split(stream);
        let mut lines = BufReader::new(from);
        let greeting =
            clock::timeout(limit, "the greeting of the hypervisor", next_line(&mut lines)).await??;
        let greeting: Greeting = serde_json::from_slice(&greeting)
            .map_err(|e| Error::internal("the hypervisor does not greet as QMP does").because(e))?;
        let Numbers { major, minor, micro } = greeting.qmp.version.qemu;
        let waiting = Waiting::default();
        let events = broadcast::Sender::new(64);
        let reader = task::spawn("qmp", {
            let (waiting, events) = (waiting.clone(), events.clone());
            async move { read(lines, &waiting, &events).await }
        });
        let qmp = Qmp {
            writer: tokio::sync::Mutex::new(to),
            waiting,
            next_id: AtomicU64::new(1),
            limit,
            events,
            version: format!("{major}.{minor}.{micro}"),
            reader,
        };
        qmp.call("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// The version of QEMU, as `7.2.15`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether QEMU has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }

    /// Events from now on. The channel closes with the connection's owner.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Runs a command and returns what it returns.
    ///
    /// # Errors
    /// [`base::Code::Internal`] with QEMU's own words when it refuses, [`base::Code::Timeout`] when it does not answer,
    /// [`base::Code::Unavailable`] when the connection is gone.
    pub async fn call(&self, command: &str, arguments: Value) -> Result<Value> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(id, tell);
        let result = clock::timeout(self.limit, command, async {
            let mut line = json!({ "execute": command, "id": id });
            if arguments.as_object().is_some_and(|a| !a.is_empty()) {
                line["arguments"] = arguments;
            }
            let text = format!("{line}\n");
            let written = self.writer.lock().await.write_all(text.as_bytes()).await;
            if written.is_err() || self.is_closed() {
                return Err(closed());
            }
            told.await.unwrap_or_else(|_| Err(closed()))
        })
        .await;
        lock(&self.waiting).remove(&id);
        result?.map_err(|mut e| {
            e.message = format!("{command}: {}", e.message);
            e
        })
    }

    /// Runs a command of the human monitor, for the few things that have no other, and returns what it prints: nothing,
    /// usually, when it went well.
    pub async fn human(&self, line: &str) -> Result<String> {
        let said = self.call("human-monitor-command", json!({ "command-line": line })).await?;
        Ok(said.as_str().unwrap_or_default().trim().to_owned())
    }
}

/// Hands lines out until the stream ends; then whoever waits learns it.
async fn read(mut lines: impl AsyncBufReadExt + Unpin, waiting: &Waiting, events: &broadcast::Sender<Event>) {
    while let Ok(bytes) = next_line(&mut lines).await {
        let (id, answer) = match serde_json::from_slice(&bytes) {
            Ok(Line::Event(event)) => {
                let _ = events.send(event);
                continue;
            }
            Ok(Line::Return { id, value }) => (Some(id), Ok(value)),
            Ok(Line::Failure { id, error }) => (
                id,
                Err(Error::internal(error.desc).because(format_args!("QEMU error class {}", error.class))),
            ),
            Err(e) => {
                tracing::debug!("a line from QEMU that does not make sense: {e}");
                continue;
            }
        };
        if let Some(tell) = id.and_then(|id| lock(waiting).remove(&id)) {
            let _ = tell.send(answer);
        }
    }
    lock(waiting).clear();
}

async fn next_line(lines: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::new();
    let n = lines.take(LONGEST_LINE as u64).read_until(b'\n', &mut line).await;
    match n {
        Ok(_) if line.ends_with(b"\n") => Ok(line),
        _ => Err(closed()),
    }
}

fn closed() -> Error {
    Error::unavailable("the hypervisor closed its control socket")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Code;
    use tokio::io::{DuplexStream, duplex};

    const LIMIT: Duration = Duration::from_secs(5);
    const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 15, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}"#;

    /// The other end: greets, accepts the negotiation, then is scripted by the test.
    struct Fake(BufReader<DuplexStream>);

    impl Fake {
        async fn say(&mut self, line: &str) {
            self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }

        async fn hear(&mut self) -> Value {
            serde_json::from_slice(&next_line(&mut self.0).await.unwrap()).unwrap()
        }

        async fn answer(&mut self, id: &Value, value: &Value) {
            self.say(&json!({ "return": value, "id": id }).to_string()).await;
        }
    }

    async fn pair(limit: Duration) -> (Qmp, Fake) {
        let (ours, theirs) = duplex(64 << 10);
        let mut fake = Fake(BufReader::new(theirs));
        let serve = async {
            fake.say(GREETING).await;
            let hello = fake.hear().await;
            assert_eq!(hello["execute"], "qmp_capabilities");
            fake.answer(&hello["id"], &json!({})).await;
            fake
        };
        let (qmp, fake) = tokio::join!(Qmp::over(Box::new(ours), limit), serve);
        (qmp.unwrap(), fake)
    }

    #[tokio::test]
    async fn answers_find_their_commands_in_any_order() {
        let (qmp, mut fake) = pair(LIMIT).await;
        assert_eq!(qmp.version(), "7.2.15");
        let serve = async {
            let (a, b) = (fake.hear().await, fake.hear().await);
            fake.say("this is not JSON").await;
            fake.answer(&b["id"], &b["execute"]).await;
            fake.say(r#"{"event": "RESUME", "timestamp": {"seconds": 1}}"#).await;
            fake.answer(&a["id"], &a["execute"]).await;
        };
        let mut events = qmp.events();
        let (one, two, ()) =
            tokio::join!(qmp.call("one", json!({})), qmp.call("two", json!({"x": 1})), serve);
        assert_eq!((one.unwrap(), two.unwrap()), (json!("one"), json!("two")));
        assert_eq!(events.recv().await.unwrap().name, "RESUME");
    }

    #[tokio::test]
    async fn a_refusal_carries_the_words_of_qemu() {
        let (qmp, mut fake) = pair(LIMIT).await;
        let serve = async {
            let c = fake.hear().await;
            let error = json!({"class": "CommandNotFound", "desc": "The command fly has not been found"});
            fake.say(&json!({ "id": c["id"], "error": error }).to_string()).await;
        };
        let (result, ()) = tokio::join!(qmp.call("fly", json!({})), serve);
        let error = result.unwrap_err();
        assert_eq!(error.message, "fly: The command fly has not been found");
    }

    #[tokio::test]
    async fn silence_and_a_closed_socket_end_the_wait() {
        let (qmp, fake) = pair(Duration::from_millis(50)).await;
        assert_eq!(qmp.call("stop", json!({})).await.unwrap_err().code, Code::Timeout);
        assert!(lock(&qmp.waiting).is_empty());
        let (qmp, fake2) = pair(LIMIT).await;
        let gone = async { drop(fake2) };
        let (result, ()) = tokio::join!(qmp.call("stop", json!({})), gone);
        assert_eq!(result.unwrap_err().code, Code::Unavailable);
        assert_eq!(qmp.call("stop", json!({})).await.unwrap_err().code, Code::Unavailable);
        drop(fake);
    }

    #[tokio::test]
    async fn something_else_is_not_taken_for_qmp() {
        let (ours, mut theirs) = duplex(1 << 10);
        theirs.write_all(b"SSH-2.0-dropbear\n").await.unwrap();
        assert!(Qmp::over(Box::new(ours), LIMIT).await.is_err());
    }
}
