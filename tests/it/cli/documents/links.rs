//! Links between the documents lead somewhere.

use std::collections::BTreeSet;
use std::fs;

use super::super::project;
use super::Page;

/// What a text links to, except on the web.
fn targets(text: &str) -> Vec<&str> {
    let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let html = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    markdown.chain(html).filter(|target| !target.contains("://")).collect()
}

/// The anchors of its headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if !in_block && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

/// What is outside of blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = Page::all().into_iter().chain(["CONTRIBUTING.md", "CHANGELOG.md"].map(Page::open));
    let (mut offences, mut checked) = (Vec::new(), 0);
    for page in pages {
        for target in targets(&prose(&page.text)) {
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.path.clone() } else { page.path.with_file_name(file) };
            let Ok(text) = fs::read(&path) else {
                offences.push(format!("{}: {target}: no such file", page.name()));
                continue;
            };
            if !anchor.is_empty() && !anchors(&String::from_utf8_lossy(&text)).contains(anchor) {
                offences.push(format!("{}: {target}: no such heading", page.name()));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
    assert!(checked > 30, "{checked} links");
}

#[test]
fn every_path_between_backticks_is_there() {
    const FOLDERS: [&str; 8] =
        ["src/", "tests/", "docs/", "benches/", "fuzz/", "fixtures/", "packaging/", ".ci/"];
    let pages = Page::all().into_iter().chain([Page::open("CONTRIBUTING.md")]);
    let mut checked = 0;
    for page in pages {
        let prose = prose(&page.text);
        let spans = prose.split('`').skip(1).step_by(2);
        for path in spans.filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder))) {
            let is_there = path.contains(['*', ' ']) || project(path).exists();
            assert!(is_there, "{}: `{path}`: no such file", page.name());
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} paths");
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    for page in Page::all() {
        let link = format!("({})", page.name());
        assert!(page.name() == "README.md" || readme.contains(&link), "{}", page.name());
    }
}

#[test]
fn anchors_are_those_of_github() {
    let text =
        "# A page\n## What it changes, and what it can't undo\n```sh\n# a comment\n```\n### `failures.csv`\n";
    let expected = ["a-page", "what-it-changes-and-what-it-cant-undo", "failurescsv"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
}
