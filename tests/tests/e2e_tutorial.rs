//! The tutorial of Hybrid Platforms Conductor on ten hosts with an sshd, a web server, a name and an address of their own:
//! each command of its third chapter as it is printed there, and again with an inventory and services of ours.

#![allow(clippy::expect_used)] // what is not as it must be ends the test

mod tutorial_support;

use std::{fs, path::PathBuf};
use tutorial_support::{
    Scene,
    chapter::{Entry, entries},
};

/// What the second chapter leaves behind, in our words: a fleet of one local node with one service.
const SECOND_CHAPTER: &str = include_str!("tutorial_support/second_chapter.sh");

/// The third chapter once more, with what is ours.
const NATIVE: &str = include_str!("tutorial_support/native.md");

/// The chapter, where it is: a stranger's clone has none.
fn chapter() -> Result<String, String> {
    #[allow(clippy::disallowed_methods)] // how the test command tells where things are
    let named = std::env::var_os("HOSTLER_TEST_TUTORIAL").map(PathBuf::from);
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/seeds/003_b5101eefbbba581f.txt");
    let path = named.unwrap_or_else(|| usual.into());
    fs::read_to_string(&path).map_err(|e| format!("the tutorial is not at {}: {e}", path.display()))
}

#[test]
fn the_chapter_is_understood() {
    let text = "x\n```bash\n# Make it\ncat <<EOF >f\n# no comment\n\nEOF\n\ncat f\n# =>\n# no comment\n#\nls\n# f\n\n# More\na\nb\n# => c\n```\ny\n";
    let entry = |lines: &str, printed: &[&str]| Entry {
        lines: lines.to_owned(),
        printed: printed.iter().map(|p| (*p).to_owned()).collect(),
    };
    let expected = [
        entry("cat <<EOF >f\n# no comment\n\nEOF\ncat f\n", &["no comment", ""]),
        entry("ls\n", &["f"]),
        entry("a\nb\n", &["c"]),
    ];
    assert_eq!(entries(text), expected);
}

/// Stands for Docker: the hosts are there already, and have addresses.
const DOCKER: &str = r#"
docker() {
  [[ "$1 $2" != "container inspect" ]] || awk -v name="${!#}.hpc_tutorial.org" '$2 == name { print $1 }' /run/addresses
}
mv /etc/hosts /run/addresses 2>/dev/null || cp /etc/hosts /run/addresses
grep localhost /run/addresses >/etc/hosts
"#;

#[tokio::test]
async fn e2e_the_tutorial_as_it_is_printed() {
    const NAME: &str = "e2e_the_tutorial_as_it_is_printed";
    let text = match chapter() {
        Ok(text) => text,
        Err(reason) => return e2e::skip(NAME, &reason),
    };
    let Some(mut scene) = Scene::start(NAME, "hpc_tutorial.org").await else { return };
    scene.type_in(SECOND_CHAPTER).await;
    scene.type_in(DOCKER).await;
    let program = e2e::binary();
    let program = program.display();
    scene
        .type_in(&format!("{program} fleet import && {program} fleet links bin && ./bin/deploy --node local"))
        .await;
    for entry in entries(&text) {
        if entry.lines.contains("docker run") {
            let image = "/root/hpc_tutorial/web_docker_image";
            scene.admit(&scene.file(&format!("{image}/hpc_root.key.pub")));
            scene.serve(&scene.file(&format!("{image}/hello_world.txt"))).await;
        }
        scene.play(&entry).await;
    }
}

#[tokio::test]
async fn e2e_the_tutorial_with_services_and_an_inventory_of_ours() {
    const NAME: &str = "e2e_the_tutorial_with_services_and_an_inventory_of_ours";
    let Some(mut scene) = Scene::start(NAME, "example.org").await else { return };
    scene.serve(b"Hello World!\n").await;
    let program = e2e::binary();
    let dir = program.parent().expect("the program is in a directory");
    scene.type_in(&format!("PATH=$PATH:{}", dir.display())).await;
    for entry in entries(NATIVE) {
        scene.play(&entry).await;
    }
}
