//! `service.yaml`, as it is written.

use super::text::Text;
use crate::resource::{
    Checkout, Container, Line, Link, OneOrMany, Package, Power, Presence, Supervised, User,
};
use base::{Error, Result};
use inventory::{Metadata, document::Entries};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::Spanned;
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceFile {
    /// What it is, for people.
    pub description: Option<String>,
    /// What has to be there before it.
    pub needs: Needs,
    /// What names in templates mean where the node's metadata does not say it.
    pub defaults: Metadata,
    /// What should be on its nodes: compared by a check, made so by a deployment.
    pub steps: Vec<Spanned<StepFile>>,
    /// What a check runs, where comparing `steps` does not tell enough.
    pub check: Vec<Spanned<StepFile>>,
    /// Another name for `steps`, for services that have a `check` of their own.
    pub deploy: Vec<Spanned<StepFile>>,
    /// What runs once at the end, where a step that changed something notifies it.
    pub handlers: Entries<Spanned<StepFile>>,
    /// When a failed step of it is tried again.
    pub retry: Option<Retry>,
}

/// What has to be there before a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// Services that come before it on the same node, where the node has them.
    pub services: Vec<String>,
    /// Services whose nodes are deployed before the nodes of this one.
    pub nodes_with: Vec<String>,
    /// Tools that must be on the node.
    pub tools: Vec<String>,
}

/// When a failed step is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often; 0 is never.
    pub times: Option<u32>,
    /// How long to wait before, in seconds.
    pub delay: u32,
    /// Regular expressions: one of them matches its standard output.
    pub stdout: Vec<String>,
    /// Regular expressions: one of them matches its standard error.
    pub stderr: Vec<String>,
}

/// A step: exactly one thing to do, and when.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepFile {
    /// What it is called; without a name, it is called by what it does.
    pub name: Option<Text>,
    /// An expression; the step is left out where it is false.
    pub when: Option<Text>,
    /// A list, or an expression that gives one: the step is there once for each, which is called `item`.
    pub for_each: Option<ForEach>,
    /// Handlers that run at the end, if it changes something.
    pub notify: OneOrMany<String>,
    /// Whether nobody may see what changes.
    pub sensitive: bool,
    /// When it is tried again after a failure.
    pub retry: Option<Retry>,

    /// A file with this content.
    pub file: Option<FileSpec>,
    /// A file rendered from a template of the service's directory.
    pub template: Option<FileSpec>,
    /// A directory.
    pub directory: Option<DirectorySpec>,
    /// A symbolic link.
    pub link: Option<Link<Text>>,
    /// A line in a file that something else owns.
    pub line_in_file: Option<Line<Text>>,
    /// Packages of the system.
    pub package: Option<TextOr<Package<Text>>>,
    /// What the supervisor keeps running.
    pub service: Option<Supervised<Text>>,
    /// A unit of systemd, with its file.
    pub systemd_unit: Option<UnitSpec>,
    /// An account.
    pub user: Option<TextOr<User<Text>>>,
    /// A working tree.
    pub git: Option<Checkout<Text>>,
    /// A container.
    pub container: Option<Container<Text>>,
    /// A directory of the service, copied to the node.
    pub copy: Option<CopySpec>,
    /// A script on the node.
    pub remote_bash: Option<TextOr<ScriptSpec>>,
    /// A script on the operator's machine.
    pub bash: Option<TextOr<ScriptSpec>>,
    /// A service that is started anew, as a handler.
    pub restart: Option<Text>,
    /// A service that reads its configuration again, as a handler.
    pub reload: Option<Text>,
    /// A playbook or a role of Ansible, run on the operator's machine against the node.
    pub ansible: Option<AnsibleSpec>,
}

/// `for_each`.
#[derive(Clone, Debug)]
pub enum ForEach {
    /// The values themselves.
    List(Vec<serde_json::Value>),
    /// An expression that gives them.
    Expression(Text),
}

impl<'de> Deserialize<'de> for ForEach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let spanned = Spanned::<serde_json::Value>::deserialize(deserializer)?;
        match spanned.value {
            serde_json::Value::Array(list) => Ok(ForEach::List(list)),
            serde_json::Value::String(text) => Ok(ForEach::Expression(Text::new(text, spanned.referenced))),
            _ => Err(D::Error::custom("for_each is a list or an expression")),
        }
    }
}

/// `file` and `template`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Where on the node, absolute or from `~/`.
    pub path: Text,
    /// What is in it. For `template` only `src` is possible.
    #[serde(default)]
    pub content: Option<Text>,
    /// The file of the service's directory whose content it gets.
    #[serde(default)]
    pub src: Option<Text>,
    /// Permissions in octal digits; 0644 for a new file.
    #[serde(default)]
    pub mode: Option<Text>,
    /// The user who owns it.
    #[serde(default)]
    pub owner: Option<Text>,
    /// Its group.
    #[serde(default)]
    pub group: Option<Text>,
    /// Whether it must be there.
    #[serde(default)]
    pub state: Presence,
    /// A command that must be content with the new file, `%s`, before it takes its place.
    #[serde(default)]
    pub validate: Option<Text>,
}

/// `directory`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySpec {
    /// Where on the node, absolute or from `~/`.
    pub path: Text,
    /// Permissions in octal digits; 0755 for a new one.
    #[serde(default)]
    pub mode: Option<Text>,
    /// The user who owns it.
    #[serde(default)]
    pub owner: Option<Text>,
    /// Its group.
    #[serde(default)]
    pub group: Option<Text>,
    /// Whether it must be there.
    #[serde(default)]
    pub state: Presence,
    /// With `state: absent`, whether it may go with all that is in it.
    #[serde(default)]
    pub force: bool,
}

/// `systemd_unit`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSpec {
    /// Its name with its kind: `web.service`.
    pub name: Text,
    /// What is in its file.
    #[serde(default)]
    pub content: Option<Text>,
    /// The template of the service's directory that its file is rendered from.
    #[serde(default)]
    pub src: Option<Text>,
    /// Whether it runs; not said leaves that alone.
    #[serde(default)]
    pub state: Option<Power>,
    /// Whether it starts with the machine; not said leaves that alone.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// `copy`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopySpec {
    /// A file or directory of the service's directory.
    pub src: Text,
    /// Where its copy is on the node. What else is there is left alone.
    pub path: Text,
    /// The user who owns the copies.
    #[serde(default)]
    pub owner: Option<Text>,
    /// Their group.
    #[serde(default)]
    pub group: Option<Text>,
}

/// `remote_bash` and `bash`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptSpec {
    /// The script.
    pub script: Option<Text>,
    /// Its lines, one by one.
    pub commands: Vec<Text>,
    /// A file of the service's directory with the script, which is not a template.
    pub file: Option<Text>,
    /// What a check runs instead; without it a check does not run anything.
    pub check: Option<Text>,
    /// Variables.
    pub env: BTreeMap<String, Text>,
    /// A path on the node. Where it is there, the script has nothing to do.
    pub creates: Option<Text>,
    /// The program that takes the script; bash where there is one, else sh.
    pub interpreter: Option<Text>,
    /// How long it may run, in seconds.
    pub timeout: Option<u32>,
}

/// `ansible`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnsibleSpec {
    /// The playbook, in the service's directory. Its `hosts` must match the node's name.
    pub playbook: Option<Text>,
    /// A role, by its name or its path in the service's directory.
    pub role: Option<Text>,
    /// Variables that win over all others.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Only the tasks with these tags.
    pub tags: OneOrMany<Text>,
}

/// A text that stands for the one field that is needed, or all fields.
#[derive(Clone, Debug)]
pub enum TextOr<T> {
    /// The text.
    Text(Text),
    /// The fields.
    Fields(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Either<T>>::deserialize(deserializer)?;
        Ok(match spanned.value {
            Either::Text(text) => TextOr::Text(Text::new(text, spanned.referenced)),
            Either::Fields(fields) => TextOr::Fields(fields),
        })
    }
}

enum Either<T> {
    Text(String),
    Fields(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherVisitor(PhantomData))
    }
}

struct EitherVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EitherVisitor<T> {
    type Value = Either<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a map of fields")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either<T>, E> {
        Ok(Either::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Either<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Either::Fields)
    }
}

/// The one thing that a step does.
#[derive(Clone, Copy, Debug)]
pub enum Does<'a> {
    /// `file`.
    File(&'a FileSpec),
    /// `template`.
    Template(&'a FileSpec),
    /// `directory`.
    Directory(&'a DirectorySpec),
    /// `link`.
    Link(&'a Link<Text>),
    /// `line_in_file`.
    Line(&'a Line<Text>),
    /// `package`.
    Package(&'a TextOr<Package<Text>>),
    /// `service`.
    Service(&'a Supervised<Text>),
    /// `systemd_unit`.
    Unit(&'a UnitSpec),
    /// `user`.
    User(&'a TextOr<User<Text>>),
    /// `git`.
    Git(&'a Checkout<Text>),
    /// `container`.
    Container(&'a Container<Text>),
    /// `copy`.
    Copy(&'a CopySpec),
    /// `remote_bash`.
    Remote(&'a TextOr<ScriptSpec>),
    /// `bash`.
    Local(&'a TextOr<ScriptSpec>),
    /// `restart`.
    Restart(&'a Text),
    /// `reload`.
    Reload(&'a Text),
    /// `ansible`.
    Ansible(&'a AnsibleSpec),
}

impl StepFile {
    /// What it does.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] where it does nothing, or several things.
    pub fn does(&self) -> Result<Does<'_>> {
        let all = [
            self.file.as_ref().map(Does::File),
            self.template.as_ref().map(Does::Template),
            self.directory.as_ref().map(Does::Directory),
            self.link.as_ref().map(Does::Link),
            self.line_in_file.as_ref().map(Does::Line),
            self.package.as_ref().map(Does::Package),
            self.service.as_ref().map(Does::Service),
            self.systemd_unit.as_ref().map(Does::Unit),
            self.user.as_ref().map(Does::User),
            self.git.as_ref().map(Does::Git),
            self.container.as_ref().map(Does::Container),
            self.copy.as_ref().map(Does::Copy),
            self.remote_bash.as_ref().map(Does::Remote),
            self.bash.as_ref().map(Does::Local),
            self.restart.as_ref().map(Does::Restart),
            self.reload.as_ref().map(Does::Reload),
            self.ansible.as_ref().map(Does::Ansible),
        ];
        let mut all = all.into_iter().flatten();
        let wrong = |message: &str| {
            Err(Error::new(base::Code::Invalid, message)
                .hint("give each thing that is done a step of its own"))
        };
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => wrong("this step does nothing"),
            (Some(_), Some(_)) => wrong("this step does several things"),
        }
    }
}
