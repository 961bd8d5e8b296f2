use super::*;

const DOWN: Sign = Sign::Down(Duration::ZERO);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn passes(breaker: &mut Breaker, seconds: u64) -> Pass {
    breaker.lets_through(at(seconds)).unwrap_or_else(|wait| panic!("stopped at {seconds} s for {wait:?}"))
}

#[track_caller]
fn stopped(breaker: &mut Breaker, seconds: u64, expected: u64) {
    assert_eq!(breaker.lets_through(at(seconds)), Err(at(expected)), "at {seconds} s");
}

fn call(breaker: &mut Breaker, seconds: u64, sign: Sign) {
    let pass = passes(breaker, seconds);
    breaker.settle(pass, sign, at(seconds));
}

fn broken_at(seconds: u64, rests: Rests) -> Breaker {
    let mut breaker = Breaker::new(rests, SLOW);
    for _ in 0..FAILURES {
        call(&mut breaker, seconds, DOWN);
    }
    breaker
}

#[test]
fn it_rests_after_failures_in_a_row_only() {
    let mut breaker = Breaker::new(Rests::Even, SLOW);
    for sign in [DOWN, DOWN, DOWN, DOWN, Sign::Up, DOWN, DOWN, DOWN, DOWN] {
        call(&mut breaker, 0, sign);
    }
    call(&mut breaker, 0, DOWN);
    stopped(&mut breaker, 3, 7);
}

#[test]
fn one_probe_comes_through_after_the_rest() {
    let mut breaker = broken_at(100, Rests::Even);
    stopped(&mut breaker, 109, 1);
    assert!(passes(&mut breaker, 110).is_probe);
    // The probe will soon tell.
    stopped(&mut breaker, 110, 2);
}

#[test]
fn asking_whether_it_rests_is_no_call() {
    let mut breaker = broken_at(0, Rests::Even);
    assert_eq!((breaker.stops(at(3)), breaker.stops(at(10))), (Some(at(7)), None));
    assert_eq!(breaker.stops(at(10)), None, "the probe is still to come");
    assert!(passes(&mut breaker, 10).is_probe);
    assert!(breaker.stops(at(10)).is_some(), "beside the probe");
}

#[test]
fn a_good_probe_closes_it_and_a_bad_one_begins_another_rest() {
    let mut breaker = broken_at(0, Rests::Even);
    let probe = passes(&mut breaker, 10);
    breaker.settle(probe, DOWN, at(12));
    stopped(&mut breaker, 21, 1);
    call(&mut breaker, 22, Sign::Up);
    call(&mut breaker, 23, DOWN);
    passes(&mut breaker, 23);
}

#[test]
fn rests_grow_up_to_a_bound_and_begin_anew_after_a_success() {
    let mut breaker = broken_at(0, Rests::Growing);
    let mut now = 0;
    for rest in [10, 20, 40, 80, 160, 300, 300] {
        stopped(&mut breaker, now, rest);
        now += rest;
        call(&mut breaker, now, DOWN);
    }
    call(&mut breaker, now + 300, Sign::Up);
    for _ in 0..FAILURES {
        call(&mut breaker, now + 300, DOWN);
    }
    stopped(&mut breaker, now + 300, 10);
}

#[test]
fn a_probe_that_is_dropped_does_not_close_it_for_ever() {
    let mut breaker = broken_at(0, Rests::Growing);
    let probe = passes(&mut breaker, 10);
    breaker.settle(probe, Sign::None, at(11));
    stopped(&mut breaker, 19, 1);
    assert!(passes(&mut breaker, 20).is_probe);
}

#[test]
fn a_wish_is_no_failure_and_is_kept() {
    let mut breaker = Breaker::new(Rests::Growing, SLOW);
    let late = passes(&mut breaker, 0);
    call(&mut breaker, 0, Sign::Asks(at(93)));
    // A success that was on its way does not undo the wish.
    breaker.settle(late, Sign::Up, at(1));
    stopped(&mut breaker, 3, 90);
    call(&mut breaker, 93, Sign::Up);
    call(&mut breaker, 93, DOWN);
    passes(&mut breaker, 93);
}

#[test]
fn calls_that_began_before_the_rest_do_not_lengthen_it() {
    let mut breaker = Breaker::new(Rests::Growing, SLOW);
    let passed: Vec<_> = (0..100).map(|_| passes(&mut breaker, 0)).collect();
    for pass in passed {
        breaker.settle(pass, DOWN, at(4));
    }
    stopped(&mut breaker, 4, 10);
    assert!(breaker.in_hand.is_empty());
}

#[test]
fn one_that_hangs_gets_few_calls_more() {
    let mut breaker = Breaker::new(Rests::Growing, SLOW);
    let first: Vec<_> = (0..CALLS_IN_TROUBLE).map(|_| passes(&mut breaker, 0)).collect();
    stopped(&mut breaker, SLOW.as_secs(), SOON.as_secs());
    for pass in first {
        breaker.settle(pass, Sign::Up, at(6));
    }
    passes(&mut breaker, 6);
}

#[test]
fn what_went_wrong_here_says_nothing_of_the_other_side() {
    let kind = |kind| sign::<()>(&Err(Error::new(kind, "x")));
    assert_eq!(kind(ErrorKind::Invalid), Sign::None);
    assert_eq!(kind(ErrorKind::Refused), Sign::Up);
    assert_eq!(kind(ErrorKind::Timeout), DOWN);
    assert_eq!(kind(ErrorKind::Throttled), Sign::Up);
    let asked = |kind, wish| sign::<()>(&Err(Error::new(kind, "x").with_retry(Retry::After(wish))));
    assert_eq!(asked(ErrorKind::Throttled, at(7)), Sign::Asks(at(7)));
    assert_eq!(asked(ErrorKind::Throttled, at(86_400)).bounded(), Sign::Asks(LONGEST_WISH));
    assert_eq!(asked(ErrorKind::Unavailable, at(7)), Sign::Down(at(7)));
}
