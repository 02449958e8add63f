//! `hostler vm update`.

use super::flags::SpecFlags;
use crate::{
    Failure, Result,
    app::App,
    complete,
    nouns::{merge, objects::changed},
    parse::{self, InProject},
};
use api::{Patch, Vm};
use base::Error;
use clap::Args;

/// Change a VM. Sizes, guest and script change with its next start; what is not named stays as it is.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  hostler vm update web --cpus 4 && hostler vm restart web --wait\n  \
                        hostler vm update web --label tier=front --label old- --unset ttlSeconds")]
pub struct Update {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// A label to set (KEY=VALUE) or to remove (KEY-); repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE|KEY-")]
    pub labels: Vec<String>,
    /// A field of the spec to take back to its default, for example ttlSeconds or guest.user
    #[arg(long, value_name = "FIELD")]
    pub unset: Vec<String>,
    /// What to change.
    #[command(flatten)]
    pub spec: SpecFlags,
}

impl Update {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let patch = self.patch()?;
        let vm: Vm = app.client()?.patch(&key, &patch).await?;
        changed(app, &vm, "changed")
    }

    fn patch(&self) -> Result<Patch> {
        let mut spec = self.spec.patch()?;
        for field in &self.unset {
            let pointer = format!("/{}", field.replace('.', "/"));
            if spec.pointer(&pointer).is_some() {
                return Err(Failure::usage("--unset", format!("'{field}' is also set by another flag")));
            }
            set_null(&mut spec, field);
        }
        let nothing = spec.as_object().is_none_or(serde_json::Map::is_empty);
        if nothing && self.labels.is_empty() {
            return Err(Error::invalid("vm update", "nothing is to be changed")
                .hint("name what: see `hostler vm update --help`")
                .into());
        }
        let labels = if self.labels.is_empty() { None } else { Some(merge::labels(&self.labels)?) };
        Ok(Patch { labels, spec: (!nothing).then_some(spec) })
    }
}

fn set_null(spec: &mut serde_json::Value, field: &str) {
    let mut at = spec;
    for part in field.split('.') {
        if !at.is_object() {
            *at = serde_json::json!({});
        }
        at = &mut at[part];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_named_is_changed() {
        let name = parse::in_project("web").unwrap();
        let spec = SpecFlags { cpus: Some(2), ..SpecFlags::default() };
        let update = |labels: &[&str], unset: &[&str], spec: &SpecFlags| {
            let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            Update { name: name.clone(), labels: own(labels), unset: own(unset), spec: spec.clone() }.patch()
        };
        let patch = update(&["a=b", "c-"], &["ttlSeconds", "guest.user"], &spec).unwrap();
        assert_eq!(patch.labels, Some(json!({"a": "b", "c": null})));
        assert_eq!(patch.spec, Some(json!({"cpus": 2, "ttlSeconds": null, "guest": {"user": null}})));
        assert!(update(&[], &[], &SpecFlags::default()).is_err());
        assert!(update(&[], &["cpus"], &spec).is_err());
    }
}
