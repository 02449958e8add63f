//! From a service file to the steps of one node.

use super::{
    definition::Definition,
    file::{AnsibleSpec, CopySpec, Does, FileSpec, ForEach, ScriptSpec, StepFile, TextOr, UnitSpec},
    step::{Action, Ansible, Retry, Script, Service, Step},
    text::{Renderer, Text},
};
use crate::resource::{
    Attributes, Checkout, Container, Directory, File, Line, Link, OneOrMany, Package, Presence, Resource,
    Supervised, Tree, Unit, User, mode,
};
use base::{Code, Error, Result};
use bytes::Bytes;
use minijinja::{Value, context, value::Serde};
use regex::Regex;
use secrets::Redactor;
use serde_saphyr::Spanned;
use std::{
    io,
    path::{Component, Path},
};

impl Definition {
    /// The service on a node, and its handlers. `context` is what names mean there.
    ///
    /// # Errors
    /// [`Code::Invalid`] at the place of what is wrong.
    pub fn render(&self, context: &Value, hidden: &Redactor) -> Result<(Service, Vec<Step>)> {
        if let Some(ruby) = &self.ruby {
            let step = Step::new("Ruby", Action::Ruby(ruby.clone()));
            let service = Service { name: self.name.clone(), steps: vec![step], ..Service::default() };
            return Ok((service, Vec::new()));
        }
        let defaults = Value::from(Serde(&self.file.defaults));
        let context = context! { ..context.clone(), ..defaults };
        let steps = |all: &[Spanned<StepFile>]| -> Result<Vec<Step>> {
            let steps = all.iter().map(|step| self.steps(step, None, &context, hidden));
            Ok(steps.collect::<Result<Vec<_>>>()?.concat())
        };
        let mut wanted = steps(&self.file.steps)?;
        wanted.extend(steps(&self.file.deploy)?);
        let handlers = self.file.handlers.0.iter();
        let handlers = handlers.map(|(name, step)| self.steps(step, Some(&name.value), &context, hidden));
        let service = Service {
            name: self.name.clone(),
            check: steps(&self.file.check)?,
            steps: wanted,
            tools: self.file.needs.tools.clone(),
        };
        Ok((service, handlers.collect::<Result<Vec<_>>>()?.concat()))
    }

    fn steps(
        &self,
        step: &Spanned<StepFile>,
        handler: Option<&str>,
        context: &Value,
        hidden: &Redactor,
    ) -> Result<Vec<Step>> {
        let at = step.referenced;
        let renderer = |context| Renderer {
            source: &self.source,
            environment: &self.environment,
            context,
            hidden,
            step: at,
        };
        let file = &step.value;
        let items = match &file.for_each {
            None => return Ok(self.step(file, &renderer(context.clone()), handler)?.into_iter().collect()),
            Some(ForEach::List(list)) => list.iter().map(|v| Value::from(Serde(v))).collect(),
            Some(ForEach::Expression(text)) => {
                let outer = renderer(context.clone());
                let value = outer.value(text)?;
                value
                    .try_iter()
                    .map(Iterator::collect::<Vec<_>>)
                    .map_err(|e| Error::invalid(outer.place(text), "this is not a list").because(e))?
            }
        };
        let steps = items.into_iter().filter_map(|item| {
            self.step(file, &renderer(context! { item, ..context.clone() }), handler).transpose()
        });
        steps.collect()
    }

    /// One step, unless its condition is false.
    fn step(&self, file: &StepFile, renderer: &Renderer<'_>, handler: Option<&str>) -> Result<Option<Step>> {
        let place = self.source.place(renderer.step);
        if let Some(condition) = &file.when
            && !renderer.value(condition)?.is_true()
        {
            return Ok(None);
        }
        let (usual, action) = file
            .does()
            .and_then(|does| action(does, renderer))
            .map_err(|e| if e.field.is_some() { e } else { e.at(place.as_str()) })?;
        let name = match (handler, &file.name) {
            (Some(handler), _) => format!("{}/{handler}", self.name),
            (None, Some(name)) => renderer.text(name)?,
            (None, None) => usual,
        };
        let notify =
            file.notify.0.iter().map(|handler| self.handler(handler, &place)).collect::<Result<_>>()?;
        let retry = file.retry.as_ref().or(self.file.retry.as_ref());
        retry
            .iter()
            .flat_map(|r| r.stdout.iter().chain(&r.stderr))
            .try_for_each(|e| expression(e, &place))?;
        let retry = retry.map_or_else(Retry::default, |r| Retry {
            times: r.times.unwrap_or(1),
            delay: r.delay,
            stdout: r.stdout.clone(),
            stderr: r.stderr.clone(),
        });
        Ok(Some(Step { name, place, action, notify, sensitive: file.sensitive, retry }))
    }

    /// A handler's whole name. Those of other services are notified as `SERVICE/NAME`.
    fn handler(&self, name: &str, place: &str) -> Result<String> {
        if name.contains('/') {
            return Ok(name.to_owned());
        }
        if self.file.handlers.0.iter().any(|(known, _)| known.value == name) {
            return Ok(format!("{}/{name}", self.name));
        }
        Err(Error::invalid(place, format!("this service has no handler '{name}'"))
            .hint("add it to `handlers`, or name one of another service as SERVICE/NAME"))
    }
}

/// Makes sure that this is a regular expression.
fn expression(text: &str, place: &str) -> Result<()> {
    let wrong = |e| Error::invalid(place, format!("'{text}' is not a regular expression")).because(e);
    Regex::new(text).map(drop).map_err(wrong)
}

/// What a step does, and what it is called where it has no name.
fn action(does: Does<'_>, r: &Renderer<'_>) -> Result<(String, Action)> {
    let resource = |name: String, resource: Resource| Ok((name, Action::Resource(resource)));
    match does {
        Does::File(spec) | Does::Template(spec) => {
            let file = file(spec, matches!(does, Does::Template(_)), r)?;
            resource(format!("file {}", file.path), Resource::File(file))
        }
        Does::Directory(spec) => {
            let path = path(&spec.path, r)?;
            if spec.force && spec.state == Presence::Present {
                return Err(Error::invalid(
                    r.place(&spec.path),
                    "`force` is of directories that must not be there",
                )
                .hint("add `state: absent`, or take `force` away"));
            }
            let attributes = attributes(spec.mode.as_ref(), spec.owner.as_ref(), spec.group.as_ref(), r)?;
            let name = format!("directory {path}");
            resource(
                name,
                Resource::Directory(Directory { path, attributes, state: spec.state, force: spec.force }),
            )
        }
        Does::Link(spec) => {
            let (path, target) = (path(&spec.path, r)?, some(spec.target.as_ref(), r)?);
            if target.is_none() && spec.state == Presence::Present {
                return Err(Error::new(Code::Invalid, "a link needs a target"));
            }
            resource(format!("link {path}"), Resource::Link(Link { path, target, state: spec.state }))
        }
        Does::Line(spec) => {
            let line = line(spec, r)?;
            resource(format!("line in {}", line.path), Resource::Line(line))
        }
        Does::Package(TextOr::Text(name)) => {
            let name = r.argument(name)?;
            let title = format!("package {name}");
            let name = OneOrMany(vec![name]);
            resource(
                title,
                Resource::Package(Package { name, version: None, state: Presence::Present, update: false }),
            )
        }
        Does::Package(TextOr::Fields(spec)) => {
            let name = many(&spec.name, r)?;
            let version = some(spec.version.as_ref(), r)?;
            if version.is_some() && name.0.len() != 1 {
                return Err(Error::new(Code::Invalid, "a version is of one package")
                    .hint("give each package with a version a step of its own"));
            }
            let title = format!("package {}", name.0.join(", "));
            resource(
                title,
                Resource::Package(Package { name, version, state: spec.state, update: spec.update }),
            )
        }
        Does::Service(spec) => {
            let name = r.argument(&spec.name)?;
            let service = Supervised { name, state: spec.state, enabled: spec.enabled };
            resource(format!("service {}", service.name), Resource::Service(service))
        }
        Does::Unit(spec) => {
            let unit = unit(spec, r)?;
            resource(format!("unit {}", unit.service.name), Resource::Unit(unit))
        }
        Does::User(spec) => {
            let user = user(spec, r)?;
            resource(format!("user {}", user.name), Resource::User(user))
        }
        Does::Git(spec) => {
            let checkout = Checkout {
                repository: r.text(&spec.repository)?,
                path: path(&spec.path, r)?,
                revision: some(spec.revision.as_ref(), r)?,
                force: spec.force,
            };
            resource(format!("git {}", checkout.path), Resource::Checkout(checkout))
        }
        Does::Container(spec) => {
            let container = container(spec, r)?;
            resource(format!("container {}", container.name), Resource::Container(container))
        }
        Does::Copy(spec) => {
            let (path, tree) = copy(spec, r)?;
            resource(format!("copy {path}"), Resource::Tree(tree))
        }
        Does::Remote(spec) => Ok(("script".into(), Action::Script(script(spec, r)?))),
        Does::Local(spec) => Ok(("local script".into(), Action::Local(script(spec, r)?))),
        Does::Restart(service) | Does::Reload(service) => {
            let verb = if matches!(does, Does::Restart(_)) { "restart" } else { "reload" };
            let service = r.argument(service)?;
            Ok((format!("{verb} {service}"), Action::Supervise { verb, service }))
        }
        Does::Ansible(spec) => ansible(spec, r).map(|(name, ansible)| (name, Action::Ansible(ansible))),
    }
}

fn some(text: Option<&Text>, r: &Renderer<'_>) -> Result<Option<String>> {
    text.map(|t| r.argument(t)).transpose()
}

fn many(list: &OneOrMany<Text>, r: &Renderer<'_>) -> Result<OneOrMany<String>> {
    Ok(OneOrMany(list.0.iter().map(|t| r.argument(t)).collect::<Result<_>>()?))
}

/// A path of the node: absolute or from `~/`, with nothing in it that a line could not hold.
fn path(text: &Text, r: &Renderer<'_>) -> Result<String> {
    let path = r.argument(text)?;
    let whole = path.starts_with('/') || path.starts_with("~/");
    let plain = !path.chars().any(char::is_control) && !path.split('/').any(|p| p == "..");
    if !whole || !plain {
        return Err(Error::invalid(r.place(text), format!("'{path}' is not a path on a node"))
            .hint("begin it with / or ~/, and leave out '..'"));
    }
    Ok(match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    })
}

fn attributes(
    mode_text: Option<&Text>,
    owner: Option<&Text>,
    group: Option<&Text>,
    r: &Renderer<'_>,
) -> Result<Attributes> {
    let mode =
        mode_text.map(|t| r.text(t).and_then(|m| mode(&m).map_err(|e| e.at(r.place(t))))).transpose()?;
    Ok(Attributes { mode, owner: some(owner, r)?, group: some(group, r)? })
}

/// A file of the service's directory. Nothing outside of it may be named.
fn inside(text: &Text, r: &Renderer<'_>) -> Result<std::path::PathBuf> {
    let name = r.text(text)?;
    let within = Path::new(&name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !within {
        return Err(Error::invalid(
            r.place(text),
            format!("'{name}' is not inside the directory of the service"),
        ));
    }
    Ok(r.source.dir().join(name))
}

fn read(path: &Path, at: &Text, r: &Renderer<'_>) -> Result<Bytes> {
    let bytes = std::fs::metadata(path).and_then(|metadata| {
        // Nobody may ever write into a pipe.
        let refused =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file", path.display()));
        if metadata.is_file() { std::fs::read(path) } else { Err(refused()) }
    });
    bytes.map(Bytes::from).map_err(|e| unread(path, at, &e, r))
}

/// Why something of the service's directory cannot be had.
fn unread(path: &Path, at: &Text, error: &io::Error, r: &Renderer<'_>) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::invalid(r.place(at), error.to_string()),
        _ => Error::io(format_args!("read {}", path.display()), error).at(r.place(at)),
    }
}

fn content(
    content: Option<&Text>,
    src: Option<&Text>,
    template: bool,
    r: &Renderer<'_>,
) -> Result<Option<Bytes>> {
    match (content, src) {
        (Some(_), Some(src)) => Err(Error::invalid(r.place(src), "content and src exclude each other")),
        (Some(content), None) if template => {
            Err(Error::invalid(r.place(content), "a template has a src").hint("a file can have a content"))
        }
        (Some(content), None) => Ok(Some(r.text(content)?.into())),
        (None, Some(src)) if template => {
            inside(src, r)?;
            Ok(Some(r.template(&r.text(src)?, src)?.into()))
        }
        (None, Some(src)) => Ok(Some(read(&inside(src, r)?, src, r)?)),
        (None, None) => Ok(None),
    }
}

fn file(spec: &FileSpec, template: bool, r: &Renderer<'_>) -> Result<File> {
    let content = content(spec.content.as_ref(), spec.src.as_ref(), template, r)?;
    if template && content.is_none() {
        return Err(Error::new(Code::Invalid, "a template needs a src"));
    }
    let attributes = attributes(spec.mode.as_ref(), spec.owner.as_ref(), spec.group.as_ref(), r)?;
    let mut file = File::new(path(&spec.path, r)?, content, attributes);
    file.state = spec.state;
    file.validate = some(spec.validate.as_ref(), r)?.map(|command| command.replace("%s", "\"$1\""));
    Ok(file)
}

fn line(spec: &Line<Text>, r: &Renderer<'_>) -> Result<Line<String>> {
    let one = |text: &Text| {
        let line = r.text(text)?;
        let line = line.strip_suffix('\n').unwrap_or(&line).to_owned();
        if line.contains('\n') {
            return Err(Error::invalid(r.place(text), "this is more than one line"));
        }
        Ok(line)
    };
    let line = spec.line.as_ref().map(one).transpose()?;
    let matching = spec.matching.as_ref().map(|t| r.text(t)).transpose()?;
    for (text, at) in matching.iter().zip(&spec.matching) {
        expression(text, &r.place(at))?;
    }
    if line.is_none() && (spec.state == Presence::Present || matching.is_none()) {
        return Err(Error::new(Code::Invalid, "this step does not say which line it means"));
    }
    Ok(Line { path: path(&spec.path, r)?, line, matching, state: spec.state })
}

fn unit(spec: &UnitSpec, r: &Renderer<'_>) -> Result<Unit> {
    let name = r.argument(&spec.name)?;
    if name.contains('/') || !name.contains('.') {
        return Err(Error::invalid(r.place(&spec.name), format!("'{name}' is not the name of a unit"))
            .hint("write it with its kind, for example web.service"));
    }
    let text = content(spec.content.as_ref(), spec.src.as_ref(), spec.src.is_some(), r)?;
    let text = text.ok_or_else(|| Error::new(Code::Invalid, "a unit needs content or src"))?;
    let file = File::new(format!("/etc/systemd/system/{name}"), Some(text), Attributes::default());
    Ok(Unit { file, service: Supervised { name, state: spec.state, enabled: spec.enabled } })
}

fn user(spec: &TextOr<User<Text>>, r: &Renderer<'_>) -> Result<User<String>> {
    let spec = match spec {
        TextOr::Fields(spec) => spec,
        TextOr::Text(name) => {
            let (name, state) = (r.text(name)?, Presence::Present);
            return Ok(User {
                name,
                state,
                uid: None,
                group: None,
                groups: None,
                comment: None,
                home: None,
                shell: None,
                system: false,
            });
        }
    };
    Ok(User {
        name: r.argument(&spec.name)?,
        state: spec.state,
        uid: some(spec.uid.as_ref(), r)?,
        group: some(spec.group.as_ref(), r)?,
        groups: spec.groups.as_ref().map(|g| many(g, r)).transpose()?,
        comment: some(spec.comment.as_ref(), r)?,
        home: some(spec.home.as_ref(), r)?,
        shell: some(spec.shell.as_ref(), r)?,
        system: spec.system,
    })
}

fn container(spec: &Container<Text>, r: &Renderer<'_>) -> Result<Container<String>> {
    let env = spec.env.iter().map(|(name, value)| {
        let plain = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if plain && !name.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok((name.clone(), r.text(value)?));
        }
        Err(Error::invalid(r.place(value), format!("'{name}' is not the name of a variable")))
    });
    Ok(Container {
        name: r.argument(&spec.name)?,
        image: some(spec.image.as_ref(), r)?,
        state: spec.state,
        command: many(&spec.command, r)?,
        ports: many(&spec.ports, r)?,
        volumes: many(&spec.volumes, r)?,
        env: env.collect::<Result<_>>()?,
        network: some(spec.network.as_ref(), r)?,
        restart: some(spec.restart.as_ref(), r)?,
    })
}

/// A directory of the service as resources, each before what is in it.
fn copy(spec: &CopySpec, r: &Renderer<'_>) -> Result<(String, Tree)> {
    let (from, to) = (inside(&spec.src, r)?, path(&spec.path, r)?);
    let owners = attributes(None, spec.owner.as_ref(), spec.group.as_ref(), r)?;
    let mut all = Vec::new();
    let walked = walk(&from, &to, &owners, &mut all);
    walked.map_err(|e| unread(&from, &spec.src, &e, r))?;
    Ok((to, Tree(all)))
}

fn walk(from: &Path, to: &str, owners: &Attributes, all: &mut Vec<Resource>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let refused =
        |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} {why}", from.display())));
    let metadata = std::fs::symlink_metadata(from)?;
    let path = to.to_owned();
    if metadata.is_symlink() {
        let target = std::fs::read_link(from)?;
        let Some(target) = target.to_str().map(str::to_owned) else {
            return refused("leads to a name that is not text");
        };
        all.push(Resource::Link(Link { path, target: Some(target), state: Presence::Present }));
        return Ok(());
    }
    let attributes = Attributes { mode: Some(metadata.permissions().mode() & 0o777), ..owners.clone() };
    if metadata.is_file() {
        all.push(Resource::File(File::new(path, Some(std::fs::read(from)?.into()), attributes)));
        return Ok(());
    }
    if !metadata.is_dir() {
        return refused("is a special file");
    }
    all.push(Resource::Directory(Directory { path, attributes, state: Presence::Present, force: false }));
    let mut names =
        std::fs::read_dir(from)?.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let Some(text) = name.to_str().filter(|text| !text.contains(char::is_control)) else {
            let shown = name.to_string_lossy();
            return refused(&format!("has '{}' in it, which is no name for a copy", shown.escape_debug()));
        };
        walk(&from.join(&name), &format!("{to}/{text}"), owners, all)?;
    }
    Ok(())
}

fn script(spec: &TextOr<ScriptSpec>, r: &Renderer<'_>) -> Result<Script> {
    let directory = Some(r.source.dir().to_owned());
    let spec = match spec {
        TextOr::Text(text) => return Ok(Script { script: r.text(text)?, directory, ..Script::default() }),
        TextOr::Fields(spec) => spec,
    };
    let lines = spec.commands.iter().map(|c| r.text(c)).collect::<Result<Vec<_>>>()?;
    let script = match (&spec.script, lines.is_empty(), &spec.file) {
        (Some(text), true, None) => r.text(text)?,
        (None, false, None) => lines.join("\n"),
        (None, true, Some(file)) => String::from_utf8_lossy(&read(&inside(file, r)?, file, r)?).into_owned(),
        _ => {
            return Err(Error::new(Code::Invalid, "a script has exactly one of script, commands and file"));
        }
    };
    let env = spec.env.iter().map(|(k, v)| Ok((k.clone(), r.text(v)?)));
    Ok(Script {
        script,
        check: spec.check.as_ref().map(|t| r.text(t)).transpose()?,
        env: env.collect::<Result<_>>()?,
        creates: spec.creates.as_ref().map(|p| path(p, r)).transpose()?,
        interpreter: some(spec.interpreter.as_ref(), r)?,
        timeout: spec.timeout,
        directory,
    })
}

fn ansible(spec: &AnsibleSpec, r: &Renderer<'_>) -> Result<(String, Ansible)> {
    let (playbook, role) = (some(spec.playbook.as_ref(), r)?, some(spec.role.as_ref(), r)?);
    let name = match (&playbook, &role) {
        (Some(playbook), None) => format!("ansible playbook {playbook}"),
        (None, Some(role)) => format!("ansible role {role}"),
        _ => return Err(Error::new(Code::Invalid, "ansible needs either a playbook or a role")),
    };
    let vars = spec.vars.iter().map(|(k, v)| Ok((k.clone(), rendered(v, r)?)));
    Ok((
        name,
        Ansible {
            directory: r.source.dir().to_owned(),
            playbook,
            role,
            vars: vars.collect::<Result<_>>()?,
            tags: many(&spec.tags, r)?.0,
            read: String::new(),
        },
    ))
}

/// All texts of a value, rendered.
fn rendered(value: &serde_json::Value, r: &Renderer<'_>) -> Result<serde_json::Value> {
    use serde_json::Value as V;
    Ok(match value {
        V::String(text) => V::String(r.text(&Text::new(text.clone(), r.step))?),
        V::Array(list) => V::Array(list.iter().map(|v| rendered(v, r)).collect::<Result<_>>()?),
        V::Object(map) => {
            let entries = map.iter().map(|(k, v)| Ok((k.clone(), rendered(v, r)?)));
            V::Object(entries.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}
