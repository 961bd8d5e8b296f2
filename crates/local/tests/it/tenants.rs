//! A changed configuration counts without a restart, and a broken one leaves the last good one in force.

use std::{sync::Arc, time::Duration};

use switchboard_core::{ids::TenantId, ports::TenantSource};
use switchboard_local::FolderTenants;
use switchboard_testkit::{sample, world::FixedClock};
use tempfile::TempDir;

#[tokio::test]
async fn last_good_stays_in_force() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(FixedClock::new());
    let source = FolderTenants::new(folder.path().to_owned(), clock.clone());
    let json = sample::tenant_json();
    let id: TenantId = json["tenant_id"].as_str().unwrap().parse().unwrap();
    let path = folder.path().join(id.as_str()).join("config.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        clock.advance(Duration::from_secs(3));
    };
    write(&|_| {});
    let first = source.tenant(&id).await.unwrap().unwrap();
    assert_eq!(first.problem, None);

    write(&|json| json["name"] = "Another name".into());
    let second = source.tenant(&id).await.unwrap().unwrap();
    assert_ne!(first.version, second.version);

    write(&|json| json["categories"][0]["team"] = "nobody".into());
    let third = source.tenant(&id).await.unwrap().unwrap();
    assert_eq!(third.version, second.version);
    assert!(third.problem.as_ref().unwrap().contains("team `nobody` does not exist"), "{:?}", third.problem);

    write(&|_| {});
    let fourth = source.tenant(&id).await.unwrap().unwrap();
    assert_eq!((fourth.version.clone(), &fourth.problem), (first.version.clone(), &None));

    std::fs::remove_file(&path).unwrap();
    clock.advance(Duration::from_secs(3));
    assert!(source.tenant(&id).await.unwrap().is_none());
}
