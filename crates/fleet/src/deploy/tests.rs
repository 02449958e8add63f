//! Checks and deployments on this host, in directories of their own.

use super::*;
use crate::{
    connector::{Local, over},
    engine::{Failure, Status},
    plan::Prediction,
    ruby::{Bridge, Known, Options},
    service::{Catalog, Shared, Work},
    session::{Chunk, Session},
};
use base::Result;
use inventory::{Inventory, Node};
use minijinja::Value;
use secrets::Redactor;
use serde_json::json;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;

/// A fleet directory with one node, whose files are in a directory of this host.
struct Rig {
    dir: TempDir,
    node: Node,
}

struct Told {
    result: Result<Report, Failure>,
    out: String,
    err: String,
}

impl Told {
    #[track_caller]
    fn ok(self) -> (Report, String) {
        match self.result {
            Ok(report) => (report, self.out),
            Err(failure) => panic!("{failure:?}\nstdout: {}\nstderr: {}", self.out, self.err),
        }
    }

    #[track_caller]
    fn fails(self) -> Failure {
        self.result.expect_err(&self.out)
    }
}

impl Rig {
    /// A node with these services, each a name and its file.
    fn new(services: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in services {
            let service = dir.path().join("services").join(name);
            fs::create_dir_all(&service).unwrap();
            fs::write(service.join("service.yaml"), text).unwrap();
        }
        fs::create_dir(dir.path().join("node")).unwrap();
        let node = Node {
            name: "web1".into(),
            metadata: [("root".to_owned(), json!(dir.path().join("node")))].into(),
            services: services.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ..Node::default()
        };
        Rig { dir, node }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("node").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    fn work(&self) -> Result<Work> {
        let mut inventory = Inventory::default();
        inventory.nodes.insert(self.node.name.clone(), self.node.clone());
        let catalog = Catalog::read(self.dir.path(), &inventory, [&self.node])?;
        catalog.work(
            &self.node,
            &Shared::new(&inventory, Value::UNDEFINED).of(&self.node),
            &Redactor::default(),
        )
    }

    async fn told(&self, mode: Mode<'_>) -> Told {
        self.told_on(over(Local), mode).await
    }

    async fn told_on(&self, session: Session, mode: Mode<'_>) -> Told {
        let work = self.work().unwrap();
        let bridge = Bridge::new(Options::new(self.dir.path()), Arc::new(Known::new(Inventory::default())));
        let (state, logs) = (self.dir.path().join("state"), self.dir.path().join("logs"));
        let request = Request {
            node: &self.node,
            work: &work,
            mode,
            user: None,
            author: "tester",
            lock_timeout: Duration::from_secs(0),
            look_timeout: Duration::from_secs(2),
            state_dir: state.to_str(),
            log_dir: logs.to_str(),
            repositories: &[],
            operator: Operator { ruby: Some(&bridge), ..Operator::default() },
            journal: None,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut sink = |chunk| match chunk {
            Chunk::Stdout(bytes) => out.extend_from_slice(&bytes),
            Chunk::Stderr(bytes) => err.extend_from_slice(&bytes),
        };
        let verb = if matches!(mode, Mode::Check) { "Check" } else { "Deploy" };
        let mut voice = Voice::new(&mut sink, &Redactor::default(), "web1", verb, self.node.services.clone());
        let run = run(request, session, &mut voice);
        let result = rt::clock::timeout(Duration::from_secs(30), "a node", run).await.unwrap();
        let text =
            |bytes| String::from_utf8(bytes).unwrap().replace(self.dir.path().to_str().unwrap(), "DIR");
        Told { result, out: text(out), err: text(err) }
    }

    async fn check(&self) -> Told {
        self.told(Mode::Check).await
    }

    async fn deploy(&self) -> Told {
        self.told(Mode::Deploy(None)).await
    }

    fn log(&self) -> String {
        let mut names: Vec<_> =
            fs::read_dir(self.dir.path().join("logs")).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        fs::read_to_string(names.last().unwrap()).unwrap()
    }
}

const HELLO: &str = r#"
steps:
  - directory: {path: "{{ root }}/etc", mode: 0750}
  - file:
      path: "{{ root }}/etc/hello"
      content: |
        Hello {{ planet | default('World') }}
        from {{ node }}
  - link: {path: "{{ root }}/hello", target: etc/hello}
  - line_in_file: {path: "{{ root }}/hosts", line: 10.0.0.1 db, matching: " db$"}
"#;

#[tokio::test]
async fn a_service_in_ruby_checks_and_deploys_as_its_methods_say() {
    let mut rig = Rig::new(&[]);
    let service = r##"
def check(node)
  [{ remote_bash: "cat #{path(node)} 2>/dev/null | diff - <(echo wanted) || true" }]
end

def path(node)
  "#{@nodes_handler.get_root_of(node)}/conf"
end

def deploy(node)
  copied = "#{@platform_handler.repository_path}/copied"
  check(node) + [
    { remote_bash: { commands: ["echo $word >#{path(node)}", 'echo a hushed word'], env: { 'word' => SecretString.new('wanted') } } },
    { bash: "echo here >copied; echo $PWD", scp: { copied => File.dirname(path(node)) } },
    { ruby: proc { |stdout, _| stdout << "a block for #{node}\n" } },
    { remote_bash: 'echo wanted; exit 3' }
  ]
end
"##;
    fs::write(rig.dir.path().join("service_conf.rb"), service).unwrap();
    rig.node.services.push("conf".into());

    let (report, out) = rig.check().await.ok();
    assert!(out.contains("\n> wanted\n"), "{out}");
    assert_eq!((report.changed, rig.file("conf").exists()), (0, false));

    let told = rig.deploy().await;
    for line in ["a hushed word\n", "DIR\n", "a block for web1\n", "********\n"] {
        assert!(told.out.contains(line), "{line:?} is not in {}", told.out);
    }
    assert_eq!((rig.read("conf").as_str(), rig.read("copied").as_str()), ("wanted\n", "here\n"));
    assert!(told.fails().error.message.contains("conf"));

    fs::write(rig.dir.path().join("service_conf.rb"), "def check(_)\n  fail 'no'\nend").unwrap();
    let failure = rig.check().await.fails();
    assert!(failure.error.field.unwrap().ends_with("service_conf.rb:2"));
}

#[tokio::test]
async fn what_is_foretold_is_done_and_a_second_time_nothing_is() {
    let rig = Rig::new(&[("hello", HELLO)]);
    fs::write(rig.file("hosts"), "127.0.0.1 localhost\n10.9.9.9 db").unwrap();
    let (foretold, words) = rig.check().await.ok();
    insta::assert_snapshot!(words);
    assert!(!rig.file("etc").exists());
    let (done, told) = rig.deploy().await.ok();
    assert_eq!(told.replace("Deploy", "Check"), words);
    assert_eq!((foretold.plan.changes, done.changed, done.plan), (4, 4, foretold.plan));
    assert_eq!(rig.read("hello"), "Hello World\nfrom web1\n");
    assert_eq!(rig.read("hosts"), "127.0.0.1 localhost\n10.0.0.1 db\n");
    let (again, _) = rig.deploy().await.ok();
    assert_eq!((again.changed, again.plan.changes), (0, 0));
    assert!(rig.log().contains("services: hello\nexit_status: 0\n"), "{}", rig.log());
}

#[tokio::test]
async fn changed_files_keep_their_mode_and_owner() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new(&[("hello", "steps: [{file: {path: \"{{ root }}/f\", content: new}}]")]);
    fs::write(rig.file("f"), "old").unwrap();
    fs::set_permissions(rig.file("f"), fs::Permissions::from_mode(0o640)).unwrap();
    rig.deploy().await.ok();
    assert_eq!(rig.read("f"), "new");
    assert_eq!(rig.file("f").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(rig.file("")).unwrap().count(), 1); // no temporary file is left
}

const SCRIPTED: &str = r#"
steps:
  - file: {path: "{{ root }}/conf", content: "port 1\n"}
    notify: reload
  - remote_bash:
      script: |
        echo run by $WHO; echo complains >&2
        date >>{{ root }}/ran
      env: {WHO: "it's me"}
      check: echo looks
    name: the script
  - remote_bash: {script: "touch {{ root }}/once", creates: "{{ root }}/once"}
handlers:
  reload:
    remote_bash: echo reloaded >>{{ root }}/reloads
"#;

#[tokio::test]
async fn scripts_are_unknown_and_handlers_run_once_at_the_end() {
    let rig = Rig::new(&[("app", SCRIPTED)]);
    let (report, words) = rig.check().await.ok();
    assert_eq!((report.plan.changes, report.plan.unknown, report.plan.handlers.len()), (1, 2, 1));
    assert_eq!(report.plan.steps[1].prediction, Prediction::Unknown);
    assert!(words.contains("looks\n") && !rig.file("ran").exists());
    let told = rig.deploy().await;
    assert!(told.out.contains("run by it's me\n") && told.err == "complains\n", "{} {}", told.out, told.err);
    let (report, _) = told.ok();
    assert_eq!((report.changed, report.code), (1, 3));
    assert_eq!(rig.read("reloads"), "reloaded\n");
    let (report, _) = rig.deploy().await.ok();
    assert_eq!((report.changed, report.code, report.plan.unknown), (0, 1, 1));
    assert_eq!(rig.read("reloads"), "reloaded\n");
}

#[tokio::test]
async fn a_failed_step_ends_the_node_and_its_handlers_are_owed() {
    let text = SCRIPTED.replace("date >>", "test -e {{ root }}/ok || exit 7; date >>");
    let rig = Rig::new(&[("app", &text)]);
    let failure = rig.deploy().await.fails();
    assert_eq!((failure.status, failure.code), (Status::Failed, Some(7)));
    assert_eq!(failure.error.message, "the script of app failed with exit code 7");
    assert_eq!(failure.error.cause.as_deref(), Some("complains"));
    assert!(!rig.file("once").exists() && !rig.file("reloads").exists());
    assert!(rig.log().contains("exit_status: failed_command\n"));
    fs::write(rig.file("ok"), "").unwrap();
    let (report, _) = rig.deploy().await.ok();
    assert_eq!(report.changed, 0);
    assert_eq!(rig.read("reloads"), "reloaded\n");
    let (report, _) = rig.deploy().await.ok();
    assert_eq!(report.plan.handlers, []);
}

#[tokio::test]
async fn a_plan_is_refused_once_node_or_inputs_have_moved() {
    let rig = Rig::new(&[("hello", HELLO)]);
    fs::write(rig.file("hosts"), "").unwrap();
    let (report, _) = rig.check().await.ok();
    fs::write(rig.file("hosts"), "moved\n").unwrap();
    let refused = rig.told(Mode::Deploy(Some(&report.plan))).await.fails();
    assert_eq!(refused.error.code, base::Code::PreconditionFailed);
    assert_eq!(refused.error.message, "the node has changed since the plan was made");
    fs::write(rig.file("hosts"), "").unwrap();
    let changed = HELLO.replace("World", "Mars");
    fs::write(rig.dir.path().join("services/hello/service.yaml"), changed).unwrap();
    let refused = rig.told(Mode::Deploy(Some(&report.plan))).await.fails();
    assert_eq!(refused.error.message, "the services or the inventory have changed since the plan was made");
    fs::write(rig.dir.path().join("services/hello/service.yaml"), HELLO).unwrap();
    assert!(!rig.file("hello").exists());
    let (done, _) = rig.told(Mode::Deploy(Some(&report.plan))).await.ok();
    assert_eq!(done.changed, 4);
}

#[tokio::test]
async fn a_step_that_another_undoes_is_found() {
    let text =
        "steps:\n  - file: {path: '{{ root }}/f', content: a}\n  - remote_bash: echo b >{{ root }}/f\n";
    let rig = Rig::new(&[("bad", text)]);
    let failure = rig.deploy().await.fails();
    assert!(
        failure.error.message.starts_with("file ")
            && failure.error.message.contains("is not as it should be"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_step_is_tried_again_for_declared_errors_only() {
    let text = |pattern: &str| {
        format!(
            "steps:\n  - remote_bash: echo try >>{{{{ root }}}}/tries; echo busy now >&2; test $(wc -l <{{{{ root }}}}/tries) -ge 3\n    retry: {{times: 5, stderr: ['{pattern}']}}\n"
        )
    };
    let rig = Rig::new(&[("busy", &text("^busy"))]);
    rig.deploy().await.ok();
    assert_eq!(rig.read("tries").lines().count(), 3);
    let rig = Rig::new(&[("busy", &text("^other"))]);
    rig.deploy().await.fails();
    assert_eq!(rig.read("tries").lines().count(), 1);
}

#[tokio::test]
async fn nothing_is_done_on_a_node_that_another_deploys() {
    let rig = Rig::new(&[("hello", "steps: [{file: {path: \"{{ root }}/f\", content: new}}]")]);
    let state = rig.dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let (boot, own) = (rt::host::boot_id(), std::process::id());
    let born = rt::process::start_ticks(own).unwrap();
    fs::write(state.join("lock"), format!("{own} {born} {boot} somebody\n")).unwrap();
    let told = rig.deploy().await;
    assert!(told.out.contains("waiting for somebody, who deploys web1"), "{}", told.out);
    assert_eq!(told.fails().error.message, "web1 is being deployed by somebody");
    assert!(!rig.file("f").exists() && !rig.dir.path().join("logs").exists());
    rig.check().await.ok(); // a check takes no lock
}

#[tokio::test]
async fn sensitive_differences_and_outputs_are_hidden() {
    let text = "steps:\n  - file: {path: '{{ root }}/f', content: canary}\n    sensitive: true\n  - remote_bash: echo canary\n    sensitive: true\n";
    let rig = Rig::new(&[("secret", text)]);
    let (report, words) = rig.check().await.ok();
    assert!(!words.contains("canary") && !serde_json::to_string(&report).unwrap().contains("canary"));
    let (_, words) = rig.deploy().await.ok();
    assert!(!words.contains("canary") && !rig.log().contains("canary"));
    assert_eq!(rig.read("f"), "canary");
}

#[tokio::test]
async fn what_is_in_the_way_is_said_before_anything_changes() {
    let rig = Rig::new(&[(
        "hello",
        "steps:\n  - file: {path: '{{ root }}/a', content: x}\n  - file: {path: '{{ root }}/dir/b', content: x}\n",
    )]);
    let failure = rig.deploy().await.fails();
    let message = failure.error.message.replace(rig.dir.path().to_str().unwrap(), "DIR");
    assert_eq!(message, "file DIR/node/dir/b of hello: there is no directory DIR/node/dir");
    assert!(failure.error.field.unwrap().ends_with("service.yaml:3:5"));
    assert!(!rig.file("a").exists());
}

#[tokio::test]
async fn a_directory_goes_when_it_is_empty_or_may_go_with_all_in_it() {
    let absent = |more: &str| {
        format!(
            "steps:\n  - file: {{path: '{{{{ root }}}}/d/a', state: absent}}\n  - directory: {{path: '{{{{ root }}}}/d', state: absent{more}}}\n"
        )
    };
    let rig = Rig::new(&[("gone", &absent(""))]);
    fs::create_dir(rig.file("d")).unwrap();
    fs::write(rig.file("d/a"), "").unwrap();
    fs::write(rig.file("d/b"), "").unwrap();
    let error = rig.check().await.fails().error;
    assert!(error.message.ends_with("node/d is not empty"), "{error:?}");
    assert_eq!(error.cause.as_deref(), Some("in it: b")); // the other one goes before
    assert!(rig.deploy().await.fails().error.message.ends_with("is not empty"));
    assert!(rig.file("d/a").exists());

    fs::remove_file(rig.file("d/b")).unwrap();
    let (foretold, _) = rig.check().await.ok();
    let (done, _) = rig.deploy().await.ok();
    assert_eq!((foretold.plan.changes, done.changed, rig.file("d").exists()), (2, 2, false));

    let rig = Rig::new(&[("gone", &absent(", force: true"))]);
    fs::create_dir_all(rig.file("d/deep/er")).unwrap();
    let (foretold, words) = rig.check().await.ok();
    assert!(words.contains("Remove directory DIR/node/d\n< with deep\n"), "{words}");
    let (done, _) = rig.deploy().await.ok();
    assert_eq!((foretold.plan.changes, done.changed, rig.file("d").exists()), (1, 1, false));
    assert_eq!(rig.deploy().await.ok().0.changed, 0);
}

#[tokio::test]
async fn a_look_that_does_not_end_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r.git", silent.local_addr().unwrap());
    let text = format!("steps: [{{git: {{repository: '{url}', path: '{{{{ root }}}}/r'}}}}]");
    let rig = Rig::new(&[("tree", &text)]);
    for told in [rig.check().await, rig.deploy().await] {
        let failure = told.fails();
        assert_eq!((failure.status, failure.untouched), (Status::Timeout, true));
        assert_eq!(failure.error.message, "web1 did not show what it has within 2 s");
    }
    assert!(!rig.dir.path().join("logs").exists());
}
