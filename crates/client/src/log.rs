//! Logs by offset.

use crate::{Call, Client, Key, Result, explain};
use api::{
    query::{LOG_END, LOG_OFFSET, LogQuery},
    routes::RouteId,
};
use base::Error;
use bytes::Bytes;
use reqwest::Response;

/// A log as it is sent.
#[derive(Debug)]
pub struct Log {
    /// Offset of the first byte sent: higher than asked for where older bytes are no longer kept.
    pub offset: u64,
    /// The end of the log when the answer began.
    pub end: u64,
    /// Offset of the next byte.
    pub position: u64,
    url: String,
    response: Response,
}

impl Client {
    /// Opens a log of a VM: `console` or `startup`.
    pub async fn vm_log(&self, vm: &Key, log: &str, query: &LogQuery) -> Result<Log> {
        let project = vm.project.as_deref().unwrap_or(api::access::DEFAULT_PROJECT);
        let call = self.call(RouteId::GetVmLog, &[project, &vm.name, log]);
        self.log(call, query).await
    }

    /// Opens the log of an operation of a project.
    pub async fn operation_log(&self, operation: &Key, query: &LogQuery) -> Result<Log> {
        let project = operation.project.as_deref().unwrap_or(api::access::DEFAULT_PROJECT);
        self.log(self.call(RouteId::GetOperationLog, &[project, &operation.name]), query).await
    }

    /// Opens what happens on the nodes of an operation of a project: an [`api::fleet::NodeEvent`] a line.
    pub async fn operation_events(&self, operation: &Key, query: &LogQuery) -> Result<Log> {
        let project = operation.project.as_deref().unwrap_or(api::access::DEFAULT_PROJECT);
        self.log(self.call(RouteId::GetOperationEvents, &[project, &operation.name]), query).await
    }

    async fn log(&self, call: Call, query: &LogQuery) -> Result<Log> {
        let response = call.query(query).stream().await?;
        let number =
            |name: &str| -> Option<u64> { response.headers().get(name)?.to_str().ok()?.parse().ok() };
        let offset = number(LOG_OFFSET).or(query.offset).unwrap_or(0);
        let end = number(LOG_END).unwrap_or(offset);
        Ok(Log { offset, end, position: offset, url: self.url().to_owned(), response })
    }
}

impl Log {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk =
            self.response.chunk().await.map_err(|e| -> Error { explain::transport(&self.url, &e) })?;
        self.position += chunk.as_ref().map_or(0, |c| c.len() as u64);
        Ok(chunk)
    }
}
