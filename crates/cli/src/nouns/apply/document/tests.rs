use super::*;

fn one(text: &str) -> Result<Document> {
    parse("a.yaml", text, "default").map(|mut all| all.remove(0))
}

#[track_caller]
fn refused(text: &str) -> (String, String) {
    let error = one(text).unwrap_err();
    (error.field.unwrap(), error.message)
}

#[test]
fn several_documents_with_names_and_projects() {
    let text = "kind: Vm\nname: web\nspec: {image: tiny}\n---\nkind: project\nname: ci\n---\nkind: Vm\nname: db\n\
                project: ci\nspec:\n  image: tiny\n  memory: 1GiB\n";
    let all = parse("a.yaml", text, "default").unwrap();
    assert_eq!(all.iter().map(|d| d.kind).collect::<Vec<_>>(), [Kind::Vm, Kind::Project, Kind::Vm]);
    assert_eq!(all[0].key(), Key::in_project("default", "web"));
    assert_eq!(all[2].key(), Key::in_project("ci", "db"));
    let spec: NewObject<VmSpec> = all[2].typed().unwrap();
    assert_eq!(spec.spec.memory, base::ByteSize::gib(1));
}

#[test]
fn json_is_read_as_well() {
    let document =
        one("{\n\t\"kind\": \"Vm\",\n\t\"name\": \"web\",\n\t\"spec\": {\"image\": \"tiny\"}\n}").unwrap();
    assert_eq!(document.spec()["image"], "tiny");
}

#[test]
fn every_complaint_has_its_place() {
    let (at, message) = refused("kind: Vm\nname: web\nspec:\n  image: tiny\n  cpus: many\n");
    assert_eq!(at, "a.yaml:5:9");
    assert!(message.starts_with("spec.cpus: "), "{message}");

    let (at, message) = refused("kind: Vm\nname: web\nspec:\n  image: tiny\n  cpu: 2\n");
    assert_eq!(at, "a.yaml:5:8");
    assert!(message.contains("unknown field 'cpu'"), "{message}");

    let (at, message) = refused("kind: Vm\nname: web\nspec:\n  image: tiny\n  cpus: 0\n");
    assert_eq!(at, "a.yaml:5:9");
    assert!(message.contains("out of range"), "{message}");

    assert_eq!(refused("kind: Vm\nname: Web\nspec: {image: tiny}\n").0, "a.yaml:2:7");
    assert_eq!(refused("kind: Pod\nname: web\n").0, "a.yaml:1:7");
    assert_eq!(refused("kind: Vm\nname: web\nstatus: {}\nspec: {image: tiny}").0, "a.yaml:3:1");
    assert_eq!(refused("kind: Vm\nname: web\nlabels: {a: 1}\nspec: {image: tiny}").0, "a.yaml:3:13");
}

#[test]
fn broken_files_have_their_place_too() {
    let (at, _) = refused("kind: Vm\nname: [web\n");
    assert!(at.starts_with("a.yaml:"), "{at}");
    let (at, message) = refused("kind: Vm\nname: web\nname: db\n");
    assert!(at.starts_with("a.yaml:3"), "{at}: {message}");
}

#[test]
fn a_problem_of_the_server_is_placed_in_the_file() {
    let document = one("kind: Vm\nname: web\nspec:\n  image: none\n").unwrap();
    let error = Error::invalid("/spec/image", "there is no image 'none'");
    let placed = document.place(error.into()).error;
    assert_eq!(placed.field.as_deref(), Some("a.yaml:4:10"));
    assert_eq!(placed.message, "spec.image: there is no image 'none'");
}
