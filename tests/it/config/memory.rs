//! How much memory planning may take, and where the rest goes.

use std::path::Path;

use super::Place;

#[test]
fn planning_takes_half_of_the_memory_there_is() {
    let with = |memory| {
        let mut place = Place::ready();
        place.environment.memory = memory;
        place.settings(&[]).input.resources.memory
    };
    assert_eq!(with(Some(8_000_000_000)), 4_000_000_000);
    assert_eq!(with(None), 1_000_000_000);
    assert_eq!(with(Some(20_000_000)), 16_000_000, "the least that it can do with");
}

#[test]
fn planning_takes_what_it_is_told_even_if_there_is_less() {
    let memory = |flag: &str| Place::ready().settings(&[flag]).input.resources.memory;
    assert_eq!(memory("--memory=16MB"), 16_000_000);
    assert_eq!(memory("--memory=64GiB"), 64 << 30);
    assert_eq!(Place::bare().plan(&["--memory=1g"]).unwrap().input.resources.memory, 1_000_000_000);
}

#[test]
fn too_little_memory_is_refused_with_the_least_there_must_be() {
    let too_little = "`15MB` is too little memory to plan with: write at least `16MB`";
    for (key, place) in [
        ("ATTRSYNC_MEMORY", Place::ready().variable("ATTRSYNC_MEMORY", "15MB")),
        ("attrsync.toml:1: memory", Place::ready().file("attrsync.toml", "memory = '15MB'")),
    ] {
        assert_eq!(place.error(&[]), format!("{key}: {too_little}"));
    }
    let no_unit = Place::ready().file("attrsync.toml", "memory = 512000000").error(&[]);
    assert!(no_unit.starts_with("attrsync.toml:1: memory: `512000000` is not a size: "), "{no_unit}");
}

#[test]
fn temporary_files_go_where_the_system_has_them_or_where_they_are_told_to() {
    assert_eq!(
        Place::ready().settings(&[]).input.resources.temp_dir.as_deref(),
        Some(Path::new("/system/temp"))
    );
    let place = Place::ready();
    std::fs::create_dir(place.directory.path().join("room")).unwrap();
    assert_eq!(
        place.settings(&["--temp-dir=room"]).input.resources.temp_dir.as_deref(),
        Some(Path::new("room"))
    );
    let entries = std::fs::read_dir(place.directory.path().join("room")).unwrap();
    assert_eq!(entries.count(), 0, "to try it leaves nothing behind");
}

#[test]
fn a_place_that_takes_no_temporary_files_is_refused_at_once() {
    let hint = "hint: name a directory that is there and can be written";
    assert_eq!(
        Place::ready().error(&["--temp-dir=gone"]),
        format!("--temp-dir: `gone` is not a directory\n{hint}")
    );
    let place = Place::ready().file("file", "").file("attrsync.toml", "temp_dir = 'file'");
    assert_eq!(place.error(&[]), format!("attrsync.toml:1: temp_dir: `file` is not a directory\n{hint}"));
    assert!(place.plan(&[]).is_err());
    #[cfg(target_os = "linux")]
    {
        let message = Place::ready().error(&["--temp-dir=/proc/self"]);
        assert!(message.starts_with("--temp-dir: no file can be made in `/proc/self`: "), "{message}");
    }
}
