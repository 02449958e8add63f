//! Cluster settings.

use crate::{caller::Caller, controller::Controller};
use api::{Patch, Settings, settings::SETTINGS_NAME};
use base::Result;

impl Controller {
    /// The settings.
    pub fn get_settings(&self) -> Result<Settings> {
        self.get::<Settings>(None, SETTINGS_NAME)
    }

    /// Changes the settings.
    pub async fn patch_settings(&self, caller: &Caller, patch: &Patch) -> Result<Settings> {
        self.patch_simple(caller, None, SETTINGS_NAME, patch, |_, _: &mut Settings| Ok(())).await
    }
}
