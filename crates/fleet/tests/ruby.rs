//! Service files in Ruby, evaluated by the real interpreter.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use base::{Code, Error, Result};
use fleet::{
    ruby::{Action, Actions, Answers, Bridge, Known, Method, Options, Question, Service},
    session::Chunk,
};
use futures::future::BoxFuture;
use inventory::Node;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

/// Knows of each node that its `host_ip` is 10.0.0.7, and what it was asked.
#[derive(Default)]
struct Asked(Mutex<Vec<Question>>);

impl Answers for Asked {
    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Value>> {
        self.0.lock().push(question.clone());
        Box::pin(async move {
            match question {
                Question::Property { property, .. } if property == "host_ip" => Ok(json!("10.0.0.7")),
                Question::Property { property, .. } if property == "broken" => {
                    Err(Error::conflict("two sources disagree"))
                }
                Question::Property { .. } => Ok(Value::Null),
                Question::Nodes { select } => Ok(json!(select)),
            }
        })
    }
}

struct Fleet {
    dir: TempDir,
    asked: Arc<Asked>,
    bridge: Bridge,
}

impl Fleet {
    fn new(services: &[(&str, &str)]) -> Self {
        Self::with(services, |_| ())
    }

    fn with(services: &[(&str, &str)], change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, text) in services {
            fs::write(dir.path().join(format!("service_{name}.rb")), text).unwrap();
        }
        let mut options = Options::new(dir.path());
        change(&mut options);
        let asked = Arc::new(Asked::default());
        Fleet { bridge: Bridge::new(options, asked.clone()), dir, asked }
    }

    async fn evaluate(&self, service: &str, method: Method, node: &Node, said: &mut Said) -> Result<Actions> {
        let service = Service { platform: "lab", directory: self.dir.path(), name: service };
        self.bridge.actions(service, method, node, &mut |chunk| said.take(chunk)).await
    }

    async fn check(&self, service: &str) -> Result<Vec<Action>> {
        let found = self.evaluate(service, Method::Check, &node(&json!({})), &mut Said::default()).await;
        found.map(|f| f.actions)
    }
}

#[derive(Default)]
struct Said {
    stdout: String,
    stderr: String,
}

impl Said {
    fn take(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Stdout(bytes) => self.stdout.push_str(std::str::from_utf8(&bytes).unwrap()),
            Chunk::Stderr(bytes) => self.stderr.push_str(std::str::from_utf8(&bytes).unwrap()),
        }
    }
}

fn node(metadata: &Value) -> Node {
    let node = json!({"name": "web1", "platform": "lab", "metadata": metadata});
    serde_json::from_value(node).unwrap()
}

fn script(actions: &[Action]) -> &str {
    match actions {
        [Action::RemoteBash(script)] => script,
        other => panic!("not one script: {other:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_action_comes_back_as_data() {
    const SERVICE: &str = r##"
def check(node)
  [
    { remote_bash: "echo one\necho two" },
    { remote_bash: ['a', { commands: %w[b c], file: "#{@platform_handler.repository_path}/more", env: { 'X' => "it's" } }] },
    { bash: "echo #{node} of #{@platform_handler.name}", interactive: true },
    { scp: { 'files/a' => '/etc', sudo: true, owner: 'root' } },
    { ruby: proc { |stdout, _stderr| stdout << 'x' } }
  ]
end
"##;
    let fleet = Fleet::new(&[("all", SERVICE)]);
    fs::write(fleet.dir.path().join("more"), "from a file\n").unwrap();
    let actions = fleet.check("all").await.unwrap();
    let [
        Action::RemoteBash(first),
        Action::RemoteBash(second),
        bash,
        shell,
        Action::Copy(copy),
        Action::Ruby(_),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(first, "echo one\necho two");
    assert_eq!(second, "a\nexport X='it'\\''s'\nb\nc\nfrom a file\n");
    assert_eq!(*bash, Action::Bash("echo web1 of lab".to_owned()));
    assert_eq!(*shell, Action::Interactive);
    assert_eq!(copy.files, [(fleet.dir.path().join("files/a"), "/etc".to_owned())]);
    assert!(copy.sudo && copy.owner.as_deref() == Some("root") && copy.group.is_none());
}

#[tokio::test]
async fn what_was_not_handed_over_is_asked_once() {
    const SERVICE: &str = r"
def check(node)
  @list = @nodes_handler.select_nodes('web2', '/db/', { service: 'web', list: 'front' },
                                       { git_diff: { platform: 'lab', smallest_set: true } })
  [{ remote_bash: [@nodes_handler.get_port_of(node), @nodes_handler.get_host_ip_of(node),
                   @nodes_handler.get_host_ip_of(node), @nodes_handler.get_planet_of('web2') || 'World', @list].join(' ') }]
end
";
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let mut said = Said::default();
    let found = fleet.evaluate("s", Method::Check, &node(&json!({"port": 80})), &mut said).await.unwrap();
    let selectors = ["node:web2", "/db/", "service:web", "list:front", "git:lab:::min"];
    assert_eq!(script(&found.actions), format!("80 10.0.0.7 10.0.0.7 World {}", selectors.join(" ")));
    let property =
        |property: &str, node: &str| Question::Property { property: property.into(), node: node.into() };
    let expected = [
        Question::Nodes { select: selectors.map(str::to_owned).to_vec() },
        property("host_ip", "web1"),
        property("planet", "web2"),
    ];
    assert_eq!(*fleet.asked.0.lock(), expected);
}

#[tokio::test]
async fn an_inventory_answers_with_what_its_sources_say() {
    const SERVICE: &str = r"
def check(node)
  [{ remote_bash: [@nodes_handler.get_host_ip_of(node), @nodes_handler.get_services_of('db').inspect,
                   @nodes_handler.get_nothing_of('db').inspect, @nodes_handler.known_nodes,
                   @nodes_handler.nodes_from_list('front')].join(' ') }]
end
";
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("hostler.yaml", "platforms:\n- {name: lab, type: yaml, path: .}\n");
    write(
        "inventory.yaml",
        "web1: {metadata: {hostname: localhost}, services: [s], groups: [front]}\ndb: {services: [s, t]}\n",
    );
    write("groups.yaml", "front: {}\n");
    write("service_s.rb", SERVICE);
    let inventory = inventory::load(dir.path(), &inventory::Options::default()).await.unwrap();
    let web = inventory.nodes["web1"].clone();
    let bridge = Bridge::new(Options::new(dir.path()), Arc::new(Known::new(inventory)));
    let service = Service { platform: "lab", directory: dir.path(), name: "s" };
    let found = bridge.actions(service, Method::Check, &web, &mut |_| ()).await.unwrap();
    assert_eq!(script(&found.actions), r#"127.0.0.1 ["s", "t"] nil db web1 web1"#);
}

#[tokio::test]
async fn what_it_prints_is_its_output_also_from_programs_and_threads() {
    const SERVICE: &str = r#"
def check(_node)
  puts 'put'
  Thread.new { print 'from a thread' }.join
  $stderr.puts 'error'
  STDOUT.puts '{"id":1,"result":[]}'
  system('echo program; echo complaint >&2')
  log_warn 'careful'
  @cmd_runner.run_cmd('echo run; exit 3', expected_code: 3)
  [{ ruby: proc { |stdout, stderr| stdout << "block\n"; stderr << "oops\n"; puts 'printed' } }]
end
"#;
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let mut said = Said::default();
    let found = fleet.evaluate("s", Method::Check, &node(&json!({})), &mut said).await.unwrap();
    for line in ["put\n", "from a thread", "{\"id\":1,\"result\":[]}\n", "program\n", "run\n"] {
        assert!(said.stdout.contains(line), "{line:?} is not in {:?}", said.stdout);
    }
    for line in ["error\n", "complaint\n", "warning: careful\n"] {
        assert!(said.stderr.contains(line), "{line:?} is not in {:?}", said.stderr);
    }
    let [Action::Ruby(block)] = &found.actions[..] else { panic!("{found:?}") };
    let mut said = Said::default();
    fleet.bridge.call(block, None, &mut |chunk| said.take(chunk)).await.unwrap();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("block\nprinted\n", "oops\n"));
}

#[tokio::test]
async fn services_do_not_meet_and_deploy_may_build_on_check() {
    const ONE: &str =
        "def text = 'one'\ndef check(_) = [{ remote_bash: text }]\ndef deploy(n) = check(n) + check(n)\n";
    const TWO: &str = "def check(_) = [{ remote_bash: respond_to?(:text).to_s }]\n";
    let services = [("one", ONE), ("two", TWO)];
    let fleet = Fleet::new(&services);
    assert_eq!(script(&fleet.check("one").await.unwrap()), "one");
    assert_eq!(script(&fleet.check("two").await.unwrap()), "false");
    let found = fleet.evaluate("one", Method::Deploy, &node(&json!({})), &mut Said::default()).await.unwrap();
    assert_eq!(found.actions, [Action::RemoteBash("one".into()), Action::RemoteBash("one".into())]);
}

#[tokio::test]
async fn failures_say_file_and_line() {
    let services = [
        ("name", "def check(_)\n  helper\nend\ndef helper\n  missing_thing\nend\n"),
        ("syntax", "def check(_)\n  [\nend\n"),
        ("exit", "def check(_)\n  exit 3\nend\n"),
        ("kind", "def check(_) = [{ remote_batch: 'x' }]\n"),
        ("none", "def check(_) = nil\n"),
        ("answer", "def check(node)\n  @nodes_handler.get_broken_of(node)\nend\n"),
        ("gem", "require 'no_such_gem'\n"),
    ];
    let fleet = Fleet::new(&services);
    let mut seen = Vec::new();
    for (name, _) in services {
        let error = fleet.check(name).await.unwrap_err();
        assert_eq!(error.code, Code::Invalid);
        assert_eq!(error.message, format!("check of service {name} for web1 failed"));
        let place = error.field.unwrap_or_default();
        let file = place.rsplit('/').next().unwrap_or_default().to_owned();
        let cause = error.cause.unwrap();
        seen.push((file, cause.lines().next().unwrap().to_owned()));
    }
    let line = |name: &str, line: u32| format!("service_{name}.rb:{line}");
    assert_eq!(seen[0].0, line("name", 5));
    assert!(seen[0].1.contains("missing_thing") && seen[0].1.contains("NameError"), "{}", seen[0].1);
    assert!(seen[1].0.starts_with("service_syntax.rb:"), "{}", seen[1].0);
    assert_eq!(seen[2], (line("exit", 2), "exit (SystemExit)".to_owned()));
    assert!(seen[3].1.starts_with("unknown action 'remote_batch': there are remote_bash,"), "{}", seen[3].1);
    assert!(seen[4].1.starts_with("check gave NilClass, not an array of actions"), "{}", seen[4].1);
    assert_eq!(seen[5], (line("answer", 2), "two sources disagree".to_owned()));
    assert_eq!(seen[6].0, line("gem", 1));
}

#[tokio::test]
async fn a_hanging_method_is_ended_and_the_next_works() {
    let services =
        [("hang", "def check(_) = sleep\n"), ("fine", "def check(_) = [{ remote_bash: 'true' }]\n")];
    let fleet = Fleet::with(&services, |options| options.limit = Duration::from_millis(300));
    assert_eq!(fleet.check("hang").await.unwrap_err().code, Code::Timeout);
    assert_eq!(script(&fleet.check("fine").await.unwrap()), "true");
}

#[tokio::test]
async fn blocks_run_beside_each_other_and_a_hanging_one_is_left() {
    const SERVICE: &str = r"
def check(_)
  talk = Queue.new
  [{ ruby: proc { |out| out << talk.pop } }, { ruby: proc { |out| out << 'second'; talk << 'first' } },
   { ruby: proc { sleep } }, { ruby: proc { raise 'no luck' } }]
end
";
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let actions = fleet.check("s").await.unwrap();
    let blocks: Vec<_> =
        actions.iter().map(|a| if let Action::Ruby(b) = a { b } else { panic!("{a:?}") }).collect();
    let (mut one, mut two) = (Said::default(), Said::default());
    let (mut say_one, mut say_two) = (|c| one.take(c), |c| two.take(c));
    let both = tokio::join!(
        fleet.bridge.call(blocks[0], None, &mut say_one),
        fleet.bridge.call(blocks[1], None, &mut say_two)
    );
    both.0.and(both.1).unwrap();
    assert_eq!((one.stdout.as_str(), two.stdout.as_str()), ("first", "second"));
    let limit = Some(Duration::from_millis(100));
    assert_eq!(fleet.bridge.call(blocks[2], limit, &mut |_| ()).await.unwrap_err().code, Code::Timeout);
    let error = fleet.bridge.call(blocks[3], None, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.cause.as_deref(), Some("no luck"));
    assert!(error.field.unwrap().ends_with("service_s.rb:5"));
}

#[tokio::test]
async fn a_bridge_that_dies_says_so_and_is_started_again() {
    let services =
        [("dies", "def check(_) = exit!(7)\n"), ("fine", "def check(_) = [{ remote_bash: 'true' }]\n")];
    let fleet = Fleet::new(&services);
    let error = fleet.check("dies").await.unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.cause.as_deref()),
        ("the Ruby bridge ended early", Some("exit status: 7"))
    );
    assert_eq!(script(&fleet.check("fine").await.unwrap()), "true");
}

#[tokio::test]
async fn without_ruby_the_error_names_the_package() {
    let fleet = Fleet::with(&[], |options| options.program = "/nonexistent/ruby".into());
    let error = fleet.check("any").await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.hint.as_deref(), Some("install it: apt-get install ruby"));
}

#[tokio::test]
async fn templates_work_with_and_without_gems() {
    const SERVICE: &str = r#"
def check(_node)
  @port = 80
  text = "port: <%= @port %>\n<% if @port > 1 %>\n  big\n<% end %>\n<%# a remark %>\nlast: <%== '<b>' %> ü\n"
  [{ remote_bash: Erubis::Eruby.new(text).result(binding) }, { remote_bash: ERB.new("<%= @port %>").result(binding) },
   { remote_bash: { "a" => 1 }.to_yaml + Time.parse("2026-01-02 UTC").year.to_s + [1, 1].to_set.size.to_s }]
end
"#;
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let texts = fleet.check("s").await.unwrap();
    let expected = ["port: 80\n  big\nlast: &lt;b&gt; ü\n", "80", "---\na: 1\n20261"];
    assert_eq!(texts, expected.map(|t| Action::RemoteBash(t.to_owned())));
}

#[tokio::test]
async fn secret_texts_are_told() {
    const SERVICE: &str = "def check(_) = [{ remote_bash: { commands: SecretString.new('hush 1'), env: { 'P' => SecretString.new('hush 2') } } }]";
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let found = fleet.evaluate("s", Method::Check, &node(&json!({})), &mut Said::default()).await.unwrap();
    assert_eq!(script(&found.actions), "export P='hush 2'\nhush 1");
    let secrets: Vec<_> = found.secrets.iter().map(base::Secret::expose_secret).collect();
    assert_eq!(secrets, ["hush 2", "hush 1"]);
}

#[tokio::test]
async fn a_configuration_is_noted_line_by_line() {
    let fleet = Fleet::new(&[]);
    let file = fleet.dir.path().join("hpc_config.rb");
    fs::create_dir(fleet.dir.path().join("lab")).unwrap();
    fs::write(fleet.dir.path().join("lab/more.rb"), "packaging_timeout 600\n").unwrap();
    let text = r##"
require 'ice_cube_that_is_not_here'
yaml_inventory_platform(path: "#{hybrid_platforms_dir}/lab", name: 'lab') do |path|
  include_config_from "#{path}/more.rb"
end
for_nodes [{ service: 'web' }, '/prd/'] do
  for_nodes('web1') { deployment_schedule(weekly_at(%i[monday friday], '04:00:00', duration: 60)) }
  deployment_schedule(IceCube::Schedule.new(Time.now) { |s| s.add(1) })
end
sudo_for { |user| "please -u #{user}" }
retry_deploy_for_errors_on_stdout [/lost .*/, 'exact']
a_word_of_a_plugin(:x, 1..2) { raise 'never run' }
"##;
    fs::write(&file, text).unwrap();
    let said = fleet.bridge.configuration(&file, &mut |_| ()).await.unwrap();
    let lines: Vec<_> = said
        .iter()
        .map(|s| {
            let place = s.place.rsplit('/').next().unwrap();
            format!("{place} {} {} {}", s.word, json!(s.arguments), json!(s.nodes))
        })
        .collect();
    let dir = fleet.dir.path().display();
    let expected = [
        r#"hpc_config.rb:2 require ["ice_cube_that_is_not_here","cannot load such file -- ice_cube_that_is_not_here"] []"#.to_owned(),
        format!(r#"hpc_config.rb:3 platform [{{"name":"lab","path":"{dir}/lab","type":"yaml_inventory"}}] []"#),
        r"more.rb:1 packaging_timeout [600] []".to_owned(),
        r#"hpc_config.rb:7 deployment_schedule [{"at":"04:00:00","every":["monday","friday"],"seconds":60}] [["service:web","/prd/"],["node:web1"]]"#.to_owned(),
        r#"hpc_config.rb:8 deployment_schedule [{"$code":"IceCube::Schedule.new"}] [["service:web","/prd/"]]"#.to_owned(),
        r#"hpc_config.rb:10 sudo_for [{"root":"please -u root","somebody":"please -u somebody"}] []"#.to_owned(),
        r#"hpc_config.rb:11 retry_deploy_for_errors_on_stdout [["/lost .*/","exact"]] []"#.to_owned(),
        r#"hpc_config.rb:12 a_word_of_a_plugin ["x",{"$code":"1..2"},{"$code":"a block"}] []"#.to_owned(),
    ];
    assert_eq!(lines, expected);

    fs::write(&file, "for_nodes('a') do\n  raise 'wrong'\nend\n").unwrap();
    let error = fleet.bridge.configuration(&file, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.field, Some(format!("{dir}/hpc_config.rb:2")));
}

#[test]
fn any_text_goes_there_and_back() {
    const SERVICE: &str = "def check(node) = [{ remote_bash: { commands: [], env: { 'x' => @nodes_handler.get_text_of(node) } } }]\n\
                           def deploy(node) = [{ remote_bash: @nodes_handler.get_text_of(node) }]";
    let fleet = Fleet::new(&[("s", SERVICE)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let evaluate = |method, text: &str, name: usize| {
        let mut node = node(&json!({"text": text}));
        node.name = format!("n{name}");
        let found = runtime.block_on(fleet.evaluate("s", method, &node, &mut Said::default())).unwrap();
        script(&found.actions).to_owned()
    };
    let count = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(200), |(text in any::<String>())| {
        count.set(count.get() + 1);
        prop_assert_eq!(&evaluate(Method::Deploy, &text, count.get()), &text);
        // What the shell makes of the quotes is the text again.
        let exported = evaluate(Method::Check, &text, count.get());
        let quoted = exported.strip_prefix("export x='").unwrap().strip_suffix('\'').unwrap();
        prop_assert_eq!(quoted.replace("'\\''", "'"), text);
    });
    assert!(Path::new(fleet.dir.path()).exists());
}
