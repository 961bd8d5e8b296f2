//! Where the local classifier is not sure: a small model, then a large one, then a person.

use serde_json::json;

use super::{
    Consulted, asked, missing,
    opinion::{DECIDE, Opinion},
    roles,
};
use crate::{
    guard::Pseudonyms,
    models::{Answered, Asked, Bill, ModelError, Prompt, Role},
    tickets::{Classification, facts::Facts, tools::millis},
};

pub(in crate::tickets) use super::opinion::Question;

/// Asks the small model and, where it is not sure, the large one.
pub(super) async fn consult(facts: &mut Facts<'_>, local: Classification, bill: &Bill) -> (Classification, Consulted) {
    let (app, tenant) = (facts.app, facts.tenant);
    let mut consulted = Consulted::default();
    let question = Question::of_category(tenant, &local);
    let prompt = match question.prompt(tenant, &facts.covered(&mut Pseudonyms::default()), None) {
        Ok(prompt) => prompt,
        Err(error) => {
            facts.journal.findings.push(missing(error.report()));
            return (local, consulted);
        }
    };
    consulted.prompt = Some(DECIDE.id());
    let mut known = local;
    let mut absent = Vec::new();
    for role in roles(tenant) {
        let started = app.clock.monotonic();
        let answer = ask(facts, role, &question, &prompt, bill).await;
        let duration_ms = millis(app.clock.monotonic().saturating_sub(started));
        let input = json!({"role": role, "prompt": DECIDE.id(), "categories": question.categories.len()});
        match answer {
            Ok(answered) => {
                let opinion = answered.value;
                consulted.gives_orders |= opinion.gives_orders;
                let model = format!("{}/{}", answered.provider, answered.model);
                let output = json!({"opinion": opinion, "model": model, "cost_usd": answered.cost.usd()});
                facts.journal.calls.push(asked(input, output, duration_ms, true));
                let is_sure = opinion.is_sure(tenant, role);
                known = opinion.into_classification(tenant, known, role, model);
                if is_sure {
                    // Who was not there is told by the calls, and nobody needs to look.
                    return (known, consulted);
                }
            }
            Err(error) => {
                let output = json!({"error": error.to_string()});
                facts.journal.calls.push(asked(input, output, duration_ms, false));
                absent.push(missing(format!("the {role} model: {error}")));
            }
        }
    }
    facts.journal.findings.extend(absent);
    (known, consulted)
}

/// Asks the models of one chain.
pub(in crate::tickets) async fn ask(
    facts: &Facts<'_>,
    role: Role,
    question: &Question,
    prompt: &Prompt,
    bill: &Bill,
) -> Result<Answered<Opinion>, ModelError> {
    let asked = Asked { role, customer: Some(&facts.ticket.customer_id), prompt, bill: Some(bill) };
    facts.app.gateway.ask(facts.tenant, &asked, |answer| question.read(answer)).await
}
