//! Inventories and patterns from a generator, many at once against one running Ansible.

use crate::{fixtures::difference, options, oracle::Oracle};
use inventory::ansible::AnsibleInventory;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use std::{fmt::Write, fs, path::Path};

/// The same values on every run and every machine: what fails once fails again.
fn samples<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[SEED; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

const SEED: u8 = 7;

/// One of the words between these separators.
fn one_of(separator: char, words: &'static str) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words.split(separator).collect::<Vec<_>>())
}

/// Pieces of a language, put together at random: most of it is nonsense, and that is the point.
fn nonsense(pieces: &'static str, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(one_of('¦', pieces), 1..=most).prop_map(|parts| parts.concat())
}

const PYTHON: &str = concat!(
    r#"0¦1¦07¦9¦12¦_¦.¦e¦e+¦j¦x¦0x1¦0b1¦0o7¦-¦+¦'¦'¦"¦"¦'a'¦"b"¦b'¦r'¦u'¦f'¦'''¦\¦\n¦\x41¦\u00e9¦\101¦"#,
    r#"\d¦[¦]¦[¦]¦(¦)¦{¦}¦{¦}¦,¦,¦:¦ ¦ ¦#¦None¦True¦False¦set()¦a¦é¦{{ a }}"#,
);

const YAML: &str = concat!(
    r#"0¦1¦7¦8¦9¦12¦60¦_¦.¦.¦e¦e+¦E-¦x¦0x¦0b¦-¦+¦:¦:¦yes¦no¦On¦off¦true¦NULL¦null¦~¦.inf¦.nan¦2024¦"#,
    r#"-02-¦29¦T¦ ¦Z¦'¦"¦[¦]¦{¦}¦, ¦: ¦!!str ¦!!int ¦!unsafe ¦a¦é¦<<¦=¦ #"#,
);

#[tokio::test]
async fn values_of_ini_files_are_python_literals() {
    let Some(mut oracle) = Oracle::start("values_of_ini_files_are_python_literals").await else { return };
    let texts = samples(nonsense(PYTHON, 7), 4000);
    let texts: Vec<String> = texts.iter().map(|t| t.trim().to_owned()).collect();
    let dir = tempfile::tempdir().unwrap();
    let answers = oracle.ask(dir.path(), json!({"kind": "literals", "texts": texts})).await.unwrap();
    let known: Vec<(&String, &Value)> =
        texts.iter().zip(answers.as_array().unwrap()).filter(|(_, answer)| !answer.is_null()).collect();
    assert!(known.len() > texts.len() / 2, "most of them are values");
    let mut ini = "host\n[all:vars]\n".to_owned();
    for (i, (text, _)) in known.iter().enumerate() {
        writeln!(ini, "v{i}={text}").unwrap();
    }
    fs::write(dir.path().join("hosts.ini"), ini).unwrap();
    let inventory = AnsibleInventory::read(&options(dir.path(), &["hosts.ini"])).await.unwrap();
    for (i, (text, answer)) in known.iter().enumerate() {
        assert_eq!(inventory.hosts["host"].get(&format!("v{i}")), answer.get("value"), "{text}");
    }
}

#[tokio::test]
async fn yaml_values_are_those_of_ansible() {
    let Some(mut oracle) = Oracle::start("yaml_values_are_those_of_ansible").await else { return };
    let texts: Vec<String> = samples(nonsense(YAML, 6), 4000).iter().map(|t| format!("v: {t}\n")).collect();
    let dir = tempfile::tempdir().unwrap();
    let answers = oracle.ask(dir.path(), json!({"kind": "documents", "texts": texts})).await.unwrap();
    let known =
        texts.iter().zip(answers.as_array().unwrap()).filter(|(_, answer)| answer["value"].is_object());
    let known: Vec<(&String, &Value)> = known.collect();
    assert!(known.len() > texts.len() / 2, "most of them are values");
    fs::create_dir(dir.path().join("group_vars")).unwrap();
    let mut ini = String::new();
    for (i, (text, _)) in known.iter().enumerate() {
        writeln!(ini, "[g{i}]").unwrap();
        fs::write(dir.path().join(format!("group_vars/g{i}.yml")), text).unwrap();
    }
    fs::write(dir.path().join("hosts.ini"), ini).unwrap();
    let inventory = AnsibleInventory::read(&options(dir.path(), &["hosts.ini"])).await.unwrap();
    for (i, (text, answer)) in known.iter().enumerate() {
        let vars = &inventory.groups[format!("g{i}").as_str()].vars;
        let vars: Value = vars.iter().map(|(name, value)| (name.to_string(), Value::clone(value))).collect();
        assert_eq!(vars, answer["value"], "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    one_of(' ', "a b c d web all ungrouped").prop_map(str::to_owned)
}

/// A group that is below another or has others below. `ungrouped` is neither: where it is, Ansible loses groups of the
/// hosts that it takes out of it.
fn child() -> impl Strategy<Value = String> {
    one_of(' ', "a b c d web all").prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = String> {
    let plain = "h1 h2 h3 a localhost fe80::1 two.example.org \"quoted\" h5# h: under_ täst web1:22 [::1]:22";
    let ranges = "h[1:4] x-[a:c] x-[a:c:2].y web[01:03]:2222 10.0.0.[1:2] h[1:";
    prop_oneof![2 => one_of(' ', plain), 1 => one_of(' ', ranges)].prop_map(str::to_owned)
}

fn assignment() -> impl Strategy<Value = String> {
    let name = one_of(' ', "x y z ansible_port ansible_group_priority");
    let value = one_of(';', "1;2.5;text;True;'q r';\"[1, 2]\";;a=b;10");
    (name, value).prop_map(|(name, value)| format!("{name}={value}"))
}

fn section() -> impl Strategy<Value = String> {
    let title = name();
    let line = prop_oneof![
        12 => (host(), prop::collection::vec(assignment(), 0..3)).prop_map(|(h, vars)| format!("{h} {}", vars.join(" "))),
        1 => Just("# comment".to_owned()),
        1 => Just("  ; comment".to_owned()),
    ];
    let hosts = (title, prop::collection::vec(line, 0..4))
        .prop_map(|(t, lines)| format!("[{t}]\n{}\n", lines.join("\n")));
    let vars = (name(), prop::collection::vec(assignment(), 0..3))
        .prop_map(|(t, lines)| format!("[{t}:vars]\n{}\n", lines.join("\n")));
    let children = (child(), prop::collection::vec(child(), 0..3))
        .prop_map(|(t, lines)| format!("[{t}:children] # below\n{}\n", lines.join("\n")));
    prop_oneof![5 => hosts, 2 => vars, 2 => children]
}

fn ini() -> impl Strategy<Value = String> {
    let head = prop_oneof![Just(String::new()), host().prop_map(|h| format!("{h}\n"))];
    (head, prop::collection::vec(section(), 0..8)).prop_map(|(head, sections)| head + &sections.concat())
}

/// A group of a YAML inventory and what is below it.
fn group(depth: u32) -> BoxedStrategy<Value> {
    let value =
        prop::sample::select(vec![json!(1), json!("t"), json!(null), json!([1, {"k": 2.5}]), json!(true)]);
    let vars = prop::collection::btree_map("[xyz]", value, 0..3).prop_map(|vars| json!(vars));
    let hosts = prop::collection::vec((host(), prop_oneof![Just(json!(null)), vars.clone()]), 0..4)
        .prop_map(|hosts| hosts.into_iter().collect::<serde_json::Map<_, _>>().into());
    let hosts = prop_oneof![4 => hosts, 1 => Just(json!("lonely")), 1 => Just(json!(null))];
    let children = if depth == 0 {
        Just(json!(null)).boxed()
    } else {
        let below = prop::collection::vec((child(), prop_oneof![Just(json!(null)), group(depth - 1)]), 0..3);
        below.prop_map(|groups| groups.into_iter().collect::<serde_json::Map<_, _>>().into()).boxed()
    };
    (hosts, vars, children)
        .prop_map(|(hosts, vars, children)| json!({"hosts": hosts, "vars": vars, "children": children}))
        .boxed()
}

/// Reads a file with both, and compares. Gives ours where both can read it.
async fn compare(oracle: &mut Oracle, dir: &Path, file: &str, text: &str) -> Option<AnsibleInventory> {
    fs::write(dir.join(file), text).unwrap();
    let ours = AnsibleInventory::read(&options(dir, &[file])).await;
    let theirs = oracle.ask(dir, json!({"kind": "list", "sources": [file]})).await;
    match (ours, theirs) {
        (Ok(ours), Ok(mut theirs)) => {
            theirs["_meta"].as_object_mut().unwrap().remove("profile");
            let difference = difference(&ours.list(), &theirs, "");
            assert!(difference.is_empty(), "{text}\n{difference}");
            Some(ours)
        }
        (Err(_), Err(_)) => None,
        (ours, theirs) => panic!("{text}\nours: {:?}\ntheirs: {theirs:?}", ours.map(|i| i.list())),
    }
}

#[tokio::test]
async fn generated_ini_inventories_read_as_ansible_reads_them() {
    let Some(mut oracle) = Oracle::start("generated_ini_inventories_read_as_ansible_reads_them").await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut read = 0;
    for text in samples(ini(), 150) {
        read += usize::from(compare(&mut oracle, dir.path(), "hosts.ini", &text).await.is_some());
    }
    assert!(read > 30, "only {read} of them could be read at all");
}

#[tokio::test]
async fn generated_yaml_inventories_read_as_ansible_reads_them() {
    let Some(mut oracle) = Oracle::start("generated_yaml_inventories_read_as_ansible_reads_them").await
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let roots = prop::collection::vec((child(), group(2)), 1..3);
    let mut read = 0;
    for groups in samples(roots, 80) {
        // Over several lines: what is wrong as YAML must not be taken for the name of one strange host in an INI file.
        let groups: serde_json::Map<_, _> = groups.into_iter().collect();
        let text = serde_json::to_string_pretty(&groups).unwrap();
        read += usize::from(compare(&mut oracle, dir.path(), "hosts.json", &text).await.is_some());
    }
    assert!(read > 20, "only {read} of them could be read at all");
}

fn pattern() -> impl Strategy<Value = String> {
    let names = "all a b web web1 h1 ungrouped localhost 127.0.0.1 ::1 fe80::1 web1:22 none two.example.org";
    let globs = "* h* web* *e* [ab] x-? x-[a-c] ~h[12] ~(a|web) ~.* ~h(?!1) ~( 10.* h[!1]";
    let word = prop_oneof![one_of(' ', names), one_of(' ', globs), Just("")];
    let subscript = one_of(' ', "    [0] [-1] [7] [0:1] [1:] [1-2] [0:0] [2:1]");
    let term = (one_of(' ', "   & !"), word, subscript);
    let term = term.prop_map(|(sign, word, subscript)| format!("{sign}{word}{subscript}"));
    let separator = one_of('|', ":|,|, ");
    (separator, prop::collection::vec(term, 1..4)).prop_map(|(separator, terms)| terms.join(separator))
}

#[tokio::test]
async fn patterns_select_what_they_select_in_ansible() {
    let Some(mut oracle) = Oracle::start("patterns_select_what_they_select_in_ansible").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut compared = 0;
    let patterns = samples(pattern(), 60 * 40);
    for (text, patterns) in samples(ini(), 60).into_iter().zip(patterns.chunks(40)) {
        fs::write(dir.path().join("hosts.ini"), &text).unwrap();
        let Ok(inventory) = AnsibleInventory::read(&options(dir.path(), &["hosts.ini"])).await else {
            continue;
        };
        let question = json!({"kind": "select", "sources": ["hosts.ini"], "patterns": patterns});
        let answers = oracle.ask(dir.path(), question).await.unwrap();
        for (pattern, theirs) in patterns.iter().zip(answers.as_array().unwrap()) {
            let ours =
                inventory.select(pattern).map_or(Value::Null, |hosts| hosts.iter().map(|h| &**h).collect());
            assert_eq!(&ours, theirs, "{pattern} on\n{text}");
            compared += 1;
        }
    }
    assert!(compared > 500, "only {compared} patterns were compared");
}
