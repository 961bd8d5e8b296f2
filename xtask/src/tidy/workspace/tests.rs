use super::*;

#[test]
fn files_are_read_except_those_made_by_tools() {
    let root = tempfile::tempdir().unwrap();
    let paths = ["Cargo.toml", "Cargo.lock", "crates/core/src/lib.rs", "web/console/main.tsx", "logo.png"];
    let left_out = ["target/debug/x.rs", "web/node_modules/x/index.ts", "web/dist/x.js", ".git/x.toml"];
    for path in paths.iter().chain(&left_out) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }

    let mut workspace = Workspace::default();
    workspace.read_folder(root.path(), "").unwrap();
    let found: Vec<&str> = workspace.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(found, ["Cargo.lock", "Cargo.toml", "crates/core/src/lib.rs", "web/console/main.tsx"]);
}

#[test]
fn dependencies_of_tests_are_left_out_of_the_graph() {
    let json = r#"{
        "workspace_root": "/clone",
        "workspace_members": ["path+core"],
        "packages": [
            {"id": "path+core", "name": "switchboard-core", "manifest_path": "/clone/crates/core/Cargo.toml"},
            {"id": "registry+serde", "name": "serde", "manifest_path": "/home/registry/serde/Cargo.toml"}
        ],
        "resolve": {"nodes": [
            {"id": "registry+serde", "deps": []},
            {"id": "path+core", "deps": [
                {"pkg": "registry+serde", "dep_kinds": [{"kind": "dev"}, {"kind": null}, {"kind": "build"}]}
            ]}
        ]}
    }"#;
    let mut workspace = Workspace::default();
    workspace.read_metadata(json.as_bytes()).unwrap();

    let core = &workspace.packages["path+core"];
    assert_eq!((core.name.as_str(), core.folder.as_deref()), ("switchboard-core", Some("crates/core")));
    let edges: Vec<(&str, bool)> =
        core.dependencies.iter().map(|edge| (edge.id.as_str(), edge.for_build_script)).collect();
    assert_eq!(edges, [("registry+serde", false), ("registry+serde", true)]);
    assert_eq!(workspace.packages["registry+serde"].folder, None);
}

#[test]
fn metadata_of_another_shape_is_an_error() {
    for json in ["", "{}", r#"{"workspace_root": "/", "workspace_members": [], "packages": [{}]}"#] {
        assert!(Workspace::default().read_metadata(json.as_bytes()).is_err(), "{json}");
    }
}
