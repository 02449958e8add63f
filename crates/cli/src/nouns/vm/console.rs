//! `hostler vm console`.

use crate::{
    Result,
    app::App,
    failure::OK,
    keyboard::{Escape, Keyboard, Keys},
    parse::InProject,
    terminal,
};
use base::Error;
use client::tcp::unwrap_io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Connects the terminal to the serial console, until the user leaves or the console ends.
pub async fn run(app: &App, name: &InProject) -> Result {
    let key = app.key(name)?;
    let console = app.client()?.vm_console(&key).await?;
    app.printer.note(&format!(
        "connected to {}; leave with Ctrl-], or with ~. at the beginning of a line",
        key.short()
    ));
    let interactive = terminal::is_interactive();
    let raw = if interactive { Some(terminal::Raw::enter()?) } else { None };
    let (mut reader, mut writer) = tokio::io::split(console);
    let mut keys = Keyboard::open()?;
    let mut escape = Escape::new(true);
    let typing = async {
        while let Some(typed) = keys.recv().await {
            let (bytes, leave) = match escape.filter(&typed) {
                _ if !interactive => (typed.to_vec(), false),
                Keys::Pass(bytes) => (bytes, false),
                Keys::Leave(bytes) => (bytes, true),
            };
            writer.write_all(&bytes).await?;
            writer.flush().await?;
            if leave {
                return Ok(());
            }
        }
        // Input from a file has an end; what the console answers to it is still to be seen.
        writer.shutdown().await?;
        std::future::pending().await
    };
    let showing = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let n = reader.read(&mut buffer).await?;
            if n == 0 {
                return Ok::<(), std::io::Error>(());
            }
            app.printer.data(&buffer[..n]);
        }
    };
    let ended = tokio::select! {
        left = typing => left.map(|()| "left"),
        ended = showing => ended.map(|()| "the console has ended"),
    };
    drop(raw);
    match ended {
        Ok(words) => app.printer.note(&format!("\n{words}")),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            return Err(Error::unavailable("the console has ended").into());
        }
        Err(e) => return Err(unwrap_io("use the console", &e).into()),
    }
    Ok(OK)
}
