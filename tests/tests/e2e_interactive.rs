//! `hostler run --interactive`, with a person at a terminal.

use e2e::{Fleet, Terminal};

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_interactive_run_is_a_shell_on_each_node_in_turn() {
    let fleet = Fleet::start(2).await;
    let dir = fleet.path().display().to_string();
    let args = ["run", "--all", "--interactive", "--fleet-dir", &dir];
    let mut terminal = Terminal::start(&fleet.cli(), &args, (31, 97));

    terminal.see("a shell on local (1 of 3)").await;
    terminal.type_in("echo $((6 * 7)); stty size; exit 3\n");
    terminal.see("42\r\n31 97\r\n").await;

    // Every key reaches the next one, though another program had the keyboard before.
    terminal.see("a shell on web1 (2 of 3)").await;
    terminal.type_in("cat ~/name; stty size\n");
    terminal.see("web1\r\n31 97\r\n").await;
    terminal.resize(20, 60);
    terminal.type_in("sleep 1; stty size\n");
    terminal.see("20 60\r\n").await;
    terminal.type_in("echo on\"\"ward; exit\n");
    terminal.see("onward\r\n").await;

    terminal.see("a shell on web2 (3 of 3)").await;
    terminal.type_in("cat ~/name\n");
    terminal.see("web2\r\n").await;
    terminal.type_in("\n~.");
    assert_eq!(terminal.end().await, 0, "how the shells ended does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_interactive_run_goes_on_where_a_node_is_down() {
    let fleet = Fleet::start(2).await;
    fleet.write_inventory(&[("web1", "ssh_port: 1")]);
    let dir = fleet.path().display().to_string();
    let args = ["run", "--node", "/web/", "--interactive", "--fleet-dir", &dir];
    let mut terminal = Terminal::start(&fleet.cli(), &args, (24, 80));
    terminal.see("a shell on web2 (2 of 2)").await;
    terminal.type_in("cat ~/name; exit\n");
    terminal.see("web2\r\n").await;
    assert_eq!(terminal.end().await, 8);
    let nobody = fleet.run(&["run", "--all", "--interactive"]).await.fails(2);
    assert!(nobody.contains("no terminal"), "{nobody}");
}
