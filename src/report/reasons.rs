//! Why rows failed, grouped by reason.

use crate::deliver::Reason;

/// Rows that failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRows {
    /// The answer's status and words.
    pub reason: Reason,
    /// How many rows.
    pub rows: u64,
    /// One of them.
    pub example: Option<String>,
}

/// Why rows failed: the first [`Reasons::MOST`] distinct reasons, and how many rows had any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    failures: Vec<FailedRows>,
    others: u64,
}

impl Reasons {
    /// The most distinct reasons that are kept. A server that names an id in each answer has a new one for every row.
    pub const MOST: usize = 100;

    /// Counts rows that failed. Quoted text, long numbers and e-mail addresses are left out of the reason, because they
    /// differ from user to user and are personal.
    pub fn add(&mut self, reason: &Reason, rows: u64) {
        let reason = &Reason { status: reason.status, error: without_particulars(&reason.error) };
        if let Some(known) = self.failures.iter_mut().find(|known| known.reason == *reason) {
            known.rows += rows;
        } else if self.failures.len() < Self::MOST {
            self.failures.push(FailedRows { reason: reason.clone(), rows, example: None });
        } else {
            self.others += rows;
        }
    }

    /// Names one of the rows that failed for this reason, unless one is named already.
    pub fn give_example(&mut self, reason: &Reason, example: impl FnOnce() -> String) {
        let error = without_particulars(&reason.error);
        let is_it =
            |known: &&mut FailedRows| known.reason.status == reason.status && known.reason.error == error;
        if let Some(known) = self.failures.iter_mut().find(is_it) {
            known.example.get_or_insert_with(example);
        }
    }

    /// The reasons of the most rows, most first; and how many rows failed for any other.
    pub fn top(&self, most: usize) -> (Vec<&FailedRows>, u64) {
        let mut sorted: Vec<_> = self.failures.iter().collect();
        sorted.sort_by_key(|failure| std::cmp::Reverse(failure.rows));
        let cut = sorted.split_off(most.min(sorted.len()));
        (sorted, self.others + cut.iter().map(|failure| failure.rows).sum::<u64>())
    }

    /// Whether rows failed for such a reason, among those that are kept apart.
    pub fn any(&self, such: impl Fn(&Reason) -> bool) -> bool {
        self.failures.iter().any(|failure| such(&failure.reason))
    }
}

/// `Invalid pk "42": no user 1234567` becomes `Invalid pk "…": no user …`.
pub(super) fn without_particulars(words: &str) -> String {
    const LONG: usize = 4;
    let mut plain = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(first) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let quoted = (first == '"').then(|| rest.get(1..)?.find('"').map(|length| length + 2)).flatten();
        let length = match (digits, quoted) {
            (_, Some(length)) => {
                plain.push_str("\"…\"");
                length
            }
            (LONG.., _) => {
                plain.push('…');
                digits
            }
            (0, _) => {
                plain.push(first);
                first.len_utf8()
            }
            (digits, _) => {
                plain.extend(rest.chars().take(digits));
                digits
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    without_repetition(&without_addresses(&plain))
}

/// An answer that is about several users says the same about each: `ids: no such user., no such user.` becomes
/// `ids: no such user.`
fn without_repetition(words: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in words.split(", ") {
        let before = kept.last().and_then(|last| last.strip_suffix(part));
        if !before.is_some_and(|before| before.is_empty() || before.ends_with(' ')) {
            kept.push(part);
        }
    }
    kept.join(", ")
}

/// `anna@example.com: taken` becomes `…: taken`.
pub(super) fn without_addresses(words: &str) -> String {
    const AROUND: &[char] =
        &['"', '\'', '`', '(', ')', '[', ']', '<', '>', '{', '}', ',', ';', ':', '.', '!', '?'];
    let plain = |word: &str| {
        let start = word.len() - word.trim_start_matches(AROUND).len();
        let end = word.trim_end().trim_end_matches(AROUND).len();
        match (word.get(..start), word.get(end..)) {
            (Some(before), Some(after)) if word.contains('@') => format!("{before}…{after}"),
            _ => word.to_owned(),
        }
    };
    words.split_inclusive(char::is_whitespace).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, error: &str) -> Reason {
        Reason { status: Some(status), error: error.into() }
    }

    #[test]
    fn reasons_that_differ_by_the_user_alone_are_one() {
        let mut reasons = Reasons::default();
        for id in 1..300 {
            let words =
                format!("400 Bad Request: ids: Invalid pk \"{id}\" - no user {} exists", 1_000_000 + id);
            reasons.add(&reason(400, &words), 1);
        }
        let (top, others) = reasons.top(5);
        assert_eq!((top.len(), top[0].rows, others), (1, 299, 0));
        assert_eq!(top[0].reason.error, "400 Bad Request: ids: Invalid pk \"…\" - no user … exists");
        assert_eq!(without_particulars("gave up after 5 attempts: \"ż"), "gave up after 5 attempts: \"ż");
    }

    #[test]
    fn an_email_address_is_in_no_reason() {
        let cases = [
            ("anna@example.com: taken", "…: taken"),
            ("400 Bad Request: <anna.nowak1985@example.com> is taken,", "400 Bad Request: <…> is taken,"),
            ("email=zażółć@example.com\nis taken", "…\nis taken"),
            ("\"anna nowak@example.com\" @ home", "\"…\" … home"),
            ("@@ .@. @", "… .…. …"),
        ];
        for (words, plain) in cases {
            assert_eq!(without_particulars(words), plain);
        }
    }

    #[test]
    fn what_is_said_of_several_users_is_said_once() {
        let cases = [
            (
                r#"ids: Invalid pk "1" - none., Invalid pk "2" - none., Invalid pk "3" - none."#,
                r#"ids: Invalid pk "…" - none."#,
            ),
            ("one, done, one", "one, done, one"),
            ("done, one", "done, one"),
        ];
        for (words, plain) in cases {
            assert_eq!(without_particulars(words), plain);
        }
    }

    #[test]
    fn the_most_rows_come_first_and_ties_keep_their_order() {
        let mut reasons = Reasons::default();
        reasons.add(&reason(404, "no user"), 1);
        reasons.add(&reason(400, "bad value"), 2);
        reasons.add(&reason(404, "no user"), 4);
        reasons.add(&reason(500, "oops"), 2);
        let (top, others) = reasons.top(2);
        assert_eq!(top.iter().map(|failure| failure.rows).collect::<Vec<_>>(), [5, 2]);
        assert_eq!(top[1].reason, reason(400, "bad value"));
        assert_eq!(others, 2);
        assert!(reasons.any(|reason| reason.status == Some(500)));
        assert!(!reasons.any(|reason| reason.status.is_none()));
    }

    #[test]
    fn no_end_of_reasons_takes_no_end_of_memory() {
        let mut reasons = Reasons::default();
        for n in 0..10_000 {
            reasons.add(&reason(404, &format!("no user {n}")), 1);
        }
        let (top, others) = reasons.top(usize::MAX);
        assert_eq!(top.len(), Reasons::MOST);
        assert_eq!(others, 10_000 - Reasons::MOST as u64);
    }
}
