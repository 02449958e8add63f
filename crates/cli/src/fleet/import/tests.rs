use super::{carry, text};
use fleet::ruby::Statement;
use serde_json::{Value, json};
use std::path::Path;

fn statement(line: u32, word: &str, arguments: &Value) -> Statement {
    about(&[], line, word, arguments)
}

fn about(nodes: &[&[&str]], line: u32, word: &str, arguments: &Value) -> Statement {
    let place = format!("/fleet/hpc_config.rb:{line}");
    serde_json::from_value(json!({"word": word, "arguments": arguments, "place": place, "nodes": nodes}))
        .unwrap()
}

#[test]
fn every_line_is_carried_or_listed() {
    let said = [
        statement(1, "platform", &json!([{"type": "yaml_inventory", "path": "/home/me/repos/lab.git"}])),
        statement(
            2,
            "platform",
            &json!([{"type": "yaml_inventory", "path": "here/../there", "name": "near"}]),
        ),
        statement(3, "platform", &json!([{"type": "yaml_inventory", "git": "git@example.org:team/far.git"}])),
        statement(4, "platform", &json!([{"type": "serverless_chef", "path": "/chef"}])),
        statement(
            5,
            "master_cmdbs",
            &json!([{"host_ip": "host_ip", "config": ["description"], "gone": "x"}]),
        ),
        statement(6, "sudo_for", &json!([{"root": "sudo -u root", "somebody": "sudo -u somebody"}])),
        statement(7, "sudo_for", &json!([{"root": "please", "somebody": "please"}])),
        statement(8, "send_logs_to", &json!(["remote_fs", "loggly"])),
        statement(9, "read_secrets_from", &json!(["cli"])),
        statement(10, "gateway", &json!(["gw", "Host gw"])),
        statement(
            12,
            "secrets_from_keepass",
            &json!([{"database": "/home/me/a.kdbx", "group_path": ["a", "b"]}]),
        ),
        statement(13, "read_secrets_from", &json!(["keepass", "thycotic"])),
        statement(14, "set_metadata", &json!([{"planet": "Mars"}])),
        about(&[&["service:web", "/prd/"]], 15, "set_metadata", &json!([{"image": "debian"}])),
        about(&[&["/prd/"], &["node:web1"]], 16, "set_metadata", &json!([{"image": "x"}])),
        statement(11, "a_word_of_a_plugin", &json!([])),
    ];
    let (document, left) = carry::carry(&said, Path::new("/fleet"), Some(Path::new("/home/me")));
    insta::assert_snapshot!(text(&document, &left).unwrap());
}
