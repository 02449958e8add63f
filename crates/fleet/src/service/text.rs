//! Texts of a service file: templates with a place.

use crate::resource::FromText;
use base::{Code, Error, Result};
use inventory::document;
use minijinja::{
    Environment, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, ValueKind},
};
use secrets::Redactor;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

/// A text of a service file, before its template is rendered. Numbers and truth values are taken as they are written.
#[derive(Clone, Debug)]
pub struct Text {
    template: String,
    at: Location,
}

impl Text {
    /// A text at a place.
    pub fn new(template: String, at: Location) -> Self {
        Text { template, at }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Text { template: spanned.value, at: spanned.referenced })
    }
}

impl FromText for Text {
    fn from_text(text: String, at: Location) -> Self {
        Text::new(text, at)
    }
}

/// A file that texts come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// The directory that other files of the service are in.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// A place in it, as errors name it.
    pub fn place(&self, at: Location) -> String {
        document::place(&self.path, at)
    }

    /// Whether the text at a place is a block (`|` or `>`), which begins on the next line.
    fn is_block(&self, at: Location) -> bool {
        let line = usize::try_from(at.line()).ok().and_then(|n| self.text.lines().nth(n.checked_sub(1)?));
        let column = usize::try_from(at.column()).unwrap_or(1).saturating_sub(1);
        line.is_some_and(|l| matches!(l.chars().nth(column), Some('|' | '>')))
    }
}

/// The templates of one service: Jinja as Ansible reads it, but nothing undefined is ever empty text.
///
/// Templates may include others of the service's directory.
pub fn environment(dir: &Path) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Without it an error does not tell which name is undefined; by default only debug builds have it.
    environment.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("quote", |text: &str| ssh::quote(text));
    environment.add_filter("tojson", |value: &Value, indent: Option<Value>, more: Kwargs| {
        complete(value)?;
        minijinja::filters::tojson(value, indent, more)
    });
    environment.set_formatter(|out, state, value| {
        if matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
            complete(value)?;
        }
        minijinja::escape_formatter(out, state, value)
    });
    let dir = dir.to_owned();
    environment.set_loader(move |name| {
        let inside = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
        match std::fs::read_to_string(dir.join(name)) {
            Ok(text) if inside => Ok(Some(text)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, e.to_string())),
        }
    });
    environment
}

/// Lists and maps may hold what is undefined; whatever writes a whole one would write it too.
fn complete(value: &Value) -> Result<(), minijinja::Error> {
    if lacks(value) {
        let what = "something that is written here is undefined";
        return Err(minijinja::Error::new(minijinja::ErrorKind::UndefinedError, what));
    }
    Ok(())
}

fn lacks(value: &Value) -> bool {
    let mut items = value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Undefined => true,
        ValueKind::Seq => items.any(|item| lacks(&item)),
        ValueKind::Map => items.any(|key| value.get_item(&key).is_ok_and(|item| lacks(&item))),
        _ => false,
    }
}

/// Renders the texts of one service for one node.
#[derive(Clone, Debug)]
pub struct Renderer<'a> {
    /// The file that they come from.
    pub source: &'a Source,
    /// The templates of the service.
    pub environment: &'a Environment<'static>,
    /// What names mean.
    pub context: Value,
    /// What nobody may see.
    pub hidden: &'a Redactor,
    /// Where errors are that have no better place.
    pub step: Location,
}

impl Renderer<'_> {
    /// The text itself.
    ///
    /// # Errors
    /// [`Code::Invalid`] at the line of the template.
    pub fn text(&self, text: &Text) -> Result<String> {
        if !["{{", "{%", "{#"].iter().any(|sign| text.template.contains(sign)) {
            return Ok(text.template.clone());
        }
        let rendered = self.environment.render_str(&text.template, &self.context);
        rendered.map_err(|e| complaint(&e, self.line(text, &e)))
    }

    /// A text that becomes an argument of a program, which every process beside it sees.
    ///
    /// # Errors
    /// [`Code::Invalid`] where a secret is in it.
    pub fn argument(&self, text: &Text) -> Result<String> {
        let rendered = self.text(text)?;
        let named = ["secrets", "item"].iter().any(|name| text.template.contains(name));
        if named && matches!(self.hidden.text(&rendered), Cow::Owned(_)) {
            let message = "a secret would be an argument of a program here, which every process sees";
            return Err(Error::invalid(self.place(text), message)
                .hint("put it into a file that the program reads, or into a variable of its environment"));
        }
        Ok(rendered)
    }

    /// The value of an expression, with or without the braces of a template.
    ///
    /// # Errors
    /// [`Code::Invalid`] where it is none, and where it is undefined as a whole.
    pub fn value(&self, text: &Text) -> Result<Value> {
        let bare = text.template.trim();
        let bare = bare.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).unwrap_or(bare);
        let value = self.environment.compile_expression(bare).and_then(|e| e.eval(&self.context));
        let value = value.and_then(|value| {
            if value.is_undefined() {
                // Whoever writes it hears which name is undefined.
                self.environment.render_str(&format!("{{{{ {bare} }}}}"), &self.context)?;
            }
            Ok(value)
        });
        value.map_err(|e| complaint(&e, self.place(text)))
    }

    /// A template of the service's directory. `at` is the text that names it.
    pub fn template(&self, name: &str, at: &Text) -> Result<String> {
        let template = self.environment.get_template(name);
        template.and_then(|t| t.render(&self.context)).map_err(|e| {
            let missing = e.kind() == minijinja::ErrorKind::TemplateNotFound && e.line().is_none();
            if missing {
                let path = self.source.dir().join(name);
                return Error::not_found(format!("there is no template {}", path.display()))
                    .at(self.place(at));
            }
            let file = self.source.dir().join(e.name().unwrap_or(name));
            let line = e.line().map_or_else(String::new, |l| format!(":{l}"));
            complaint(&e, format!("{}{line}", file.display()))
        })
    }

    /// The place of a text, as errors name it.
    pub fn place(&self, text: &Text) -> String {
        self.source.place(if text.at.line() == 0 { self.step } else { text.at })
    }

    fn line(&self, text: &Text, error: &minijinja::Error) -> String {
        let within = error.line().unwrap_or(1);
        if text.at.line() == 0 || !text.template.contains('\n') {
            return self.place(text);
        }
        let first = usize::try_from(text.at.line()).unwrap_or(1) + usize::from(self.source.is_block(text.at));
        format!("{}:{}", self.source.path.display(), first + within - 1)
    }
}

fn complaint(error: &minijinja::Error, place: String) -> Error {
    use minijinja::ErrorKind as K;
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let complaint = Error::new(Code::Invalid, detail.replace('`', "'")).at(place);
    let complaint = match std::error::Error::source(error) {
        Some(cause) => complaint.because(cause),
        None => complaint,
    };
    match error.kind() {
        K::UndefinedError => complaint.hint(
            "give the node this piece of metadata, or write what it is otherwise: {{ NAME | default('...') }}",
        ),
        _ => complaint,
    }
}
