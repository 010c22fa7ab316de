//! Says how users are read back, and what it costs.

use indicatif::HumanCount;

use super::ProgressState;
use crate::deliver::{ReadingBack, Way};
use crate::report::format::counted;

/// Reading back this many users or fewer takes few requests, and needs no words.
const FEW_USERS: u64 = 100;

/// Notices when reading back begins, or goes on in another way.
#[derive(Debug, Default)]
pub(super) struct ReadBackObserver {
    told: Option<Way>,
}

impl ReadBackObserver {
    /// What is to be said now.
    pub(super) fn observe(&mut self, state: &ProgressState) -> Option<ReadingBack> {
        let reading = state.reading_back.filter(|reading| reading.way != Way::Undecided)?;
        let is_new = self.told != Some(reading.way);
        self.told = Some(reading.way);
        let (users, _) = reading.decided;
        (is_new && users > FEW_USERS).then_some(reading)
    }
}

/// In words.
pub(super) fn in_words(reading: &ReadingBack) -> String {
    let (users, requests) = reading.decided;
    let (users, requests) = (counted(users, "user"), counted(requests, "request"));
    match reading.way {
        Way::Pages => format!("reading back {users} by pages: about {requests}"),
        Way::Users | Way::Undecided => format!("reading back {users} one by one: about {requests}"),
    }
}

/// As a line of a log.
pub(super) fn logged(reading: &ReadingBack) -> String {
    let (users, requests) = reading.decided;
    format!("reading back users={users} way={} requests={requests}", reading.way.name())
}

/// How far it is, in the words of the bar.
pub(super) fn share(reading: &ReadingBack) -> String {
    format!("{}/{} users read back", HumanCount(reading.users_done), HumanCount(reading.users))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(way: Way, users_left: u64) -> ProgressState {
        let (users, users_done) = (52_000, 52_000 - users_left);
        let decided = (users_left, 520);
        let reading = ReadingBack { way, users, users_done, requests_left: 500, decided };
        ProgressState { reading_back: Some(reading), ..ProgressState::default() }
    }

    #[test]
    fn each_way_is_told_once_with_what_it_costs() {
        let mut observer = ReadBackObserver::default();
        let mut told = |state: &ProgressState| observer.observe(state).as_ref().map(in_words);
        assert_eq!(told(&ProgressState::default()), None);
        assert_eq!(told(&state(Way::Undecided, 52_000)), None);
        let by_pages = "reading back 52,000 users by pages: about 520 requests";
        assert_eq!(told(&state(Way::Pages, 52_000)).as_deref(), Some(by_pages));
        assert_eq!(told(&state(Way::Pages, 51_900)), None);
        let one_by_one = "reading back 2,000 users one by one: about 520 requests";
        assert_eq!(told(&state(Way::Users, 2000)).as_deref(), Some(one_by_one));
        let mut few = ReadBackObserver::default();
        assert_eq!(few.observe(&state(Way::Users, 100)), None);
    }

    #[test]
    fn a_log_names_the_same() {
        let reading = state(Way::Pages, 52_000).reading_back.unwrap();
        assert_eq!(logged(&reading), "reading back users=52000 way=pages requests=520");
    }
}
