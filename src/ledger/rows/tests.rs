//! Rows come back as they were written, and their checksums notice any damage.

use std::fmt::Debug;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

/// Checks that a row comes back, that a field of another type is refused, and that the checksum is this one and depends on
/// all columns but these.
#[track_caller]
fn check<R: Record + Debug>(row: &R, sum: u32, not_covered: &[&str]) {
    let read = |fields: Vec<Field>| R::of(&mut Fields::from(fields));
    let fields = row.fields();
    assert_eq!(fields.len() + 1, R::TABLE.columns.len());
    let same = read(fields.clone()).unwrap();
    assert_eq!((format!("{same:?}"), same.sum()), (format!("{row:?}"), sum));
    for (n, (name, _)) in R::TABLE.columns[..fields.len()].iter().enumerate() {
        let mut changed = fields.clone();
        let field = &mut changed[n];
        match field {
            Field::Number(number) => *number ^= 1,
            Field::Text(text) => text.push('x'),
            Field::Bytes(bytes) => bytes.push(0),
            Field::None => *field = "x".into(),
        }
        let is_noticed = read(changed.clone()).is_none_or(|row| row.sum() != sum);
        assert_eq!(is_noticed, !not_covered.contains(name), "`{name}` was changed");
        changed[n] = match fields[n] {
            Field::Bytes(_) => 1_u64.into(),
            _ => b"x".as_slice().into(),
        };
        assert!(read(changed).is_none(), "`{name}` has another type");
    }
}

/// The sums are part of the format: with others, ledgers that were written before would be refused as damaged.
#[test]
fn rows_come_back_and_their_checksums_cover_every_column() {
    check(&LedgerState { identity: 1, merged: 2, expired: 3 }, 0x699b_8fc8, &["id"]);
    check(&TargetRow { id: 1, base_url: "https://a.example/".into(), users: "id".into() }, 0x2236_018a, &[]);
    let attribute = AttributeRow { id: 1, target: 2, name: "city".into(), parts: 3, generation: 4, facts: 5 };
    check(&attribute, 0x0c9b_56e0, &[]);
    let heading = EntryHeader { entry: 1, run: 2, attribute: 3, at: at(4), facts: 5 };
    check(&heading, 0xf605_7267, &[]);
    // The heading's own checksum is compared where headings are read.
    check(&JournalEntry { heading, groups: vec![1, 2] }, 0x0ae1_5741, &["heading"]);
    check(&PriorPart { id: 1, run: 2, attribute: 3, groups: vec![1] }, 0x29f2_36ab, &["id"]);
    let doubt = Doubt { id: 1, run: 2, target: 3, attribute: "city".into(), facts: 4, groups: vec![1] };
    check(&doubt, 0xc9cf_7106, &[]);
    let part = KnownPart { attribute: &attribute, part: 9, groups: vec![1, 2] };
    assert_eq!((part.sum(), part.place()), (0x26bd_ebfd, (1 << 32) + 9));
}

#[test]
fn a_run_comes_back_before_and_after_its_end() {
    let mut run = RunRow {
        id: 1,
        target: 2,
        continues: 3,
        begun: 4,
        after: 5,
        started: at(6),
        settings: "settings".into(),
        inputs: "[]".into(),
        content: "content".into(),
        ending: None,
    };
    // A time, or a part of an ending alone, is refused.
    check(&run, 0x5485_3c10, &[]);
    run.ending = Some(RunEnd { at: at(7), outcome: "complete".into(), rows: "{}".into() });
    check(&run, 0x02f5_3b27, &[]);
}

#[test]
fn a_reading_comes_back_with_its_flags_and_its_cursor() {
    let mut pull = PullRow {
        run: 1,
        begun: 2,
        last: 3,
        started: at(4),
        custom: true,
        complete: false,
        next: Some("c".into()),
        pages: 5,
        users: 6,
    };
    check(&pull, 0x4f2a_7e9f, &[]);
    for (custom, complete) in [(false, true), (true, true), (false, false)] {
        (pull.custom, pull.complete, pull.next) = (custom, complete, None);
        check(&pull, pull.sum(), &[]);
    }
}

#[test]
fn a_ledger_has_an_identity_of_its_own() {
    let [one, other] = [LedgerState::new(), LedgerState::new()];
    assert_ne!(one.identity, other.identity);
    // SQLite's and PostgreSQL's numbers have a sign.
    assert!(i64::try_from(one.identity).is_ok() && i64::try_from(other.identity).is_ok());
}

#[test]
fn a_run_has_all_of_its_end_or_nothing() {
    let run = RunRow {
        id: 1,
        target: 1,
        continues: 0,
        begun: 0,
        after: 0,
        started: Timestamp::UNIX_EPOCH,
        settings: String::new(),
        inputs: String::new(),
        content: String::new(),
        ending: None,
    };
    let end = |finished, outcome: Option<&str>, rows: Option<&str>| {
        let mut fields = run.fields();
        fields.splice(9.., [Field::Number(finished), outcome.into(), rows.into()]);
        RunRow::of(&mut fields.into()).map(|run| run.ending.is_some())
    };
    assert_eq!(end(0, None, None), Some(false));
    assert_eq!(end(5, Some("complete"), Some("{}")), Some(true));
    assert_eq!(end(5, None, None), None);
    assert_eq!(end(5, Some("complete"), None), None);
    assert_eq!(end(5, None, Some("{}")), None);
}
