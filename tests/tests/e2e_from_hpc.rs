//! What `docs/from-hpc.md` maps, line by line: both spellings do and print the same, each word of `hpc_config.rb` becomes
//! what is promised, and what is not there yet says so.

#![allow(clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Cli, Fleet, Shell, skip};
use serde_json::Value;
use std::{fs, path::Path};
use testkit::hosts::{Network, missing};

const PAGE: &str = include_str!("../../docs/from-hpc.md");

/// A line of a table: what is written there, and here; whatever else is said about it.
struct Row {
    there: String,
    here: Option<String>,
    remark: String,
}

/// The lines of the table below a heading.
fn rows(heading: &str) -> Vec<Row> {
    let (_, below) = PAGE.split_once(heading).expect("the heading");
    let table = below.lines().skip_while(|l| !l.starts_with('|')).take_while(|l| l.starts_with('|'));
    let rows = table.skip(2).map(|line| {
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> = line.split('|').map(|c| c.trim().replace('\u{1}', "|")).collect();
        let code =
            |cell: &str| cell.strip_prefix('`').and_then(|c| c.split_once('`')).map(|(c, _)| c.to_owned());
        let (there, here) = (code(&cells[1]).expect("code"), &cells[2]);
        let remark = if here.starts_with('`') { String::new() } else { here.clone() };
        Row { there, here: code(here), remark }
    });
    let rows: Vec<Row> = rows.collect();
    assert!(!rows.is_empty(), "{heading} has no table");
    rows
}

#[tokio::test]
async fn e2e_each_word_of_a_configuration_becomes_what_the_page_says() {
    for row in rows("## Words of hpc_config.rb") {
        let home = tempfile::TempDir::new().expect("a directory");
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).expect("a file");
        write("hpc_config.rb", &format!("{}\n", row.there));
        write("more.rb", "yaml_inventory_platform path: 'more'\n");
        let cli = Cli::new(home.path());
        let answer = cli.run(&["fleet", "import", "-o", "json"]).await.json();
        let left = answer["left"].as_array().expect("a list");
        if let Some(here) = row.here {
            let expected: Value = serde_saphyr::from_str(&here).expect("YAML");
            for (section, value) in expected.as_object().expect("sections") {
                assert_eq!(answer["document"][section], *value, "{}", row.there);
            }
        } else if row.remark.starts_with("nothing") {
            assert!(left.is_empty(), "{}: {left:?}", row.there);
        } else {
            assert!(row.remark.starts_with("not yet"), "{}", row.remark);
            let place = left[0]["place"].as_str().expect("a place");
            assert_eq!((left.len(), place), (1, "hpc_config.rb:1"), "{}: {left:?}", row.there);
        }
        // What was written is a fleet.
        let platforms = answer["document"]["platforms"].as_array().expect("a list");
        for platform in platforms {
            let path = home.path().join(platform["path"].as_str().expect("a path"));
            fs::create_dir_all(path).expect("a directory");
        }
        if answer["document"].get("secrets").is_none() && !row.there.contains("web") {
            cli.run(&["report"]).await.ok();
        }
    }
}

#[tokio::test]
async fn e2e_each_test_has_the_names_that_the_page_says() {
    let fleet = Fleet::start(0).await;
    let listed = fleet.run(&["test", "--list", "-o", "name"]).await.ok();
    for row in rows("## Tests") {
        let named = fleet.run(&["test", "--test", &row.there]).await;
        let Some(here) = row.here else {
            assert!(row.remark.starts_with("not yet"), "{}", row.remark);
            assert!(named.fails(5).contains("there is no test"), "{}", row.there);
            continue;
        };
        named.ok();
        assert!(listed.lines().any(|name| name == here), "{here}\n{listed}");
    }
}

/// Two web servers and a fleet over them.
const FLEET: &str = r#"
set -e
mkdir -p ~/fleet/lab && cd ~/fleet/lab
cat >inventory.yaml <<'END'
local: {metadata: {local_node: true}, services: [tools]}
web1: {metadata: {hostname: web1.example.org}, services: [web], groups: [front]}
web2: {metadata: {hostname: web2.example.org}, services: [web]}
END
echo 'front: {}' >groups.yaml
for service in tools others web; do
  echo "def check(node) = [{ remote_bash: 'cat /tmp/$service 2>/dev/null' + ' || true' }]" >service_$service.rb
  echo "def deploy(node) = [{ remote_bash: \"echo #{node} >/tmp/$service\" }]" >>service_$service.rb
done
git init -q -b master . && git config user.name Me && git config user.email me@example.org
git add . && git commit -qm 'First version'
sed -i 's/services: .tools./services: [others]/' inventory.yaml
cd ..
printf 'hostname\nid -un\n' >commands
echo '{}' >secrets.json
printf 'connection # a remark\nfiles\n' >tests_list
echo 'yaml_inventory_platform path: %q(lab)' >hpc_config.rb
hostler fleet import
hostler fleet links bin
hostler fleet links bin
set +e
"#;

#[tokio::test]
async fn e2e_both_spellings_of_a_command_do_the_same() {
    const NAME: &str = "e2e_both_spellings_of_a_command_do_the_same";
    if let Some(reason) = missing().await {
        return skip(NAME, &reason);
    }
    let program = e2e::binary();
    let dir: &Path = program.parent().expect("the program is in a directory");
    let network = Network::start(&["web1.example.org", "web2.example.org"], &[dir]).await.expect("hosts");
    let operator = network.operator();
    let mut shell = Shell::start(operator.command("bash"), operator.root().join("run"), "/run".into());
    let ready = shell.enter(&format!("PATH=$PATH:{}\n{FLEET}", dir.display())).await;
    assert_eq!(ready.code, 0, "{}{}", ready.stdout, ready.stderr);
    for row in rows("## Programs and options") {
        let theirs = shell.enter(&format!("bin/{}", row.there)).await;
        let Some(here) = row.here else {
            assert_eq!(theirs.code, 2, "{}: {}{}", row.there, theirs.stdout, theirs.stderr);
            assert!(row.remark.starts_with("not yet") && theirs.stderr.contains(" yet"), "{}", theirs.stderr);
            continue;
        };
        let ours = shell.enter(&here).await;
        assert_eq!(
            (theirs.code, &theirs.stdout),
            (ours.code, &ours.stdout),
            "{}\n{}",
            row.there,
            theirs.stderr
        );
        // Without a terminal nobody can be asked, and there is no shell to talk to.
        let needs_terminal = here.contains("--ask-password") || here.contains("--interactive");
        let expected = if needs_terminal { 2 } else { 0 };
        assert_eq!(ours.code, expected, "{here}\n{}", ours.stderr);
    }
}
