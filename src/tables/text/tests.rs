use super::*;

fn get(table: &TextTable, key: &str) -> Option<String> {
    table.find(Search::Exact, key).unwrap().map(|hit| hit.value)
}

fn big(word: &str) -> String {
    (0..60_000).map(|n| format!("user{n}@a.test {word}{n}@b.test\n")).collect()
}

#[test]
fn a_small_table_follows_its_file_and_survives_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("virtusers");
    let table = TextTable::new(path.clone(), Kind::Virtusers);
    assert_eq!(get(&table, "joe@a.test"), None);
    std::fs::write(&path, "Joe@A.test bob\n").unwrap();
    assert_eq!(get(&table, "joe@a.test").as_deref(), Some("bob"));
    assert_eq!(table.line_of("joe@a.test"), Some(1));
    std::fs::write(&path, "joe@a.test\n").unwrap();
    assert_eq!(get(&table, "joe@a.test").as_deref(), Some("bob"));
    assert!(table.check().is_err());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(get(&table, "joe@a.test").as_deref(), Some("bob"));
    std::fs::write(&path, "joe@a.test carol\n").unwrap();
    assert_eq!(get(&table, "joe@a.test").as_deref(), Some("carol"));
    assert!(!table.inner.compiled().exists());
}

#[test]
fn a_table_with_a_mistake_at_the_start_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("routes");
    std::fs::write(&path, "a.b esmtp:x\na.B esmtp:y\n").unwrap();
    let error = TextTable::new(path, Kind::Routes).find(Search::Domain, "a.b").unwrap_err().to_string();
    assert!(error.contains("routes:2:1: a.B is there twice"), "{error}");
}

#[test]
fn a_big_table_is_compiled_and_made_anew_when_its_text_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("virtusers");
    std::fs::write(&path, big("x")).unwrap();
    let table = TextTable::new(path.clone(), Kind::Virtusers);
    assert_eq!(get(&table, "user7@a.test").as_deref(), Some("x7@b.test"));
    assert!(matches!(*table.inner.current().unwrap(), Store::Compiled(_)));
    // Another process opens what is there: it is not made again.
    let made = Identity::of(&table.inner.compiled()).unwrap();
    let other = TextTable::new(path.clone(), Kind::Virtusers);
    assert_eq!(get(&other, "user59999@a.test").as_deref(), Some("x59999@b.test"));
    assert_eq!(Identity::of(&table.inner.compiled()).unwrap(), made);
    std::fs::write(&path, big("yy")).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while get(&table, "user7@a.test").as_deref() != Some("yy7@b.test") {
        assert!(std::time::Instant::now() < deadline, "the old table is still in force");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::fs::write(&path, "user7@a.test z@b.test\n").unwrap();
    assert_eq!(get(&table, "user7@a.test").as_deref(), Some("z@b.test"));
    assert_eq!(table.compile().unwrap(), None);
    assert!(!table.inner.compiled().exists());
}

#[test]
fn a_torn_or_foreign_compiled_form_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("virtusers");
    std::fs::write(&path, big("x")).unwrap();
    let table = TextTable::new(path.clone(), Kind::Virtusers);
    table.compile().unwrap().unwrap();
    let bytes = std::fs::read(table.inner.compiled()).unwrap();
    std::fs::write(table.inner.compiled(), &bytes[..bytes.len() / 2]).unwrap();
    let fresh = TextTable::new(path.clone(), Kind::Virtusers);
    assert_eq!(get(&fresh, "user7@a.test").as_deref(), Some("x7@b.test"));
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(table.inner.compiled(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let identity = Identity::of(&path).unwrap().unwrap();
    assert!(table.inner.open(&identity).is_none());
}

#[test]
fn access_knows_whether_it_has_friends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access");
    let table = TextTable::new(path.clone(), Kind::Access);
    std::fs::write(&path, "From:a.test REJECT\n").unwrap();
    assert_eq!(table.find(Search::Access, "spam:").unwrap(), None);
    std::fs::write(&path, "From:a.test REJECT\nSpam:abuse@ FRIEND\n").unwrap();
    assert!(table.find(Search::Access, "spam:").unwrap().is_some());
}

#[test]
fn networks_are_found_in_memory_and_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access");
    let rows =
        "Connect:192.0.2.0/24 REJECT\nConnect:192.0.2.64/26 OK\n10.0.0.0/8 RELAY\nConnect:IPv6:2001:db8::/32 REJECT\n";
    for is_compiled in [false, true] {
        let ballast = if is_compiled { "# nothing\n".repeat(HELD_LIMIT as usize / 10) } else { String::new() };
        std::fs::write(&path, rows.to_string() + &ballast).unwrap();
        let table = TextTable::new(path.clone(), Kind::Access);
        assert_eq!(table.compile().unwrap().is_some(), is_compiled);
        for (address, wanted) in [
            ("192.0.2.1", Some("REJECT")),
            ("[192.0.2.1]", Some("REJECT")),
            ("192.0.2.65", Some("OK")),
            ("192.0.3.1", None),
            ("10.200.0.1", Some("RELAY")),
            ("ipv6:2001:db8:7::1", Some("REJECT")),
            ("ipv6:2001:db9::1", None),
        ] {
            let hit = table.find(Search::Access, &format!("connect:{address}")).unwrap();
            assert_eq!(hit.map(|hit| hit.value).as_deref(), wanted, "{address} {is_compiled}");
        }
    }
}
