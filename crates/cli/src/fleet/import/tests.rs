use super::{carry, text};
use fleet::{
    deploy::{Schedule, Section},
    nodetest::Declared,
    ruby::Statement,
};
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

#[test]
fn what_nodes_should_be_like_is_carried() {
    let web: &[&[&str]] = &[&["service:web"]];
    let said = [
        about(web, 1, "check_opened_ports", &json!([22, [80, 443]])),
        statement(2, "check_files_do_not_exist", &json!(["/root/x", "/tmp.*/"])),
        statement(3, "check_files_do_exist", &json!([["/root/y"]])),
        statement(4, "check_mounts_do_include", &json!([{"/dev/sda1": "/"}])),
        statement(5, "check_mounts_do_not_include", &json!([{"(?-mix:nas)": "/mnt"}])),
        about(web, 6, "expect_tests_to_fail", &json!([["connection", "spectre"], "old"])),
        about(web, 7, "deployment_schedule", &json!([{"every": "day", "at": "04:00:00", "seconds": 3000}])),
        statement(
            8,
            "deployment_schedule",
            &json!([{"every": ["monday", "Sunday"], "at": "04:30", "seconds": 60}]),
        ),
        statement(9, "deployment_schedule", &json!([{"$code": "IceCube"}])),
        about(web, 10, "retry_deploy_for_errors_on_stdout", &json!(["lost (again)", "/go+ne/"])),
        statement(11, "retry_deploy_for_errors_on_stderr", &json!([["/(?<!x)y/"]])),
        statement(12, "os_image", &json!(["debian", "/fleet/images/debian"])),
        statement(13, "tests_provisioner", &json!(["docker"])),
        statement(14, "tests_provisioner", &json!(["proxmox"])),
        statement(15, "ignore_divergent_tasks", &json!([{"Install": "always"}])),
    ];
    let (document, left) = carry::carry(&said, Path::new("/fleet"), None);
    let text = text(&document, &left).unwrap();
    // It is read as it is meant.
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    serde_json::from_value::<Declared>(file["tests"].clone()).unwrap();
    serde_json::from_value::<Section>(file["deploy"].clone()).unwrap();
    serde_json::from_value::<Vec<Schedule>>(file["schedules"].clone()).unwrap();
    insta::assert_snapshot!(text);
}
