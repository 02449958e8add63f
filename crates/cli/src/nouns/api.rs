//! `hostler api`: any request, with the context's token.

use crate::{Result, app::App, failure::OK};
use api::routes::Method;
use base::Error;
use clap::Args;
use std::{fs, io::Read};

/// Any request of the API, with the context's token.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hostler api GET /v1/projects/default/vms\n  \
                        echo '{\"spec\": {\"cpus\": 2}}' | hostler api PATCH /v1/projects/default/vms/web --input -")]
pub struct Api {
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = method)]
    pub method: Method,
    /// The path, with its query
    #[arg(value_parser = path)]
    pub path: String,
    /// A file with the body (JSON); - for standard input
    #[arg(long, short = 'i', value_name = "FILE")]
    pub input: Option<String>,
    /// A header; repeat it for several
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
}

fn method(text: &str) -> Result<Method, String> {
    let all = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
    let found = all.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "use GET, POST, PUT, PATCH or DELETE".into())
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("a path begins with /".into()) }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Api {
    pub async fn run(self, app: &App) -> Result {
        let mut call = app.client()?.request(self.method, self.path);
        for (name, value) in self.headers {
            call = call.header(&name, value);
        }
        if let Some(input) = &self.input {
            let text = read(input)?;
            let body: serde_json::Value = serde_json::from_str(&text)
                .map_err(|e| Error::invalid("--input", "the body is not JSON").because(e))?;
            call = call.json(&body);
        }
        let raw = call.raw().await?;
        if raw.content_type.starts_with("application/json") {
            let body: serde_json::Value = serde_json::from_slice(&raw.body)
                .map_err(|e| Error::internal("the answer is not JSON").because(e))?;
            app.printer.value(&body)?;
        } else {
            app.printer.data(&raw.body);
        }
        Ok(OK)
    }
}

fn read(input: &str) -> Result<String> {
    if input == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| Error::io("read standard input", &e))?;
        return Ok(text);
    }
    Ok(fs::read_to_string(input).map_err(|e| Error::io(format_args!("read {input}"), &e).at("--input"))?)
}
