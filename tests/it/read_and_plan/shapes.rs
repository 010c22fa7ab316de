//! Inputs of many rows, of every shape.

#![expect(clippy::format_collect, reason = "the oracle takes longer")]

use std::io::Write;

use attrsync::input::{self, IdType, ReadOptions, Vocabulary};
use attrsync::plan::{Builder, OnConflict};
use attrsync::spill::Resources;
use proptest::prelude::*;

use super::{Task, variants};

/// How users' ids lie.
#[derive(Clone, Copy, Debug)]
enum Spread {
    /// One after the other.
    Dense,
    /// Anywhere in 63 bits.
    Sparse,
    /// In some places, far from each other, many.
    Clustered,
    /// On both sides of what 32 bits hold.
    Straddling,
}

/// The shape of an input. Equal shapes make equal inputs.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: u64,
    users: u64,
    spread: Spread,
    attributes: usize,
    /// Of each attribute, at most.
    values: u64,
    /// After each time this many rows comes one that is invalid.
    noise: u64,
    seed: u64,
}

const SPREADS: [Spread; 4] = [Spread::Dense, Spread::Sparse, Spread::Clustered, Spread::Straddling];
const NAMES: [&str; 6] = ["city", "region", "custom_id", "country", "shoe", "email"];
const NOISE: [&str; 6] = [
    "\n",
    "0,city,a\n",
    "user_id,attribute,value\r\n",
    "1,city,\"a\n2,city,b\n\"\n",
    "1,city\n",
    "\"\r\n\",city,6\" pipe\n",
];

impl Shape {
    fn text(self) -> Vec<u8> {
        let mut text = Vec::new();
        for row in 0..self.rows {
            let draw = |purpose: u64, below: u64| mix(self.seed ^ row << 8 ^ purpose << 56) % below;
            let user = self.spread.id(draw(1, self.users));
            let name = NAMES[usize::try_from(draw(2, self.attributes as u64)).expect("a few")];
            let value = draw(3, self.values);
            writeln!(text, "{user},{name},v{value}").expect("memory takes all bytes");
            if draw(4, self.noise) == 0 {
                text.extend_from_slice(
                    NOISE[usize::try_from(draw(5, NOISE.len() as u64)).expect("a few")].as_bytes(),
                );
            }
        }
        text
    }

    fn task(self) -> Task {
        let options = ReadOptions { vocabulary: Vocabulary::Custom, ..ReadOptions::default() };
        Task { options, ..Task::new(&self.text()) }
    }
}

impl Spread {
    fn id(self, user: u64) -> u64 {
        match self {
            Self::Dense => 1_000_000 + user,
            Self::Sparse => mix(user) >> 1 | 1,
            Self::Clustered => (mix(user % 7) >> 2) + user,
            Self::Straddling => (1 << 32) - 50 + user,
        }
    }
}

/// The finaliser of splitmix64: different numbers in, numbers without a pattern out.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let count = || prop_oneof![1..4_u64, 1..300_u64, 1..70_000_u64];
    let shape = (1..4_000_u64, count(), prop::sample::select(&SPREADS[..]), 1..=NAMES.len(), count());
    (shape, 5..400_u64, any::<u64>()).prop_map(|((rows, users, spread, attributes, values), noise, seed)| {
        Shape { rows, users, spread, attributes, values, noise, seed }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_of_any_shape_are_planned_as_by_the_oracle(
        shape in any_shape(),
        custom: bool,
        on_conflict in prop::sample::select(vec![OnConflict::Last, OnConflict::First, OnConflict::Error]),
        batch_size in 1..2_000_u32,
        threads in 2..5_usize,
        memory in 1_000..100_000_u64,
    ) {
        let mut task = Task { on_conflict, batch_size, ..shape.task() };
        task.options.id_type = if custom { IdType::CustomId } else { IdType::Id };
        task.check(&variants(threads, memory));
    }
}

/// Rows of two attributes by as many users as there are rows, with few values.
const MANY: Shape = Shape {
    rows: 60_000,
    users: 30_000,
    spread: Spread::Dense,
    attributes: 2,
    values: 50,
    noise: 5_000,
    seed: 1,
};

#[test]
fn two_hundred_thousand_distinct_values_are_planned_as_by_the_oracle() {
    let rows: String = (0..200_000).map(|row| format!("{},city,{row}\n", 1 + mix(row) % 150_000)).collect();
    let variants = variants(2, 100_000);
    Task::new(rows.as_bytes()).check(&[variants[1], variants[3]]);
}

#[test]
fn one_value_for_all_users_is_planned_as_by_the_oracle() {
    Shape { values: 1, users: 50_000, ..MANY }.task().check(&variants(2, 50_000));
}

#[test]
fn one_user_with_all_rows_is_planned_as_by_the_oracle() {
    for spread in SPREADS {
        let task = Shape { rows: 15_000, users: 1, values: 10_000, spread, ..MANY }.task();
        task.check(&variants(2, 20_000)[1..]);
        Task { on_conflict: OnConflict::Error, ..task }.check(&variants(2, 20_000)[3..]);
    }
}

#[test]
fn users_are_planned_as_by_the_oracle_however_their_ids_lie() {
    for spread in SPREADS {
        Shape { rows: 30_000, users: 10_000, spread, ..MANY }.task().check(&variants(2, 20_000));
    }
}

#[test]
fn the_same_values_in_both_halves_of_a_file_are_the_same_groups() {
    let half: String = (1..4_000).map(|user| format!("{user},city,v{}\n", user % 1_000)).collect();
    let later: String = (2_000..6_000).rev().map(|user| format!("{user},city,v{}\n", user % 1_500)).collect();
    Task::new(format!("{half}{later}").as_bytes()).check(&variants(2, 10_000));
}

#[test]
fn a_thousand_attributes_are_planned_as_by_the_oracle() {
    let names: String = (0..1_000).map(|number| format!(",shoe {number}")).collect();
    let cells = |user: u64| -> String { (0..1_000).map(|n| format!(",v{}", mix(user ^ n) % 5)).collect() };
    let rows: String = (0..20).map(|user| format!("{}{}\n", 1 + user % 15, cells(user))).collect();
    let options = ReadOptions { vocabulary: Vocabulary::Custom, ..ReadOptions::default() };
    let files = vec![format!("user_id{names}\n{rows}").into_bytes()];
    Task { files, options, ..Task::new(b"") }.check(&variants(2, 30_000)[2..]);
}

#[test]
fn values_that_are_larger_than_the_memory_are_planned_as_by_the_oracle() {
    let row = |user: u64| format!("{user},city,{}{}\n", "ą".repeat(20_000), mix(user) % 7);
    let rows: String = (1..40).map(row).collect();
    Task { batch_size: 3, ..Task::new(rows.as_bytes()) }.check(&variants(2, 10_000));
}

#[test]
fn rows_for_which_there_is_no_room_anywhere_are_the_disks_fault() {
    let task = MANY.task();
    let directory = tempfile::tempdir().expect("there is room");
    let resources = Resources {
        memory: 10_000,
        temp_dir: Some(directory.path().join("nowhere")),
        ..Resources::default()
    };
    let options = ReadOptions { resources, ..task.options.clone() };
    let builder = Builder::new(task.on_conflict).resources(&options.resources);
    let refusal =
        input::read(&task.write(directory.path()), &options, builder).expect_err("there is no such place");
    assert!(refusal.is_disk_error(), "{refusal}");
}
