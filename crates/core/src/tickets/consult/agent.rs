//! A model that plans: it asks for the tools whose answers it wants, and decides when it knows enough.
//!
//! Two prompts, so that nothing is decided where tools are, and no tool is there where something is decided: `plan_ticket` has the
//! tools and ends in nothing, `decide_ticket` has the facts and ends in an opinion. The tools only read, always of this ticket and
//! its customer, and are checked before they run; what they give goes to the model covered like the ticket itself.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Consulted, asked, missing,
    opinion::{DECIDE, Opinion, Question},
    roles,
};
use crate::{
    guard::{Pseudonyms, Redaction},
    ids::CategoryId,
    limits,
    models::{
        Answer, Answered, Asked, Bill, Message, ModelError, Part, Prompt, Role, Template, Tool, ToolResult, ToolUse,
        Usage,
    },
    tickets::{Classification, Sentiment, Severity, ToolName, facts::Facts, tools::millis},
    untrusted::{Closed, Untrusted},
};

const PLAN: Template = Template { name: "plan_ticket", version: 1, source: include_str!("prompts/plan_ticket.jinja") };

/// Tokens of a step: some calls of tools, and room for models that think aloud.
const STEP_TOKENS: u32 = 500;

/// Lets the large model plan and decide, or the small one where the large one is not there; then the local classifier's word
/// stands, and a person looks.
pub(super) async fn consult(facts: &mut Facts<'_>, local: Classification, bill: &Bill) -> (Classification, Consulted) {
    let (app, tenant) = (facts.app, facts.tenant);
    let mut consulted = Consulted::default();
    let mut absent = Vec::new();
    for role in roles(tenant).into_iter().rev() {
        let started = app.clock.monotonic();
        let mut agent = Agent::new(role, &local);
        let outcome = agent.run(facts, bill).await;
        let duration_ms = millis(app.clock.monotonic().saturating_sub(started));
        let prompts = [PLAN.id(), DECIDE.id()].join(" ");
        let tools: Vec<_> = agent.found.keys().collect();
        let input =
            json!({"role": role, "prompt": prompts, "steps": agent.steps, "tools": tools, "refused": agent.refused});
        consulted.prompt = Some(prompts);
        match outcome {
            Ok((opinion, model)) => {
                consulted.gives_orders |= opinion.gives_orders;
                let output = json!({"opinion": opinion, "model": model, "cost_usd": bill.sum().1.usd()});
                facts.journal.calls.push(asked(input, output, duration_ms, true));
                // Who was not there is told by the calls.
                return (opinion.into_classification(tenant, local, role, model), consulted);
            }
            Err(error) => {
                let output = json!({"error": error.to_string()});
                facts.journal.calls.push(asked(input, output, duration_ms, false));
                absent.push(missing(format!("the {role} model: {error}")));
            }
        }
    }
    facts.journal.findings.extend(absent);
    (local, consulted)
}

/// One model at work on one ticket.
struct Agent<'l> {
    role: Role,
    local: &'l Classification,
    /// The same stand-ins in all that it reads.
    pseudonyms: Pseudonyms,
    /// What its tools gave.
    found: BTreeMap<&'static str, Value>,
    steps: u32,
    /// Calls of tools, and those among them that were none.
    calls: usize,
    refused: usize,
    used: Usage,
}

/// The input of a tool that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feeling {
    severity: Severity,
    sentiment: Sentiment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    category: CategoryId,
}

impl Closed for Nothing {}
impl Closed for Feeling {}
impl Closed for Topic {}

impl<'l> Agent<'l> {
    fn new(role: Role, local: &'l Classification) -> Self {
        Self {
            role,
            local,
            pseudonyms: Pseudonyms::default(),
            found: BTreeMap::new(),
            steps: 0,
            calls: 0,
            refused: 0,
            used: Usage::default(),
        }
    }

    /// Plans, then decides: the opinion, and whose it is.
    async fn run(&mut self, facts: &mut Facts<'_>, bill: &Bill) -> Result<(Opinion, String), ModelError> {
        let covered = facts.covered(&mut self.pseudonyms);
        self.plan(facts, &covered, bill).await?;
        let question = Question::of_category_and_team(facts.tenant, self.local);
        let found = Untrusted::new(json!(self.found).to_string());
        let found = self.pseudonyms.cover(&found, &Redaction::of(facts.tenant));
        let prompt = question.prompt(facts.tenant, &covered, Some(found)).map_err(broken)?;
        let answered = self.ask(facts, &prompt, bill, |answer| question.read(answer)).await?;
        let model = format!("{}/{}", answered.provider, answered.model);
        Ok((answered.value, model))
    }

    /// Runs the tools that the model asks for, until it asks for none, or has had enough of steps, calls or tokens.
    async fn plan(
        &mut self,
        facts: &mut Facts<'_>,
        covered: &Untrusted<String>,
        bill: &Bill,
    ) -> Result<(), ModelError> {
        let system = PLAN.render(&json!({"tenant": facts.tenant.config.name})).map_err(broken)?;
        let ticket = Message::user([Part::Quoted { name: "ticket", text: covered.clone() }]);
        let mut prompt = Prompt {
            system,
            messages: vec![ticket],
            tools: tools(self.local),
            schema: None,
            max_tokens: STEP_TOKENS,
            temperature: Some(0.0),
        };
        while self.steps < limits::AGENT_STEPS
            && self.calls < limits::AGENT_TOOL_CALLS
            && self.used.input_tokens + self.used.output_tokens < limits::AGENT_TOKENS
        {
            self.steps += 1;
            let answered = self.ask(facts, &prompt, bill, |answer| Ok(answer.clone())).await?;
            let Answer { text, calls, .. } = answered.value;
            if calls.is_empty() {
                break;
            }
            let mut results = Vec::with_capacity(calls.len());
            for call in &calls {
                results.push(self.use_tool(facts, call).await);
            }
            prompt.messages.push(Message::Assistant { text, calls });
            prompt.messages.push(Message::Tools(results));
        }
        Ok(())
    }

    async fn ask<T: Send>(
        &mut self,
        facts: &Facts<'_>,
        prompt: &Prompt,
        bill: &Bill,
        read: impl Fn(&Answer) -> Result<T, ModelError> + Send + Sync,
    ) -> Result<Answered<T>, ModelError> {
        let asked = Asked { role: self.role, customer: Some(&facts.ticket.customer_id), prompt, bill: Some(bill) };
        let answered = facts.app.gateway.ask(facts.tenant, &asked, read).await?;
        self.used = self.used.and(answered.usage);
        Ok(answered)
    }

    /// One call of the model's: run when it is one of the tools with an input of its form, and told to be an error when not.
    async fn use_tool(&mut self, facts: &mut Facts<'_>, call: &ToolUse) -> ToolResult {
        self.calls += 1;
        let output = if self.calls > limits::AGENT_TOOL_CALLS {
            Err("there were too many calls; answer with what you know")
        } else {
            self.run_tool(facts, call).await
        };
        let (output, is_error) = match output {
            Ok(output) => (output.to_string(), false),
            Err(why) => {
                self.refused += 1;
                (json!({"error": why}).to_string(), true)
            }
        };
        let output = self.pseudonyms.cover(&Untrusted::new(output), &Redaction::of(facts.tenant));
        ToolResult { id: call.id.clone(), output, is_error }
    }

    async fn run_tool(&mut self, facts: &mut Facts<'_>, call: &ToolUse) -> Result<Value, &'static str> {
        const UNKNOWN: &str = "there is no such tool";
        let tool: ToolName = call.name.parse().map_err(|_| UNKNOWN)?;
        let output = match tool {
            ToolName::ClassifyIssue => {
                let Nothing {} = input(call)?;
                self.local.shown()
            }
            ToolName::ExtractEntities => {
                let Nothing {} = input(call)?;
                facts.shown(tool)
            }
            ToolName::CheckVipStatus | ToolName::CheckServiceStatus | ToolName::GetHistoricalContext => {
                let Nothing {} = input(call)?;
                facts.look_up(&[tool]).await;
                facts.shown(tool)
            }
            ToolName::CalculatePriority => {
                let Feeling { severity, sentiment } = input(call)?;
                let priority = facts.priority(&Classification { severity, sentiment, ..self.local.clone() });
                json!({"level": priority.level, "score": priority.score})
            }
            ToolName::RouteToTeam => {
                let Topic { category } = input(call)?;
                let category = facts.tenant.category(&category).ok_or("there is no such category")?;
                let opinion = Opinion::sure_of(category.id.clone(), self.local);
                let said = opinion.into_classification(facts.tenant, self.local.clone(), self.role, String::new());
                let routing = facts.team(&said);
                json!({"team": routing.team, "reason": routing.reason})
            }
        };
        self.found.insert(tool.word(), output.clone());
        Ok(output)
    }
}

fn input<C: Closed + DeserializeOwned>(call: &ToolUse) -> Result<C, &'static str> {
    let read: Option<C> = call.input.read_as(|text| {
        // Some models write nothing where there is nothing to say.
        serde_json::from_str(if text.trim().is_empty() { "{}" } else { text }).ok()
    });
    read.ok_or("the input is not of the tool's form")
}

fn broken(error: crate::error::Error) -> ModelError {
    ModelError::new(crate::models::ModelErrorKind::Invalid, "the prompt cannot be made").caused_by(error)
}

/// The seven tools, as the model sees them.
fn tools(local: &Classification) -> Vec<Tool> {
    let nothing = || json!({"type": "object", "properties": {}, "additionalProperties": false});
    let of = |fields: Value, required: Value| json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false});
    let categories: Vec<_> = local.categories.iter().map(|one| &one.category).take(limits::MODEL_CATEGORIES).collect();
    let tool = |name: ToolName, description: &str, input| Tool {
        name: name.word().to_owned(),
        description: description.to_owned(),
        input,
    };
    vec![
        tool(
            ToolName::ClassifyIssue,
            "What a small classifier takes the ticket for: the most probable categories and teams with their calibrated \
             probabilities, severity, sentiment and language.",
            nothing(),
        ),
        tool(
            ToolName::ExtractEntities,
            "Account numbers, services, error codes, amounts, dates and the like in the ticket.",
            nothing(),
        ),
        tool(
            ToolName::CheckVipStatus,
            "Who the customer is: kind of account, VIP or not, language. null when nobody knows.",
            nothing(),
        ),
        tool(
            ToolName::CheckServiceStatus,
            "Outages and known issues of the services that the ticket names.",
            nothing(),
        ),
        tool(
            ToolName::GetHistoricalContext,
            "The customer's last tickets: categories, teams, priorities, and whether a person had to look.",
            nothing(),
        ),
        tool(
            ToolName::CalculatePriority,
            "The priority that the tenant's weights give for a severity and a sentiment, with what was looked up so far.",
            of(
                json!({
                    "severity": {"type": "string", "enum": Severity::ALL},
                    "sentiment": {"type": "string", "enum": Sentiment::ALL},
                }),
                json!(["severity", "sentiment"]),
            ),
        ),
        tool(
            ToolName::RouteToTeam,
            "The team that the tenant's rules give a ticket of a category, with what was looked up so far.",
            of(json!({"category": {"type": "string", "enum": categories}}), json!(["category"])),
        ),
    ]
}
