//! Planning ten million rows: taking them, settling them, and rendering what is to be sent.

use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};

use attrsync::input::{AttributeId, Dictionary, ReadOptions, Row, Sink, ValueId};
use attrsync::plan::{Builder, OnConflict, Plan};
use attrsync::spill::Resources;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u64 = 10_000_000;
const USERS: u64 = 5_000_000;

/// Rows as an input would make them, and what their numbers stand for.
struct Input {
    name: &'static str,
    dictionary: Dictionary,
    rows: Vec<Row>,
}

/// A nightly export: few values, users in no order, a few conflicts.
const NIGHTLY: [(&str, u64); 8] = [
    ("country", 200),
    ("status", 2),
    ("gender", 3),
    ("unsubscribed", 2),
    ("city", 20_000),
    ("company_id", 400),
    ("score", 101),
    ("region", 3_000),
];

/// Attributes whose values few users share.
const SKINNY: [(&str, u64); 3] =
    [("first_name", 200_000), ("last_name", 500_000), ("phone_number", ROWS / 3)];

impl Input {
    fn new(name: &'static str, attributes: &[(&str, u64)], user: impl Fn(u64) -> u64) -> Self {
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let ids: Vec<AttributeId> = attributes
            .iter()
            .map(|(name, _)| dictionary.attribute_id(name).expect("a standard attribute"))
            .collect();
        for (&id, (_, values)) in ids.iter().zip(attributes) {
            for value in 0..*values {
                dictionary.intern(id, &value.to_string());
            }
        }
        let row = |n: u64| {
            let place = usize::try_from(below(mix(n), ids.len() as u64)).expect("an index");
            Row {
                user: user(1_000_000 + below(mix(n ^ 1 << 40), USERS)),
                attribute: ids[place],
                value: ValueId(
                    u32::try_from(below(mix(n ^ 1 << 41), attributes[place].1)).expect("few values"),
                ),
            }
        };
        Self { name, dictionary, rows: (0..ROWS).map(row).collect() }
    }

    fn take(&self) -> Builder {
        let mut builder = Builder::new(OnConflict::Last);
        for row in &self.rows {
            builder.accept(*row);
        }
        builder
    }

    /// As `take`, in this many bytes of memory.
    fn take_within(&self, memory: u64) -> Builder {
        let resources = Resources { memory, ..Resources::default() };
        let mut builder = Builder::new(OnConflict::Last).resources(&resources);
        for rows in self.rows.chunks(4096) {
            for row in rows {
                builder.accept(*row);
            }
            builder.check_memory().expect("there is room for temporary files");
        }
        builder
    }
}

fn finish(builder: Builder, dictionary: Dictionary) -> Plan {
    builder.finish(dictionary, NonZeroU32::new(1_000).expect("1,000 is not 0")).expect("memory is enough")
}

/// The finaliser of splitmix64: different numbers in, numbers without a pattern out.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Scales a number without a pattern to 0..`most`.
fn below(number: u64, most: u64) -> u64 {
    u64::try_from((u128::from(number) * u128::from(most)) >> 64).expect("a product's high half")
}

fn planning(criterion: &mut Criterion) {
    let inputs = [
        Input::new("nightly", &NIGHTLY, |user| user),
        Input::new("nightly, scattered ids", &NIGHTLY, |user| mix(user) >> 1),
        Input::new("skinny", &SKINNY, |user| user),
    ];
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    for input in &inputs {
        group.bench_function(format!("accept/{}", input.name), |bencher| {
            bencher.iter_with_large_drop(|| input.take());
        });
        for threads in [1, 2] {
            let threads = NonZeroUsize::new(threads).expect("1 and 2 are not 0");
            group.bench_function(format!("finish/{}/{threads}", input.name), |bencher| {
                let resources = Resources { threads, ..Resources::default() };
                let take = || (input.take().resources(&resources), input.dictionary.clone());
                bencher.iter_batched(
                    take,
                    |(builder, texts)| finish(builder, texts),
                    BatchSize::PerIteration,
                );
            });
        }
        for (name, memory) in [("in memory", u64::MAX), ("in 32 MB", 32_000_000)] {
            group.bench_function(format!("{name}/{}", input.name), |bencher| {
                let plan = |texts| finish(input.take_within(memory), texts);
                bencher.iter_batched(|| input.dictionary.clone(), plan, BatchSize::PerIteration);
            });
        }
        let plan = finish(input.take(), input.dictionary.clone());
        group.bench_function(format!("bodies/{}", input.name), |bencher| {
            let mut body = Vec::new();
            bencher.iter(|| {
                for batch in plan.batches() {
                    body.clear();
                    plan.body(batch, &mut body);
                    black_box(&body);
                }
            });
        });
        group.bench_function(format!("summary/{}", input.name), |bencher| {
            bencher.iter(|| plan.summary(10).totals);
        });
    }
    group.finish();
}

criterion_group!(benches, planning);
criterion_main!(benches);
