//! Small valid values for tests: a test changes the one field that it is about.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use switchboard_core::{
    access::{
        KeyHash, Scope,
        audit::{Action, Actor, By, Details, Label, NewAuditEntry},
    },
    event::{Event, EventDetail, TicketReceived, TicketReviewed, TicketRouted, TicketSyncFailed, TicketSynced},
    limits,
    models::{Message, Part, Prompt},
    ports::{
        Customer, Example, ExampleSource, Ids, KeyRecord, Lane, NewReview, NewTicket, StoredCustomer, TenantScope,
    },
    tenants::{QuotasConfig, Tenant},
    tickets::{
        Attachment, CategoryProbability, DecidedBy, Decision, Entity, Finding, IssueClassification, PriorityLevel,
        PriorityTerm, Sentiment, Severity, Ticket, Tokens, ToolCall, ToolName,
        review::{Assignment, Changed, Review, Reviewer},
    },
    time::Timestamp,
    untrusted::Untrusted,
};

use crate::world::start;

/// The configuration behind [`tenant`].
pub fn tenant_json() -> Value {
    json!({
        "tenant_id": "acme",
        "name": "Acme",
        "languages": ["en", "de"],
        "teams": [
            {"id": "billing", "name": "Billing", "description": "invoices and payments"},
            {"id": "support", "name": "Support", "description": "everything technical"},
        ],
        "categories": [
            {
                "id": "invoice", "name": "Invoice", "team": "billing", "severity": "low",
                "description": "questions about an invoice, a charge or a payment",
                "examples": ["I was charged twice this month", "please send me the invoice of May"],
            },
            {
                "id": "outage", "name": "Outage", "team": "support", "severity": "high",
                "description": "the service does not work at all",
                "examples": ["no internet since this morning", "everything is down"],
            },
        ],
        "routing_rules": [{"name": "legal", "when": {"any_keyword": ["lawyer"]}, "team": "billing"}],
        // Two categories with two examples each teach too little to be sure: no look for that alone.
        "review": {"precision": 0.0},
        "service_levels": [{"account_type": "business", "urgency": 0.8}],
    })
}

/// The tenant `acme` with two teams and two categories.
pub fn tenant() -> Tenant {
    tenant_with(|_| {})
}

/// The tenant `acme` with a change to its configuration.
pub fn tenant_with(change: impl FnOnce(&mut Value)) -> Tenant {
    let mut config = tenant_json();
    change(&mut config);
    Tenant::from_json(config.to_string().as_bytes()).expect("a valid tenant")
}

/// The tenant `acme` with the small models `a` and `b` and the large one `l`, which all cost a dollar for a thousand tokens, and a
/// budget of so many dollars a month.
pub fn tenant_with_models(month_usd: f64) -> Tenant {
    let link =
        |model: &str| json!({"provider": "here", "model": model, "price": {"input": 1_000.0, "output": 1_000.0}});
    tenant_with(|config| {
        config["models"] = json!({
            "mode": "cascade",
            "providers": {"here": {"kind": "openai", "url": "https://models.example/v1"}},
            "small": [link("a"), link("b")],
            "large": [link("l")],
            "budget": {"month_usd": month_usd},
        });
    })
}

/// A question to a model that quotes `text`; an answer may have 100 tokens.
pub fn prompt(text: &str) -> Prompt {
    let quoted = Part::Quoted { name: "ticket", text: Untrusted::new(text.to_owned()) };
    Prompt {
        system: "You choose.".to_owned(),
        messages: vec![Message::user([Part::Trusted("Which?".to_owned()), quoted])],
        tools: Vec::new(),
        schema: None,
        max_tokens: 100,
        temperature: Some(0.0),
    }
}

/// The scope of the tenant of that name.
pub fn scope(tenant: &str) -> TenantScope {
    TenantScope::of_operator(parsed(tenant))
}

/// Any id from its text, which must have the id's form.
pub fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("sample id {text:?}: {error:?}"))
}

/// Ticket `T-n` of customer `C-n`, accepted `n` seconds into the day before [`start`].
pub fn ticket(n: u32) -> Ticket {
    let accepted_at = start().minus(Duration::from_secs(24 * 3_600)).plus(Duration::from_secs(n.into()));
    Ticket {
        id: parsed(&format!("T-{n}")),
        customer_id: parsed(&format!("C-{n}")),
        subject: Untrusted::new(format!("No internet ({n})")),
        description: Untrusted::new("Nothing loads since this morning. My service is SVC204.".to_owned()),
        timestamp: accepted_at.minus(Duration::from_millis(250)),
        channel: Some(parsed("email")),
        language: Some(parsed("en")),
        attachments: vec![Attachment {
            name: Untrusted::new("router.jpg".to_owned()),
            media_type: Untrusted::new("image/jpeg".to_owned()),
            url: Untrusted::new("https://files.example.com/router.jpg".to_owned()),
        }],
        metadata: Untrusted::new(BTreeMap::from([("plan".to_owned(), "fibre 500".to_owned())])),
        accepted_at,
        correlation_id: parsed(&format!("req-{n}")),
        idempotency_key: None,
    }
}

/// `ticket` on its way into the store, with its `TicketReceived`.
pub fn new_ticket(scope: &TenantScope, ticket: Ticket, ids: &dyn Ids) -> NewTicket {
    let detail = EventDetail::TicketReceived(TicketReceived::of(&ticket));
    NewTicket {
        lane: Lane::Ordinary,
        event: event(scope, &ticket, ticket.accepted_at, detail, ids),
        idempotency_key: ticket.idempotency_key.clone(),
        quotas: QuotasConfig::default(),
        ticket,
    }
}

/// An event about `ticket`.
pub fn event(scope: &TenantScope, ticket: &Ticket, at: Timestamp, detail: EventDetail, ids: &dyn Ids) -> Event {
    Event {
        id: switchboard_core::ids::EventId::from_ulid(ids.ulid(at)),
        tenant: scope.tenant().clone(),
        at,
        correlation_id: ticket.correlation_id.clone(),
        detail,
    }
}

/// A decision about `ticket`, made one second after it was accepted: team `support`, priority `high`, no review.
pub fn decision(ticket: &Ticket, ids: &dyn Ids) -> Decision {
    let at = ticket.accepted_at.plus(Duration::from_secs(1));
    Decision {
        decision_id: switchboard_core::ids::DecisionId::from_ulid(ids.ulid(at)),
        ticket_id: ticket.id.clone(),
        timestamp: at,
        customer_id: ticket.customer_id.clone(),
        assigned_team: parsed("support"),
        priority_level: PriorityLevel::High,
        priority_score: 62.5,
        priority_terms: vec![PriorityTerm {
            term: "severity".to_owned(),
            value: 0.75,
            weight: 0.35,
            points: 26.25,
            reason: "the severity is high".to_owned(),
        }],
        confidence_score: 0.8712,
        issue_classification: IssueClassification {
            primary_category: parsed("outage"),
            secondary_category: None,
            severity: Severity::High,
            sentiment: Sentiment::Negative,
            language: Some(parsed("en")),
            probabilities: vec![
                CategoryProbability { category: parsed("outage"), probability: 0.8712 },
                CategoryProbability { category: parsed("invoice"), probability: 0.1288 },
            ],
            certainty: None,
        },
        entities: BTreeMap::from([(
            parsed("service_ids"),
            vec![Entity { value: "SVC204".to_owned(), normalized: Some("SVC204".to_owned()), span: None }],
        )]),
        reasoning: "Assigned to Support: the words say \u{201c}outage\u{201d}.".to_owned(),
        requires_manual_review: false,
        review_reasons: Vec::new(),
        findings: vec![Finding {
            tool: ToolName::CheckServiceStatus,
            detail: "the status page gave no answer".to_owned(),
        }],
        decided_by: DecidedBy::Local,
        model: "sample-1".to_owned(),
        prompt: None,
        processing_time_ms: 3.25,
        tool_calls: vec![ToolCall {
            name: ToolName::ClassifyIssue,
            input: json!({"categories": 2}),
            output: json!({"category": "outage"}),
            duration_ms: 0.5,
            ok: true,
        }],
        tokens: Tokens::default(),
        cost_usd: 0.0,
        trial: None,
        correlation_id: ticket.correlation_id.clone(),
        config_version: parsed("0123456789abcdef"),
        created_at: at,
        ttl: at.plus(limits::TICKET_RETENTION).as_millis() / 1_000,
    }
}

/// The `TicketRouted` of `decision`.
pub fn routed(scope: &TenantScope, ticket: &Ticket, decision: &Decision, ids: &dyn Ids) -> Event {
    let detail = EventDetail::TicketRouted(TicketRouted {
        ticket_id: decision.ticket_id.clone(),
        decision_id: decision.decision_id.clone(),
        assigned_team: decision.assigned_team.clone(),
        priority_level: decision.priority_level,
        confidence_score: decision.confidence_score,
        requires_manual_review: decision.requires_manual_review,
    });
    event(scope, ticket, decision.created_at, detail, ids)
}

/// A review of `decision` one minute after it, the first of its ticket: it goes to `billing` as an `invoice` with the same
/// priority, and the desk is to be told.
pub fn review(scope: &TenantScope, ticket: &Ticket, decision: &Decision, ids: &dyn Ids) -> NewReview {
    let at = decision.created_at.plus(Duration::from_secs(60));
    let review = Review {
        review_id: switchboard_core::ids::DecisionId::from_ulid(ids.ulid(at)),
        ticket_id: ticket.id.clone(),
        decision_id: decision.decision_id.clone(),
        reviewer: Reviewer::Key { id: parsed("000000000000ab01"), name: "console of \u{201c}acme\u{201d}".to_owned() },
        at,
        assignment: Assignment {
            team: parsed("billing"),
            priority: decision.priority_level,
            category: parsed("invoice"),
        },
        note: Some(Untrusted::new("It is the invoice that they dispute.\n\"quoted\" \u{1f525}".to_owned())),
        changed: Changed { team: true, priority: false, category: true },
        decided: Assignment::of(decision),
        former_categories: Vec::new(),
        correlation_id: parsed("req-review"),
    };
    review_again(scope, ticket, review, None, true, ids)
}

/// `review` on its way into the store in the place of `replaces`, with all that belongs to it.
pub fn review_again(
    scope: &TenantScope,
    ticket: &Ticket,
    review: Review,
    replaces: Option<&Review>,
    write_back: bool,
    ids: &dyn Ids,
) -> NewReview {
    let detail = EventDetail::TicketReviewed(TicketReviewed {
        ticket_id: review.ticket_id.clone(),
        review_id: review.review_id.clone(),
        decision_id: review.decision_id.clone(),
        reviewer: review.reviewer.clone(),
        assigned_team: review.assignment.team.clone(),
        priority_level: review.assignment.priority,
        primary_category: review.assignment.category.clone(),
        changed: review.changed,
        write_back,
    });
    NewReview {
        event: event(scope, ticket, review.at, detail, ids),
        example: Example {
            id: review.ticket_id.clone().into(),
            text: ticket.text(),
            category: Some(review.assignment.category.clone()),
            team: Some(review.assignment.team.clone()),
            source: ExampleSource::Review,
            at: review.at,
        },
        replaces: replaces.map(|replaced| replaced.review_id.clone()),
        review,
    }
}

/// Example `E-n`, imported `n` seconds after [`start`].
pub fn example(n: u32) -> Example {
    Example {
        id: parsed(&format!("E-{n}")),
        text: Untrusted::new(format!("Wrong invoice ({n})\n\nYou charged me twice \u{1f525}.")),
        category: (!n.is_multiple_of(3)).then(|| parsed("invoice")),
        team: (!n.is_multiple_of(4)).then(|| parsed("billing")),
        source: ExampleSource::Import,
        at: start().plus(Duration::from_secs(n.into())),
    }
}

/// The `TicketSynced` of `decision`, one second after it.
pub fn synced(scope: &TenantScope, ticket: &Ticket, decision: &Decision, receipt: &str, ids: &dyn Ids) -> Event {
    let detail = EventDetail::TicketSynced(TicketSynced {
        ticket_id: decision.ticket_id.clone(),
        decision_id: decision.decision_id.clone(),
        receipt: receipt.to_owned(),
    });
    event(scope, ticket, decision.created_at.plus(Duration::from_secs(1)), detail, ids)
}

/// The `TicketSyncFailed` of `decision`, one second after it.
pub fn sync_failed(scope: &TenantScope, ticket: &Ticket, decision: &Decision, error: &str, ids: &dyn Ids) -> Event {
    let detail = EventDetail::TicketSyncFailed(TicketSyncFailed {
        ticket_id: decision.ticket_id.clone(),
        decision_id: decision.decision_id.clone(),
        error: error.to_owned(),
    });
    event(scope, ticket, decision.created_at.plus(Duration::from_secs(1)), detail, ids)
}

/// Customer `C-n`: every third a VIP, every second a business.
pub fn customer(n: u32) -> Customer {
    Customer {
        customer_id: parsed(&format!("C-{n}")),
        is_vip: n.is_multiple_of(3),
        account_type: parsed(if n.is_multiple_of(2) { "business" } else { "residential" }),
        language: (!n.is_multiple_of(5)).then(|| parsed("de-AT")),
    }
}

/// Customer `C-n` as an operator keeps it.
pub fn stored_customer(n: u32) -> StoredCustomer {
    StoredCustomer { customer: customer(n), fetched_at: None }
}

/// The record of an API key of `tenant`, made `n` seconds after [`start`].
pub fn key(tenant: &str, n: u8) -> KeyRecord {
    KeyRecord {
        id: parsed(&format!("{:016x}", 0xab00 + u32::from(n))),
        tenant: parsed(tenant),
        name: format!("key {n} of \u{201c}{tenant}\u{201d}"),
        scopes: vec![Scope::TicketsWrite, Scope::TicketsRead],
        hash: KeyHash([n; 32]),
        created_at: start().plus(Duration::from_secs(n.into())),
        expires_at: None,
        revoked_at: None,
        used_at: None,
    }
}

/// An act about acme's key `n`, as the entry of an audit log.
pub fn act(action: Action, n: u8) -> NewAuditEntry {
    let actor = Actor::CommandLine { user: Label::new("ada"), uid: Some(1_000) };
    let by = By { actor, correlation_id: Some(parsed(&format!("c-{n}"))) };
    let details =
        Details { name: Some(Label::new("key of \u{201c}acme\u{201d}")), count: Some(n.into()), ..Details::default() };
    by.did(action, Some(&parsed("acme"))).to(key("acme", n).id).with(details)
}
