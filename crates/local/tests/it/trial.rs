//! A second configuration beside the first: what it decides, and what it never changes.

use serde_json::{Value, json};
use switchboard_core::{
    models::{ModelError, ModelErrorKind},
    ports::TicketFile,
    tenants::Tenant,
    tickets::{
        Decision, SyncState, Ticket,
        trial::{Arm, TrialComparison, TrialRecord, decide},
    },
};
use switchboard_testkit::{
    sample,
    scripted_model::{ScriptedModel, Turn},
};

use crate::cascade::{Desk, SMALL, ticket};

/// `acme` without models, and a cascade that is tried.
fn tenant(kind: &str, share: f64) -> Tenant {
    sample::tenant_with(|config| {
        config["review"] = json!({"precision": 0.99});
        config["models"] = json!({
            "providers": {"somewhere": {"kind": "openai", "url": "https://models.example.org/v1"}},
            "budget": {"month_usd": 10},
        });
        config["trial"] = json!({
            "name": "cascade", "kind": kind, "share": share, "wait_seconds": 2,
            "models": {"mode": "cascade", "small": [{"provider": "somewhere", "model": SMALL}]},
        });
    })
}

fn says(category: &str) -> Turn {
    let opinion = json!({
        "category": category, "severity": "high", "sentiment": "negative", "confidence": 95, "gives_orders": false,
    });
    Turn::Says(opinion.to_string())
}

fn numbered(n: u32) -> Ticket {
    Ticket { id: sample::ticket(n).id, ..ticket("please send me the invoice of May") }
}

async fn decided(desk: &Desk, tenant: &Tenant, n: u32) -> Decision {
    decide(&desk.app, tenant, &numbered(n)).await
}

fn record(decision: &Decision) -> &TrialRecord {
    decision.trial.as_ref().expect("a part in the trial")
}

#[tokio::test]
async fn a_shadow_is_recorded_and_changes_nothing() {
    let desk = Desk::with(ScriptedModel::new(|_, _, _| says("outage"))).await;
    let without = {
        let mut tenant = tenant("shadow", 1.0);
        tenant.trial = None;
        decided(&desk, &tenant, 1).await
    };
    let tenant = tenant("shadow", 1.0);
    let decision = decided(&desk, &tenant, 1).await;
    let plain = |decision: &Decision| {
        let mut shown = serde_json::to_value(decision).unwrap();
        for field in ["trial", "decision_id", "processing_time_ms", "tool_calls"] {
            shown[field] = Value::Null;
        }
        shown
    };
    assert_eq!(plain(&decision), plain(&without));
    assert_eq!(decision.cost_usd, 0.0, "the shadow's cost is its own");
    let record = record(&decision);
    assert_eq!((record.arm, record.is_late), (Arm::Control, false));
    let shadow = record.shadow.as_ref().unwrap();
    assert_eq!((shadow.assigned_team.as_str(), shadow.primary_category.as_str()), ("support", "outage"));
    assert_eq!((shadow.requires_manual_review, decision.requires_manual_review), (false, true));
    assert!(shadow.cost_usd > 0.0);
    let look_ups = decision.tool_calls.iter().filter(|call| call.name.word() == "check_vip_status").count();
    assert_eq!(look_ups, 1, "both decide from one look");
    let again: Decision = serde_json::from_value(serde_json::to_value(&decision).unwrap()).unwrap();
    assert_eq!(again, decision);
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn a_shadow_that_fails_or_hangs_costs_the_ticket_nothing_but_a_bounded_wait() {
    let desk = Desk::with(ScriptedModel::new(|_, _, _| Turn::Hangs(String::new()))).await;
    let tenant = tenant("shadow", 1.0);
    let (decision, ()) = tokio::join!(decided(&desk, &tenant, 1), async {
        // Until all that can be done without time is done.
        while desk.bench.clock.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        desk.bench.clock.advance(std::time::Duration::from_secs(2));
    });
    assert_eq!((record(&decision).is_late, record(&decision).shadow.is_none()), (true, true));
    desk.bench.app.finish().await;

    let down = |_: usize, _: &_, _: &_| Turn::Fails(ModelError::new(ModelErrorKind::Unauthorised, "the key is wrong"));
    let desk = Desk::with(ScriptedModel::new(down)).await;
    let decision = decided(&desk, &tenant, 1).await;
    let shadow = record(&decision).shadow.as_ref().unwrap();
    assert_eq!((&shadow.assigned_team, shadow.requires_manual_review), (&decision.assigned_team, true));
    assert!(!decision.review_reasons.iter().any(|reason| reason.contains("language model")));
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn a_split_decides_its_share_and_the_comparison_tells_both_apart() {
    let desk = Desk::with(ScriptedModel::new(|_, _, _| says("outage"))).await;
    let tenant = tenant("split", 0.5);
    let (mut comparison, mut tried) = (TrialComparison::default(), 0);
    for n in 0..40 {
        let decision = decided(&desk, &tenant, n).await;
        let is_tried = record(&decision).arm == Arm::Trial;
        assert_eq!(decision.assigned_team.as_str(), if is_tried { "support" } else { "billing" });
        assert_eq!(is_tried, tenant.trial.as_ref().unwrap().takes(&numbered(n).id));
        tried += u64::from(is_tried);
        // Somebody has looked, and says that it was an invoice.
        let mut review = sample::review(&sample::scope("acme"), &numbered(n), &decision, desk.app.ids.as_ref()).review;
        review.assignment.team = sample::parsed("billing");
        review.assignment.category = sample::parsed("invoice");
        let file = TicketFile {
            ticket: numbered(n),
            decision: Some(decision),
            review: Some(review),
            sync: SyncState::pending(),
            sync_of: None,
        };
        comparison.add(&sample::parsed("cascade"), &file);
        comparison.add(&sample::parsed("another"), &file);
    }
    assert!((10..30).contains(&tried), "{tried}");
    let TrialComparison { control, trial, both, .. } = comparison;
    assert_eq!((trial.tickets, control.tickets, both), (tried, 40 - tried, 0));
    assert_eq!((trial.automatic, trial.team_right, trial.automatic_right), (tried, 0, 0));
    assert_eq!((control.automatic, control.team_right, control.category_right), (0, 40 - tried, 40 - tried));
    assert!(trial.cost_usd > 0.0 && control.cost_usd == 0.0);
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn tickets_that_do_not_take_part_are_decided_as_ever() {
    let desk = Desk::with(ScriptedModel::new(|_, _, _| says("outage"))).await;
    let tenant = tenant("shadow", 0.000_001);
    assert_eq!(decided(&desk, &tenant, 1).await.trial, None);
    assert!(desk.asked().is_empty());
    desk.bench.app.finish().await;
}
