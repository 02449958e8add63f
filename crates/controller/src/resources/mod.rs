//! The resources: what each request does.

mod accounts;
mod audit;
mod backups;
mod fleets;
mod generic;
mod images;
mod join;
mod projects;
mod settings;
mod vms;
mod workers;

pub use accounts::new_token;
pub use audit::RecordPage;
pub(crate) use backups::{end as end_operation, run as carry_out};
pub(crate) use fleets::operation as fleet_operation;
pub use generic::{Page, PageQuery};
pub use images::Upload;
pub use vms::Made;

use crate::{change::Writer, kind, view::View};
use api::{
    Empty, Metadata, Object, Project, ProjectSpec, Settings, SettingsSpec, access::DEFAULT_PROJECT,
    meta::Labels, settings::SETTINGS_NAME,
};
use base::{Error, Name, Result};
use store::CommitError;

/// The metadata of a new object.
pub(crate) fn new_metadata(name: Name, project: Option<Name>, labels: Labels) -> Metadata {
    Metadata {
        uid: rt::ids::uid(),
        name,
        project,
        labels,
        created_at: rt::clock::wall(),
        deleted_at: None,
        generation: 1,
        revision: base::Revision::default(),
    }
}

/// Makes what exists from the start: the default project and the settings.
pub(crate) async fn first_objects(writer: &Writer, view: &View) -> Result<()> {
    let known = |n: &str| Name::new(n).map_err(|e| Error::internal(e.to_string()));
    if view.get::<Project>(&kind::key::<Project>(None, DEFAULT_PROJECT)).is_none() {
        let metadata = new_metadata(known(DEFAULT_PROJECT)?, None, Labels::new());
        let spec = ProjectSpec { description: "The project that nobody needs to name".into() };
        create(writer, &Object { metadata, spec, status: Empty {} }).await?;
    }
    if view.get::<Settings>(&kind::key::<Settings>(None, SETTINGS_NAME)).is_none() {
        let metadata = new_metadata(known(SETTINGS_NAME)?, None, Labels::new());
        create(writer, &Object { metadata, spec: SettingsSpec::default(), status: Empty {} }).await?;
    }
    Ok(())
}

async fn create<K: kind::Kind>(writer: &Writer, object: &K) -> Result<()> {
    let mut change = writer.change();
    change.create(object, None)?;
    change.commit().await.map(|_| ()).map_err(CommitError::into)
}
