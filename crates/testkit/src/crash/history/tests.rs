use super::*;

/// A moment of the run.
fn at(moment: u64) -> Duration {
    Duration::from_millis(moment)
}

fn call(begun: u64, ended: Option<u64>, what: Asked) -> Call {
    Call { begun: at(begun), ended: ended.map(at), what }
}

fn accept(begun: u64, ended: u64) -> Call {
    call(begun, Some(ended), Asked::Accept { ticket: "T".to_owned() })
}

fn read(begun: u64, ended: u64, seen: Option<Seen>) -> Call {
    call(begun, Some(ended), Asked::Read { ticket: "T".to_owned(), seen })
}

/// A review whose note is `note of` its name; without an end it had no answer.
fn review(begun: u64, ended: Option<u64>, name: &str) -> Call {
    let review = ended.map(|_| name.to_owned());
    call(begun, ended, Asked::Review { ticket: "T".to_owned(), note: format!("note of {name}"), review })
}

/// What the ticket shows with that review, or with its decision alone.
fn shows(review: Option<&str>) -> Seen {
    let mut timeline = vec!["accepted".to_owned(), "routed".to_owned()];
    timeline.extend(review.map(|_| "reviewed".to_owned()));
    let review = review.map(|name| (name.to_owned(), format!("note of {name}")));
    Seen { decision: Some("D".to_owned()), review, timeline }
}

fn undecided() -> Seen {
    Seen { timeline: vec!["accepted".to_owned()], ..Seen::default() }
}

fn reviewed(id: &str) -> Happened {
    Happened::Reviewed { id: id.to_owned(), write_back: true }
}

/// Everything that is held against each other: a run as it should be.
struct Run {
    history: Vec<Call>,
    archive: Vec<Happened>,
    last: Option<Seen>,
}

/// Two clients at one ticket. The review B had no answer and was done; the one of C had none and was not.
fn good() -> Run {
    Run {
        history: vec![
            read(0, 1, None),
            accept(2, 10),
            read(5, 8, Some(undecided())),
            read(11, 12, Some(undecided())),
            read(20, 21, Some(shows(None))),
            review(22, Some(30), "A"),
            read(25, 26, Some(shows(None))),
            review(31, None, "B"),
            read(32, 33, Some(shows(Some("A")))),
            read(34, 35, Some(shows(Some("B")))),
            review(36, None, "C"),
            review(40, Some(50), "E"),
            review(41, Some(49), "F"),
        ],
        archive: vec![
            Happened::Received,
            Happened::Routed("D".to_owned()),
            Happened::Synced("D".to_owned()),
            reviewed("A"),
            reviewed("B"),
            reviewed("F"),
            reviewed("E"),
            Happened::Synced("E".to_owned()),
        ],
        last: Some(shows(Some("E"))),
    }
}

fn broken(run: &Run) -> Vec<Broken> {
    let archive = run.archive.iter().map(|what| Archived { ticket: "T".to_owned(), what: what.clone() });
    let last = run.last.clone().map(|seen| ("T".to_owned(), seen));
    check(&run.history, &archive.collect::<Vec<_>>(), &last.into_iter().collect())
}

#[test]
fn a_run_as_it_should_be_breaks_nothing() {
    assert!(broken(&good()).is_empty(), "{:?}", broken(&good()));
    let mut one_client_sent_it_and_had_no_answer = good();
    one_client_sent_it_and_had_no_answer.history[1].ended = None;
    assert!(broken(&one_client_sent_it_and_had_no_answer).is_empty());
    assert!(check(&[], &[], &BTreeMap::new()).is_empty());
}

/// A change to a good run breaks this promise.
#[track_caller]
fn planted(expected: Promise, what: &str, plant: impl FnOnce(&mut Run)) {
    let mut run = good();
    plant(&mut run);
    let found = broken(&run);
    assert!(found.iter().any(|broken| broken.promise == expected), "{what} is not found: {found:?}");
}

#[test]
fn what_was_there_and_is_not_is_found() {
    use Promise::{ReceivedOnce, Visible};
    planted(Visible, "an acknowledged ticket that a later read does not find", |run| {
        run.history.push(read(13, 14, None));
    });
    planted(Visible, "a ticket that was seen before its 202 and then not", |run| {
        run.history[1].ended = Some(at(60));
        run.history.push(read(9, 10, None));
    });
    planted(Visible, "an acknowledged ticket that is gone at the end", |run| run.last = None);
    planted(ReceivedOnce, "an acknowledged ticket without its event", |run| drop(run.archive.remove(0)));
    planted(ReceivedOnce, "a ticket that was accepted twice", |run| run.archive.push(Happened::Received));
    planted(ReceivedOnce, "a ticket that nobody sent", |run| drop(run.history.remove(1)));
}

#[test]
fn decisions_that_change_or_go_away_are_found() {
    use Promise::OneDecision;
    planted(OneDecision, "two decisions", |run| run.archive.insert(2, Happened::Routed("D2".to_owned())));
    planted(OneDecision, "no decision", |run| {
        run.archive.retain(|what| !matches!(what, Happened::Routed(_)));
    });
    planted(OneDecision, "another decision in one read", |run| {
        run.history.push(read(27, 28, Some(Seen { decision: Some("D2".to_owned()), ..shows(None) })));
    });
    planted(OneDecision, "a decision that a later read does not show", |run| {
        run.history.push(read(22, 23, Some(undecided())));
    });
    planted(OneDecision, "a reviewed ticket without a decision", |run| {
        run.history.retain(|call| !matches!(call.what, Asked::Read { .. }));
        run.history.push(read(31, 32, Some(undecided())));
    });
    planted(OneDecision, "no decision at the end", |run| run.last = Some(undecided()));
}

#[test]
fn reviews_that_are_lost_doubled_or_made_up_are_found() {
    use Promise::EveryReview;
    planted(EveryReview, "an acknowledged review that is not recorded", |run| drop(run.archive.remove(3)));
    planted(EveryReview, "a review that is recorded twice", |run| run.archive.push(reviewed("E")));
    planted(EveryReview, "one review for two that were asked for", |run| {
        run.history[12] = review(41, Some(49), "E");
    });
    planted(EveryReview, "more recorded than asked for", |run| {
        run.archive.insert(4, reviewed("X"));
        run.archive.insert(4, reviewed("Y"));
    });
    planted(EveryReview, "a review with a note that nobody wrote", |run| {
        let mut seen = shows(Some("B"));
        seen.review = Some(("B".to_owned(), "what is this?".to_owned()));
        run.history.push(read(34, 35, Some(seen)));
    });
    planted(EveryReview, "a review that is seen before anybody asked for it", |run| {
        run.history.push(read(23, 24, Some(shows(Some("B")))));
    });
}

#[test]
fn updates_that_are_lost_or_out_of_order_are_found() {
    use Promise::ReviewOrder;
    planted(ReviewOrder, "a lost update: acknowledged, and no later read shows it", |run| {
        run.history.push(read(31, 32, Some(shows(None))));
    });
    planted(ReviewOrder, "an older review after a newer one was acknowledged", |run| {
        run.history.push(read(51, 52, Some(shows(Some("F")))));
    });
    planted(ReviewOrder, "an older review after a newer one was seen", |run| {
        run.history.push(read(36, 37, Some(shows(Some("A")))));
    });
    planted(ReviewOrder, "a review that was written before the one it came after", |run| run.archive.swap(3, 6));
    planted(ReviewOrder, "another review at the end than the last one", |run| run.last = Some(shows(Some("F"))));
}

#[test]
fn events_out_of_their_order_are_found() {
    use Promise::TicketOrder;
    planted(TicketOrder, "routed before it was received", |run| run.archive.swap(0, 1));
    planted(TicketOrder, "told to the desk before it was decided", |run| run.archive.swap(1, 2));
    planted(TicketOrder, "reviewed before it was decided", |run| run.archive.swap(1, 3));
    planted(TicketOrder, "told of a review that is not there yet", |run| run.archive.swap(6, 7));
    planted(TicketOrder, "a timeline that begins with the decision", |run| {
        let timeline = ["routed", "accepted"].map(str::to_owned).to_vec();
        run.history.push(read(27, 28, Some(Seen { timeline, ..shows(None) })));
    });
    planted(TicketOrder, "a timeline without the decision that is shown", |run| {
        run.history.push(read(27, 28, Some(Seen { timeline: vec!["accepted".to_owned()], ..shows(None) })));
    });
}
