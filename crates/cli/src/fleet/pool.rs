//! The controller's VMs, for inventories that have them as nodes.

use crate::app::App;
use api::Vm;
use base::Result;
use futures::future::{BoxFuture, FutureExt};
use inventory::Pool;

/// Asks the controller that the command line names. Nothing is read before it is needed.
#[derive(Debug)]
pub struct ControllerPool(App);

impl ControllerPool {
    /// For one run of the program.
    pub fn new(app: &App) -> Self {
        ControllerPool(app.clone())
    }

    async fn ask(&self, project: Option<&str>) -> crate::Result<Vec<Vm>> {
        let project = match project {
            Some(project) => project.to_owned(),
            None => self.0.project()?,
        };
        let (vms, _) =
            self.0.client()?.list_all::<Vm>(Some(&project), &api::query::ListQuery::default()).await?;
        Ok(vms)
    }
}

impl Pool for ControllerPool {
    fn vms<'a>(&'a self, project: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Vm>>> {
        async move { self.ask(project).await.map_err(|failure| failure.error.error) }.boxed()
    }
}
