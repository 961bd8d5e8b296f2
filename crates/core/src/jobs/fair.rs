//! Who gets the free hands: tenants take turns, and none may hold more than stays free, so that others always find some.
//!
//! This is the dynamic threshold by which switches share their memory (Choudhury and Hahne, 1998): alone a tenant has half
//! of the hands, the next one that comes a quarter, and eight whose desks all hang leave one for the ninth.

/// A tenant that has events waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Events of it in somebody's hands.
    pub held: usize,
    /// Events of it that are due; no more than the free hands need be counted.
    pub due: usize,
}

/// Deals up to `max` of the `free` hands to the tenants, in their order, one at a time: how many each gets.
pub fn deal(max: usize, free: usize, tenants: &[Waiting]) -> Vec<usize> {
    let mut dealt = vec![0; tenants.len()];
    let mut all = 0;
    loop {
        let before = all;
        for (tenant, dealt) in tenants.iter().zip(&mut dealt) {
            if all < max && *dealt < tenant.due && tenant.held + *dealt < free.saturating_sub(all) {
                *dealt += 1;
                all += 1;
            }
        }
        if all == before {
            return dealt;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits;

    const HANDS: usize = limits::JOBS_IN_HAND;

    fn idle(due: usize) -> Waiting {
        Waiting { held: 0, due }
    }

    #[test]
    fn a_tenant_alone_leaves_half_free() {
        assert_eq!(deal(HANDS, HANDS, &[idle(100_000)]), [HANDS / 2]);
        assert_eq!(deal(HANDS / 2, HANDS / 2, &[Waiting { held: HANDS / 2, due: 100_000 }]), [0]);
    }

    #[test]
    fn a_single_ticket_is_not_kept_waiting_by_an_import() {
        assert_eq!(deal(8, HANDS, &[idle(100_000), idle(1)]), [7, 1]);
        assert_eq!(deal(HANDS / 2, HANDS / 2, &[Waiting { held: HANDS / 2, due: 100_000 }, idle(1)]), [0, 1]);
    }

    #[test]
    fn eight_tenants_that_hang_leave_a_hand_for_the_ninth() {
        let mut held: Vec<usize> = Vec::new();
        for tenants in 1..=9 {
            held.resize(tenants, 0);
            let free = HANDS - held.iter().sum::<usize>();
            let waiting: Vec<_> = held.iter().map(|held| Waiting { held: *held, due: 1_000 }).collect();
            for (held, dealt) in held.iter_mut().zip(deal(free, free, &waiting)) {
                *held += dealt;
            }
        }
        assert_eq!(held, [128, 64, 32, 16, 8, 4, 2, 1, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_dealt_twice_and_those_with_less_get_no_less(
            max in 0_usize..300,
            free in 0_usize..300,
            tenants in prop::collection::vec((0_usize..200, 0_usize..300), 0..40),
        ) {
            let tenants: Vec<_> = tenants.into_iter().map(|(held, due)| Waiting { held, due }).collect();
            let dealt = deal(max, free, &tenants);
            prop_assert!(dealt.iter().sum::<usize>() <= max.min(free));
            for (tenant, dealt) in tenants.iter().zip(&dealt) {
                prop_assert!(*dealt <= tenant.due);
            }
            for (one, got) in tenants.iter().zip(&dealt) {
                for (other, other_got) in tenants.iter().zip(&dealt) {
                    // Who has less in hand and more due never ends a turn behind by more than the turn.
                    if one.held <= other.held && one.due >= other.due {
                        prop_assert!(got + 1 >= *other_got, "{one:?} {got} {other:?} {other_got}");
                    }
                }
            }
        }
    }
}
