//! Secrets from every kind of source, used wherever secrets can be used, and looked for wherever they must not be.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use base64::{Engine, engine::general_purpose::STANDARD};
use e2e::{Arguments, Cli, Fleet, Process, Ran, eventually};
use keepass::{Database, DatabaseKey};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use testkit::fake_http::{FakeServer, Reply};

const SOON: Duration = Duration::from_mins(1);

/// How templates name the secret of each source.
const SOURCES: [(&str, &str); 6] = [
    ("age", "secrets.age.word"),
    ("env", "secrets.env.word"),
    ("command", "secrets.command.word"),
    ("file", "secrets.file.word"),
    ("keepass", "secrets.keepass.entry.password"),
    ("vault", "secrets.vault.word"),
];

/// Says each word in two writes, encoded, and across the chunks of a pipe, on both outputs.
const TELL: &str = "for word in WORDS; do
      begin=${word%??????}
      printf %s \"$begin\"; printf %s \"$begin\" >&2
      sleep 0.05
      printf '%s\\n' \"${word#\"$begin\"}\"; printf '%s\\n' \"${word#\"$begin\"}\" >&2
      printf %s \"$word\" | base64
      { head -c 32750 /dev/zero | tr '\\0' x; echo \"$word\"; }
    done";

/// Values that nobody has seen before, and what they are looked for as.
struct Canaries(BTreeMap<&'static str, String>);

impl Canaries {
    fn new() -> Self {
        let value =
            |kind: &str| format!("canary-{kind}-{:016x}", u64::from_le_bytes(rt::ids::random_bytes()));
        Canaries(SOURCES.iter().map(|(kind, _)| (*kind, value(kind))).collect())
    }

    fn of(&self, kind: &str) -> &str {
        &self.0[kind]
    }

    /// The first that is in these bytes, as it is or in base64.
    fn within(&self, bytes: &[u8]) -> Option<&str> {
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.0.values().map(String::as_str).find(|value| {
            let encoded = STANDARD.encode(value);
            has(value) || has(encoded.trim_end_matches('='))
        })
    }

    fn watch_arguments(self: &Arc<Self>) -> Arguments {
        let canaries = Arc::clone(self);
        Arguments::watch(move |line| canaries.within(line).is_some())
    }

    #[track_caller]
    fn absent(&self, what: &str, bytes: &[u8]) {
        if let Some(canary) = self.within(bytes) {
            panic!("{canary} is in {what}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

/// A fleet whose secrets come from everywhere.
struct Scene {
    fleet: Fleet,
    canaries: Arc<Canaries>,
    _vault: FakeServer,
}

impl Scene {
    async fn start() -> Self {
        let (fleet, canaries) = (Fleet::start(2).await, Arc::new(Canaries::new()));
        let word = canaries.of("vault").to_owned();
        let vault = FakeServer::start(move |_| {
            Reply::Json(200, json!({"data": {"data": {"word": word}, "metadata": {}}}))
        });
        let vault = vault.await.unwrap();
        let text = format!(
            "platforms: [{{name: lab, type: yaml, path: .}}]\n\
             deploy: {{state_dir: ~/state, log_dir: ~/log}}\n\
             secrets:\n\
             - {{type: age, file: .sources/s.age, identity: .sources/key, at: age}}\n\
             - {{type: env, prefix: CANARY_, at: env}}\n\
             - {{type: command, argv: [cat, .sources/printed], at: command}}\n\
             - {{type: file, file: .sources/plain, at: file}}\n\
             - {{type: keepass, database: .sources/s.kdbx, password_file: .sources/pass, at: keepass}}\n\
             - {{type: vault, url: '{}', path: app, token_file: .sources/pass, at: vault}}\n",
            vault.url()
        );
        fs::write(fleet.path().join("hostler.yaml"), text).unwrap();
        write_sources(&fleet.path().join(".sources"), &canaries).await;
        fs::create_dir(fleet.path().join("tests")).unwrap();
        fs::write(fleet.path().join("tests/tell.sh"), "cat ~/all.conf; cat ~/all.conf >&2; exit 1\n")
            .unwrap();
        Scene { fleet, canaries, _vault: vault }
    }

    fn service(&self, name: &str, file: &str, text: &str) {
        let dir = self.fleet.path().join("services").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = self.fleet.command(&[args, &["--log-filter", "trace"]].concat());
        command.env("CANARY_WORD", self.canaries.of("env"));
        command
    }

    /// Calls, and looks at all that it says. Something must have been hidden.
    #[track_caller]
    fn told(&self, args: &[&str], ran: &Ran) {
        self.canaries.absent(&format!("the standard output of {args:?}"), ran.stdout.as_bytes());
        self.canaries.absent(&format!("the standard error of {args:?}"), ran.stderr.as_bytes());
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let ran = Cli::finish(self.command(args), b"").await;
        self.told(args, &ran);
        ran
    }

    /// All files that something was written to.
    fn written(&self) -> Vec<PathBuf> {
        let homes = self.fleet.nodes().iter().flat_map(|n| ["log", "state"].map(|dir| n.home().join(dir)));
        let places = [self.fleet.path(), self.fleet.cli().home().to_owned()].into_iter().chain(homes);
        let files = places.flat_map(|place| files(&place));
        files.filter(|path| !path.components().any(|c| c.as_os_str() == ".sources")).collect()
    }

    fn home(&self, node: usize) -> PathBuf {
        self.fleet.nodes()[node - 1].home()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn write_sources(dir: &Path, canaries: &Canaries) {
    fs::create_dir(dir).unwrap();
    let word = |kind: &str| format!("{{\"word\": \"{}\"}}", canaries.of(kind));
    for (file, text) in [("to-encrypt", word("age")), ("printed", word("command")), ("plain", word("file"))] {
        fs::write(dir.join(file), text).unwrap();
    }
    fs::write(dir.join("pass"), "pass-of-the-sources\n").unwrap();
    let age = async |program: &str, args: &[&str]| {
        let mut command = rt::process::command(program);
        command.args(args).current_dir(dir);
        rt::process::run(command, SOON).await.unwrap().stdout
    };
    age("age-keygen", &["-o", "key"]).await;
    let key = age("age-keygen", &["-y", "key"]).await;
    age("age", &["-r", key.trim(), "-o", "s.age", "to-encrypt"]).await;
    let mut database = Database::new();
    let mut root = database.root_mut();
    let mut entry = root.add_entry();
    entry.set_unprotected("Title", "entry");
    entry.set_protected("Password", canaries.of("keepass"));
    let key = DatabaseKey::new().with_password("pass-of-the-sources");
    database.save(&mut fs::File::create(dir.join("s.kdbx")).unwrap(), key).unwrap();
}

/// What the nodes are deployed with. The last step fails on the second one.
fn service() -> String {
    let words: Vec<String> = SOURCES.iter().map(|(_, name)| format!("{{{{ {name} }}}}")).collect();
    let tell = TELL.replace("WORDS", &words.join(" "));
    format!(
        "steps:
  - template: {{src: all.j2, path: ~/all.conf}}
  - name: hidden
    file: {{path: ~/private.conf, content: \"plain-words {{{{ secrets.file.word }}}}\\n\"}}
    sensitive: true
  - line_in_file: {{path: ~/name, line: \"word {{{{ secrets.age.word }}}}\", matching: \"^word \"}}
  - name: \"tell {{{{ secrets.vault.word }}}}\"
    remote_bash:
      env: {{WORD: \"{{{{ secrets.env.word }}}}\"}}
      check: \"echo $WORD; echo $WORD >&2\"
      script: |
        echo \"$WORD\"
        {remote}
        echo $$ >~/step
        while [ ! -e ~/go ]; do sleep 0.05; done
  - bash: |
      {local}
  - name: \"fail with {{{{ secrets.age.word }}}}\"
    when: \"node == 'web2'\"
    remote_bash: |
      {remote_last}
      exit 3
",
        remote = tell.replace('\n', "\n    "),
        local = tell.replace('\n', "\n  "),
        remote_last = tell.replace('\n', "\n  "),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_secrets_of_every_source_are_in_what_uses_them_and_nowhere_else() {
    let scene = Scene::start().await;
    let lines = SOURCES.map(|(kind, name)| format!("{kind} {{{{ {name} }}}}\n"));
    let template = lines.concat();
    scene.service("web", "all.j2", &template);
    scene.service("web", "service.yaml", &service());
    let arguments = scene.canaries.watch_arguments();

    let shown = scene.run(&["check", "-r", "web"]).await.ok();
    assert!(shown.contains("> age ********") && shown.contains("(the difference is hidden)"), "{shown}");
    assert!(!shown.contains("plain-words"), "{shown}");
    scene.run(&["check", "-r", "web", "-o", "json"]).await.ok();
    scene.run(&["check", "-r", "web", "-o", "plan.json"]).await.ok();
    scene.run(&["drift", "-r", "web", "-o", "json"]).await.ok();

    // The arguments are looked at while the steps run, on both sides.
    let log = scene.fleet.path().join("deploy.log");
    let mut deploy = Process::start(scene.command(&["deploy", "--plan", "plan.json"]), &log);
    for node in [1, 2] {
        let step = scene.home(node).join("step");
        eventually("the step", SOON, || async { step.exists().then_some(()) }).await;
    }
    let looks = arguments.looks();
    eventually("some looks", SOON, || async { (arguments.looks() > looks + 2).then_some(()) }).await;
    for node in [1, 2] {
        fs::write(scene.home(node).join("go"), "").unwrap();
    }
    assert_eq!(deploy.wait(SOON).await, Some(8), "{}", deploy.log());
    let said = deploy.log();
    assert!(said.contains("fail with ******** of web failed with exit code 3"), "{said}");
    for kind in SOURCES.map(|(kind, _)| kind) {
        let line = format!("{kind} {}\n", scene.canaries.of(kind));
        for node in [1, 2] {
            let there = fs::read_to_string(scene.home(node).join("all.conf")).unwrap();
            assert!(there.contains(&line), "{line} is not on web{node}");
        }
    }

    for node in [1, 2] {
        fs::remove_file(scene.home(node).join("all.conf")).unwrap();
    }
    let data = scene.run(&["deploy", "-r", "web", "-o", "json"]).await;
    assert!(data.stdout.contains("> vault ********") && data.code == 8, "{}", data.stdout);
    scene.run(&["deploy", "-r", "web", "--parallel"]).await.fails(8);
    assert!(scene.fleet.file("run_logs/web2.stdout").unwrap().contains("********"));

    // What was deployed is hidden from those who only look.
    let cat = ["run", "-n", "web1", "-n", "web2", "-c", "cat ~/all.conf; cat ~/all.conf >&2; exit 4"];
    for more in [&["--junit", "run.xml"][..], &["-o", "json"], &["-p", "--output-dir", "cat"]] {
        scene.run(&[&cat, more].concat()).await.fails(1);
    }
    let ran = scene.run(&["run", "-n", "web1", "--secret-env", "W=env.word", "-c", "echo =$W="]).await;
    assert_eq!(ran.ok(), "=********=\n");
    for more in [&["--junit", "test.xml"][..], &["-o", "json"]] {
        let tested = scene.run(&[&["test", "-r", "web", "--test", "tell"], more].concat()).await;
        assert!(format!("{}{}", tested.stdout, tested.stderr).contains("********"), "{tested:?}");
    }
    for args in [&["secret", "list", "-o", "json"][..], &["last-deploys", "-r", "web"], &["report"]] {
        scene.run(args).await.ok();
    }

    // A mistake is told with its text.
    let wrong = "steps: [{file: {path: ~/x, content: x, mode: '{{ secrets.file.word }}'}}]\n";
    scene.service("web", "service.yaml", wrong);
    assert!(scene.run(&["check", "-r", "web"]).await.fails(2).contains("********"));

    let written = scene.written();
    for name in ["plan.json", "run.xml", "test.xml", "web2.stdout", ".jsonl", "/log/web2_", "deploy.log"] {
        let is = |path: &PathBuf| path.to_string_lossy().contains(name);
        let path = written.iter().find(|p| is(p)).unwrap_or_else(|| panic!("no {name} in {written:?}"));
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        assert!(text.contains("********"), "{name}: {text}");
    }
    for path in written {
        scene.canaries.absent(&path.display().to_string(), &fs::read(&path).unwrap());
    }
    arguments.clean();
}

/// A repository with one file, served as files to whoever knows the password.
async fn repository(dir: &Path, password: &str) -> FakeServer {
    let script = "git init -q -b main work && cd work && echo one >page && git add . && \
                  git -c user.name=t -c user.email=t@example.org commit -q -m first && \
                  git clone -q --bare . ../app.git && git -C ../app.git update-server-info";
    let mut sh = rt::process::command("sh");
    sh.args(["-c", script]).current_dir(dir);
    rt::process::run(sh, SOON).await.unwrap();
    let (dir, login) = (dir.to_owned(), format!("Basic {}", STANDARD.encode(format!("me:{password}"))));
    let answer = move |seen: &testkit::fake_http::Seen| {
        if seen.header("authorization") != login {
            return Reply::Plain(401, vec![("www-authenticate", "Basic realm=\"git\"".into())], "".into());
        }
        let path = seen.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        match fs::read(dir.join(path)) {
            Ok(content) => Reply::Plain(200, vec![], content.into()),
            Err(_) => Reply::Plain(404, vec![], "".into()),
        }
    };
    FakeServer::start(answer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_password_of_a_repository_is_in_no_argument_and_not_kept() {
    let scene = Scene::start().await;
    let dir = tempfile::tempdir().unwrap();
    let server = repository(dir.path(), scene.canaries.of("vault")).await;
    let address = server.url().replace("http://", "http://me:{{ secrets.vault.word }}@");
    let service = format!(
        "steps:\n  - git: {{repository: '{address}/app.git', path: ~/app, revision: main}}\n  \
         - line_in_file: {{path: ~/name, line: 'word {{{{ secrets.age.word }}}}'}}\n"
    );
    scene.service("web", "service.yaml", &service);
    let arguments = scene.canaries.watch_arguments();
    let said = scene.run(&["check", "-r", "web"]).await.ok();
    assert!(said.contains(&format!("Clone {}/app.git into ", server.url())), "{said}");
    scene.run(&["deploy", "-r", "web"]).await.ok();
    let again = scene.run(&["deploy", "-r", "web"]).await;
    assert!(again.code == 0 && again.stderr.contains("2 nodes: 0 changes"), "{again:?}");
    for node in [1, 2] {
        let app = scene.home(node).join("app");
        assert_eq!(fs::read_to_string(app.join("page")).unwrap(), "one\n");
        for file in files(&app) {
            scene.canaries.absent(&file.display().to_string(), &fs::read(&file).unwrap());
        }
    }
    for step in [
        "file: {path: ~/x, content: x, validate: 'test {{ secrets.age.word }} = %s'}",
        "container: {name: x, image: x, command: [sh, '{{ secrets.age.word }}']}",
        "user: {name: x, comment: '{{ secrets.age.word }}'}",
        "directory: {path: '~/{{ secrets.age.word }}'}",
        "link: {path: ~/x, target: '{{ secrets.age.word }}'}",
        "package: '{{ secrets.age.word }}'",
    ] {
        scene.service("web", "service.yaml", &format!("steps:\n  - {step}\n"));
        let said = scene.run(&["check", "-r", "web"]).await.fails(2);
        assert!(said.contains("a secret would be an argument of a program here"), "{said}");
    }
    arguments.clean();
}
