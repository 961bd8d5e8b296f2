//! The contract of [`switchboard_core::ports::EventQueue`].

mod archive;
mod dead;
mod fair;
mod interrupted;
mod leases;
mod ready;
mod settling;

use super::{Stores, UnderTest, bench::Bench, run_checks};

/// Runs the contract of `EventQueue`; `make` gives a fresh, empty queue and store for each check.
pub async fn event_queue(make: impl AsyncFn() -> UnderTest<Stores>) {
    run_checks!(
        "EventQueue",
        Bench::new(make().await),
        [
            leases::each_event_is_leased_once,
            leases::max_is_kept,
            leases::events_of_one_ticket_are_leased_one_at_a_time,
            leases::events_of_all_tenants_are_leased,
            leases::the_tokens_of_an_event_grow,
            leases::an_expired_lease_comes_again_as_interrupted,
            leases::a_lease_holds_for_the_time_asked_for,
            leases::extend_prolongs,
            leases::a_new_event_is_due_when_the_clock_went_back,
            leases::side_by_side_each_event_goes_to_one,
            settling::completed_is_completed,
            settling::an_expired_lease_completes_nothing,
            settling::a_lost_lease_completes_nothing,
            settling::a_lost_lease_retries_nothing,
            settling::a_lost_lease_buries_nothing,
            settling::a_lost_lease_is_not_extended,
            settling::a_lost_lease_releases_nothing,
            settling::a_retry_is_due_at_its_time_and_counted,
            settling::a_retry_outlives_a_restart,
            settling::a_retry_in_the_past_is_due_at_once,
            settling::released_is_due_at_once_and_not_counted,
            settling::deferred_is_due_at_its_time_and_not_counted,
            settling::no_retry_waits_for_a_clock_that_was_wrong,
            fair::a_single_ticket_overtakes_an_import,
            fair::tenants_take_turns,
            fair::a_tenant_that_holds_much_leaves_hands_for_others,
            fair::urgent_comes_first_and_bulk_last,
            fair::bulk_does_not_wait_for_ever,
            fair::the_backlog_counts_what_is_not_done,
            interrupted::a_lease_of_a_dead_process_settles_nothing,
            interrupted::failures_and_interruptions_are_counted_apart,
            interrupted::interrupted_often_is_leased_alone_only,
            interrupted::interrupted_often_by_restarts_is_leased_alone_only,
            interrupted::others_keep_flowing,
            interrupted::what_is_healthy_is_not_leased_alone,
            interrupted::a_suspect_counts_as_waiting,
            interrupted::a_suspect_is_told_while_it_waits,
            interrupted::a_suspect_may_succeed,
            interrupted::a_released_suspect_stays_one,
            interrupted::a_suspect_that_failed_is_due_at_its_time,
            interrupted::a_suspect_that_goes_on_dying_is_buried,
            dead::a_buried_event_tells_why_and_is_not_due,
            dead::newest_first_and_the_limit_is_kept,
            dead::a_revived_event_is_due_with_fresh_counters,
            dead::a_suspect_is_revived_into_the_common_queue,
            dead::a_discarded_event_is_gone,
            dead::a_foreign_tenant_sees_and_touches_nothing,
            dead::the_depth_tells_what_waits,
            archive::every_event_is_archived_from_its_beginning,
            archive::each_filter_and_all_together,
            archive::the_limit_is_kept,
            archive::a_foreign_tenant_sees_and_replays_nothing,
            archive::replay_queues_what_is_done,
            archive::replay_leaves_what_is_queued_or_dead,
            archive::replay_keeps_to_its_filter,
            ready::it_returns_when_an_event_comes,
            ready::it_returns_when_an_event_is_due_already,
            ready::it_returns_after_the_longest_wait,
        ],
        in Sole because "processes on several machines cannot tell that one of them was started again" [
            interrupted::a_restart_ends_leases_at_once,
        ],
        in Sole because "what all machines have in common is the wall clock, so leases and retries go by it" [
            leases::a_jump_of_the_wall_clock_ends_no_lease,
            settling::a_jump_of_the_wall_clock_moves_no_retry,
        ],
        in Sole because "where many lease at the same time, each event counts its own leases" [
            leases::tokens_grow,
        ],
        in Shared because "a sole process ends the leases of the one before it" [
            interrupted::a_lease_outlives_its_process,
        ]
    );
}
