//! Services and units on real supervisors: systemd as the first process, and OpenRC.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Machines;
use testkit::hosts;

const UNIT: &str = r#"
steps:
  - directory: {path: /srv/app}
  - file: {path: /srv/app/conf, content: "{{ word }}\n"}
    notify: anew
  - systemd_unit:
      name: app.service
      enabled: true
      state: started
      content: |
        [Service]
        Environment=COLOUR={{ colour }}
        ExecStartPre=sh -c 'echo $$(cat /srv/app/conf) $COLOUR >>/srv/app/started'
        ExecStart=sleep 1000
        [Install]
        WantedBy=basic.target
    notify: anew
handlers:
  anew: {restart: app.service}
defaults: {word: one, colour: red}
"#;

/// What the application wrote each time it began.
async fn begun(machines: &Machines) -> String {
    machines.host("web1").run("cat /srv/app/started").await.unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_units_are_written_read_enabled_started_and_restarted_by_systemd() {
    if let Some(reason) = hosts::missing().await {
        let name = "e2e_units_are_written_read_enabled_started_and_restarted_by_systemd";
        return e2e::skip(name, &reason);
    }
    let mut machines = Machines::start(&["web1"], &[]).await;
    machines.boot_systemd().await;
    let host = machines.host("web1");
    machines.inventory(&[("web1", &["app"])]).await;
    machines.write("services/app/service.yaml", UNIT);

    let told = machines.settle("web1", 3).await;
    let titles = [
        "Create file /etc/systemd/system/app.service",
        "Enable service app.service",
        "Start service app.service",
        "Restart service app.service",
    ];
    for title in titles {
        assert!(told.iter().any(|line| line == title), "no {title} in {told:?}");
    }
    assert_eq!(begun(&machines).await, "one red\none red\n");
    let states = "systemctl is-enabled app; systemctl is-active app";
    assert_eq!(host.run(states).await.unwrap().stdout, "enabled\nactive\n");

    // What it reads changes: it is restarted, once.
    machines.write("services/app/service.yaml", &UNIT.replace("word: one", "word: two"));
    machines.settle("web1", 1).await;
    assert_eq!(begun(&machines).await, "one red\none red\ntwo red\n");

    // The unit changes: systemd knows of it before the restart.
    machines.write("services/app/service.yaml", &UNIT.replace("colour: red", "colour: blue"));
    machines.settle("web1", 2).await;
    assert!(begun(&machines).await.ends_with("one blue\n"));

    // What somebody did by hand.
    host.run("touch /etc/systemd/system/app.service").await.unwrap();
    let told = machines.settle("web1", 1).await;
    assert_eq!(told, ["Reload systemd for app.service", "Restart service app.service"]);
    host.run("systemctl disable --now app").await.unwrap();
    let told = machines.settle("web1", 1).await;
    assert_eq!(
        (told[0].as_str(), told[3].as_str()),
        ("Enable service app.service", "Start service app.service")
    );
    assert_eq!(begun(&machines).await.lines().count(), 7);

    let stopped = "steps: [{service: {name: app, state: stopped, enabled: false}}]\n";
    machines.write("services/app/service.yaml", stopped);
    machines.settle("web1", 1).await;
    assert_eq!(host.run(&format!("{states} || true")).await.unwrap().stdout, "disabled\ninactive\n");

    host.run("rm /etc/systemd/system/app.service && systemctl mask app").await.unwrap();
    for (name, why) in [("nosuch", "systemd knows no service 'nosuch'"), ("app", "the service app is masked")]
    {
        let text = format!("steps: [{{service: {{name: {name}, state: started}}}}]\n");
        machines.write("services/app/service.yaml", &text);
        let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
        assert!(said.contains(why), "{said}");
    }
}

const SCRIPT: &str = r#"
steps:
  - directory: {path: /srv/app}
  - file: {path: /srv/app/conf, content: "{{ word }}\n"}
    notify: anew
  - file:
      path: /etc/init.d/app
      mode: "0755"
      content: |
        #!/sbin/openrc-run
        command=/bin/sleep
        command_args=1000
        command_background=true
        pidfile=/run/app.pid
        start_pre() { cat /srv/app/conf >>/srv/app/started; }
  - service: {name: app, state: STATE, enabled: ENABLED}
handlers:
  anew: {restart: app}
defaults: {word: one}
"#;

fn script(state: &str, enabled: &str) -> String {
    SCRIPT.replace("STATE", state).replace("ENABLED", enabled)
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_services_are_enabled_started_and_restarted_by_openrc() {
    let name = "e2e_services_are_enabled_started_and_restarted_by_openrc";
    if let Some(reason) = hosts::missing().await {
        return e2e::skip(name, &reason);
    }
    let packages = match e2e::unpacked_packages("openrc") {
        Ok(packages) => packages,
        Err(reason) => return e2e::skip(name, &reason),
    };
    let machines = Machines::start(&["web1"], &[&packages]).await;
    let host = machines.host("web1");
    host.start_openrc(&packages).await.unwrap();
    machines.inventory(&[("web1", &["app"])]).await;
    machines.write("services/app/service.yaml", &script("started", "true"));
    let told = machines.settle("web1", 4).await;
    assert!(
        ["Enable service app", "Start service app"].iter().all(|t| told.iter().any(|line| line == t)),
        "{told:?}"
    );
    assert_eq!(begun(&machines).await, "one\none\n");
    let states = "rc-service -q app status && echo /etc/runlevels/*/app";
    assert_eq!(host.run(states).await.unwrap().stdout.lines().last(), Some("/etc/runlevels/default/app"));

    machines.write("services/app/service.yaml", &script("started", "true").replace("word: one", "word: two"));
    machines.settle("web1", 1).await;
    assert_eq!(begun(&machines).await, "one\none\ntwo\n");

    // Wherever it is enabled, it is not afterwards.
    host.run("rc-update add app boot").await.unwrap();
    machines
        .write("services/app/service.yaml", &script("stopped", "false").replace("word: one", "word: two"));
    machines.settle("web1", 1).await;
    assert_eq!(
        host.run("ls /run/openrc/started; echo /etc/runlevels/*/app").await.unwrap().stdout,
        "/etc/runlevels/*/app\n"
    );

    machines.write("services/app/service.yaml", "steps: [{service: {name: nosuch, state: started}}]\n");
    let said = machines.hostler(&["check", "--node", "web1"]).await.fails(1);
    assert!(said.contains("openrc knows no service 'nosuch'"), "{said}");
}
