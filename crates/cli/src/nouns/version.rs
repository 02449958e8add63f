//! `hostler version` and `hostler whoami`.

use crate::{Result, app::App, failure::OK};
use api::{access::WhoAmI, routes::RouteId};
use serde_json::{Value, json};

const OURS: &str = env!("CARGO_PKG_VERSION");

/// Our version, and the controller's where one is chosen and can be reached.
pub async fn run(app: &App) -> Result {
    let theirs = match app.client() {
        Ok(client) => Some(client.call(RouteId::Version, &[]).send::<Value>().await),
        Err(_) => None,
    };
    let controller = theirs.as_ref().and_then(|r| r.as_ref().ok());
    if app.printer.format.is_data() {
        app.printer.value(&json!({ "program": OURS, "controller": controller }))?;
        return Ok(OK);
    }
    app.printer.line(&format!("hostler {OURS}"));
    match &theirs {
        Some(Ok(answer)) => {
            let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned();
            app.printer.line(&format!("controller {}", text("version")));
        }
        Some(Err(e)) => app.printer.note(&format!("controller: {}", e.error)),
        None => {}
    }
    Ok(OK)
}

/// Who we are to the controller.
pub async fn whoami(app: &App) -> Result {
    let who: WhoAmI = app.client()?.call(RouteId::WhoAmI, &[]).send().await?;
    if app.printer.format.is_data() {
        app.printer.value(&who)?;
        return Ok(OK);
    }
    app.printer.line(who.account.as_str());
    for role in &who.roles {
        let place =
            role.project.as_ref().map_or_else(|| "the whole cluster".into(), |p| format!("the project {p}"));
        app.printer.note(&format!("{} in {place}", role.role.as_str()));
    }
    Ok(OK)
}
