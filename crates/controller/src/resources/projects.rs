//! Projects.

use super::generic::Page;
use super::generic::PageQuery;
use crate::{
    caller::{Caller, Sees},
    controller::Controller,
};
use api::{Empty, NewObject, Project, ProjectSpec, access::DEFAULT_PROJECT};
use base::{Error, Result};

impl Controller {
    /// One project, where the caller has a part in it.
    pub fn get_project(&self, sees: &Sees, name: &str) -> Result<Project> {
        let project = self.get::<Project>(None, name)?;
        if sees.includes(Some(&project.metadata.name)) {
            Ok(project)
        } else {
            Err(super::generic::missing::<Project>(name))
        }
    }

    /// The caller's projects.
    pub fn list_projects(&self, sees: &Sees, query: &PageQuery) -> Page<Project> {
        self.list::<Project>(None, sees, query)
    }

    /// Makes a project.
    pub async fn create_project(&self, caller: &Caller, new: NewObject<ProjectSpec>) -> Result<Project> {
        self.create_simple(caller, None, new, Empty {}).await
    }

    /// Removes a project that owns nothing.
    pub async fn delete_project(&self, caller: &Caller, name: &str) -> Result<()> {
        if name == DEFAULT_PROJECT {
            return Err(Error::conflict("the project 'default' always exists"));
        }
        self.delete_simple::<Project>(caller, None, name, |project, _| {
            let name = &project.metadata.name;
            let prefix = format!("/vms/{name}/");
            let (vms, bindings, others) = self.read(|t| {
                let bindings = t.bindings.iter().filter(|b| b.spec.project.as_ref() == Some(name)).count();
                let fleets = t.fleets.iter().filter(|f| f.metadata.project.as_ref() == Some(name)).count();
                let credentials =
                    t.credentials.iter().filter(|c| c.metadata.project.as_ref() == Some(name)).count();
                (t.vms.range(&prefix, None).count(), bindings, fleets + credentials)
            });
            if vms + bindings + others == 0 {
                return Ok(());
            }
            Err(Error::conflict(format!(
                "the project '{name}' owns {vms} VMs, {bindings} role bindings, and {others} fleets and credentials"
            ))
                .hint("delete them first"))
        })
        .await
    }
}
