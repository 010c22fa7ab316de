//! The list of all users, read from the sandbox.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use attrsync::deliver::{Http, Limiter, Options, PageError, PageReader, Rate, Shutdown, Target};
use attrsync::input::IdType;
use attrsync::sandbox::{self, Fault, FaultKind, Moment, Sandbox};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;

fn reader(sandbox: &Sandbox, id_type: IdType) -> PageReader<Http> {
    let base_url = sandbox.base_url().parse().unwrap();
    let target = Target { base_url, token: "key".into(), id_type };
    let http = Http::new(&target, Duration::from_secs(10), NonZeroUsize::MIN).unwrap();
    let rate = Rate { requests: NonZeroU32::new(1000).unwrap(), window: Duration::from_secs(1) };
    let options = Options { rate, retry_initial_delay: Duration::from_millis(10), ..Options::default() };
    let (limiter, chance) = (Limiter::new(rate), StdRng::seed_from_u64(1));
    PageReader::new(Arc::new(http), &options, limiter, chance)
}

#[tokio::test]
async fn all_users_of_the_sandbox_are_read() {
    let page_size = NonZeroUsize::new(40).unwrap();
    let script = vec![None, Some(Fault { kind: FaultKind::Drop, moment: Moment::BeforeApplying })];
    let options = sandbox::Options { users: Some(100), page_size, script, ..sandbox::Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    for id_type in [IdType::Id, IdType::CustomId] {
        let mut reader = reader(&sandbox, id_type);
        let (_shutdown, mut shutdown_rx) = watch::channel(Shutdown::No);
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = reader.read(cursor.as_deref(), &mut shutdown_rx, &mut |_| {}).await.unwrap();
            assert_eq!(page.count, Some(100));
            ids.extend(page.users.iter().map(|user| user.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(ids, (1..=100).collect::<Vec<u64>>());
        assert!(reader.requests().sent >= 3);
    }
    let counters = sandbox.counters();
    assert_eq!(counters.requests, 7, "a broken connection costs a request");
}

#[tokio::test]
async fn a_cursor_that_is_too_old_is_known_as_such() {
    let options = sandbox::Options { users: Some(3), ..sandbox::Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let (_shutdown, mut shutdown_rx) = watch::channel(Shutdown::No);
    let read = reader(&sandbox, IdType::Id).read(Some("cursor=9p9"), &mut shutdown_rx, &mut |_| {}).await;
    assert!(matches!(read, Err(PageError::CursorExpired(_))), "{read:?}");
}
