//! The rate of a quota, while the lease holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::quota::Quota;
use crate::deliver::SharedRate;
use crate::ledger::lease::Lease;

/// Gives the permits of a quota, and none while the run may not use its ledger.
#[derive(Debug)]
pub(super) struct LeasedRate {
    pub(super) quota: Arc<Quota>,
    pub(super) lease: Arc<Lease>,
}

impl SharedRate for LeasedRate {
    fn permit(&self, interval: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                self.lease.valid().await;
                self.quota.permit(interval).await;
                if self.lease.is_valid() {
                    return;
                }
            }
        })
    }

    fn started(&self) {
        self.quota.started();
    }

    fn pause(&self, pause: Duration) {
        self.quota.pause(pause);
    }

    fn pause_left(&self) -> Option<Duration> {
        self.quota.pause_left()
    }
}
