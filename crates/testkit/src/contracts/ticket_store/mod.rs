//! The contract of [`switchboard_core::ports::TicketStore`].

mod accept;
mod decide;
mod history;
mod list;
mod paging;
mod quotas;
mod repeat;
mod review;
mod review_queue;
mod sync;

use super::{Stores, UnderTest, bench::Bench, run_checks};

/// Runs the contract of `TicketStore`; `make` gives a fresh, empty store for each check.
pub async fn ticket_store(make: impl AsyncFn() -> UnderTest<Stores>) {
    run_checks!(
        "TicketStore",
        Bench::new(make().await),
        [
            accept::a_ticket_is_read_back_as_it_was,
            accept::a_ticket_with_nothing_optional_is_read_back_as_it_was,
            accept::a_new_ticket_waits_for_its_decision,
            accept::its_event_is_queued_once,
            accept::a_thousand_tickets_in_one_call,
            accept::no_tickets_in_one_call,
            accept::an_absent_ticket_is_none,
            accept::a_foreign_tenant_reads_nothing,
            accept::the_same_ticket_id_in_two_tenants_is_two_tickets,
            accept::everything_acknowledged_is_there_after_a_restart,
            accept::a_call_dropped_half_way_happened_wholly_or_not_at_all,
            repeat::the_same_id_is_told_and_the_first_content_kept,
            repeat::the_same_key_is_told_and_nothing_is_written,
            repeat::the_same_request_again_is_told,
            repeat::a_key_is_its_tenants_own,
            repeat::a_batch_gives_its_results_in_order,
            repeat::the_same_id_twice_in_one_batch,
            repeat::the_same_key_twice_in_one_batch,
            repeat::a_repetition_after_a_restart_is_told,
            repeat::side_by_side_one_is_new,
            quotas::a_tenant_has_its_quota_of_a_day,
            quotas::each_customer_has_its_quota_of_a_day,
            quotas::the_tenants_quota_holds_for_all_its_customers,
            quotas::repetitions_do_not_count,
            quotas::a_batch_is_taken_up_to_its_quota,
            quotas::a_quota_begins_anew_at_midnight,
            quotas::counts_outlive_a_restart,
            quotas::tenants_have_quotas_of_their_own,
            quotas::a_changed_quota_counts_at_once,
            quotas::side_by_side_no_quota_is_passed,
            decide::a_decision_is_stored_and_its_event_queued,
            decide::a_decision_ends_the_lease,
            decide::a_decision_outlives_a_restart,
            decide::a_second_decision_changes_nothing,
            decide::a_lost_lease_writes_nothing,
            decide::a_lease_of_a_dead_process_writes_nothing,
            decide::a_foreign_tenant_decides_nothing,
            sync::success_is_recorded,
            sync::a_retry_is_counted_and_due_at_its_time,
            sync::success_after_a_retry,
            sync::a_failure_for_good_goes_to_the_dead_letters,
            sync::success_after_a_revival,
            sync::a_lost_lease_writes_nothing,
            sync::every_outcome_outlives_a_restart,
            review::a_review_stands_beside_the_decision,
            review::a_review_that_is_no_news_leaves_the_write_back_alone,
            review::a_review_begins_the_write_back_anew,
            review::another_review_takes_its_place,
            review::an_overtaken_review_writes_nothing,
            review::side_by_side_one_is_first,
            review::a_superseded_write_back_records_nothing,
            review::a_superseded_dead_letter_leaves_the_ticket_alone,
            review::a_review_that_fails_for_good_is_revived,
            review::a_ticket_without_decision_takes_no_review,
            review::a_foreign_tenant_reviews_nothing,
            review::lists_and_history_follow_the_review,
            review::a_review_teaches,
            review_queue::an_empty_queue,
            review_queue::unsure_and_frequent_first,
            review_queue::only_the_last_thirty_days_count,
            review_queue::what_was_reviewed_leaves_the_queue,
            review_queue::filters_and_their_count,
            review_queue::no_gap_and_no_double_over_its_pages,
            review_queue::rubbish_as_cursor_is_invalid,
            review_queue::a_foreign_tenant_sees_nothing,
            list::an_empty_list,
            list::newest_first_with_all_that_is_known,
            list::every_combination_of_filters,
            list::since_is_inside_and_until_outside,
            list::a_foreign_tenant_sees_nothing,
            list::a_list_follows_every_change,
            paging::the_limit_is_kept_and_the_last_page_has_no_cursor,
            paging::no_gap_and_no_double_while_new_ones_come_in,
            paging::no_gap_and_no_double_within_one_millisecond,
            paging::a_filtered_list_is_paged_too,
            paging::a_cursor_outlives_a_restart,
            paging::rubbish_as_cursor_is_invalid,
            paging::a_cursor_of_another_tenant_shows_nothing_of_it,
            history::newest_first_as_decided,
            history::the_newest_ticket_is_first_whenever_it_was_decided,
            history::the_limit_is_kept,
            history::the_ticket_asked_for_is_absent,
            history::undecided_tickets_are_absent,
            history::other_customers_and_tenants_are_absent,
        ]
    );
}
