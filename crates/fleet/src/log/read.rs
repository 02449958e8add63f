//! The newest log of a node.

use super::Entry;
use crate::session::{Become, Command, Session};
use base::{Error, Result};
use std::time::Duration;

/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much is read of a log.
const MOST: usize = 4 << 20;

/// The newest log of a node, without the outputs unless they are wanted; `None` where there is none. `dir` is where it
/// keeps them, if not at the usual place.
///
/// # Errors
/// Where the node cannot be read, or what is there is no log.
pub async fn newest(
    session: &Session,
    user: Option<Become>,
    dir: Option<&str>,
    whole: bool,
) -> Result<Option<Entry>> {
    let script = script(dir, whole);
    let command = Command { script, r#become: user, timeout: Some(PATIENCE), ..Command::default() };
    let text = session.output(command, MOST).await?.success("reading its log")?;
    let text = String::from_utf8_lossy(&text);
    if text.is_empty() {
        return Ok(None);
    }
    Entry::parse(&text)
        .map(Some)
        .ok_or_else(|| Error::internal("its newest log is not one that is understood"))
}

/// Shows the newest log, without the outputs unless they are wanted; nothing where there is none.
pub fn script(dir: Option<&str>, whole: bool) -> String {
    let dir = dir.map_or_else(|| "''".into(), crate::resource::word);
    let show = if whole { "cat --" } else { "sed '/^===== STDOUT =====$/q' --" };
    format!(
        "logs={dir}\n\
         if [ -z \"$logs\" ] && [ \"$(id -u)\" = 0 ]; then logs=/var/log/deployments; fi\n\
         : \"${{logs:=$HOME/.local/state/hostler/deployments}}\"\n\
         [ -d \"$logs\" ] || exit 0\n\
         cd -- \"$logs\" || exit\n\
         newest=$(ls -t | head -n 1)\n\
         [ -z \"$newest\" ] || {show} \"$newest\"\n"
    )
}
