//! What it costs to run.

mod bill;
mod spend;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use self::bill::{Bill, Deployment, Front, PriceList};
pub(super) use self::spend::spend;
use crate::{args, output};

/// The prices, with their date and where they can be compared.
const PRICES: &str = include_str!("../../../../../infra/prices.json");
/// What the first sketch of such a system reckoned with, in dollars a month, at so many tickets a day; so much of it for models.
const SKETCH: (f64, u64, f64) = (280.0, 1_000, 180.0);

pub(super) fn costs(asked: &args::Costs, as_json: bool) -> Result<ExitCode> {
    let prices: PriceList = serde_json::from_str(PRICES).context("infra/prices.json is not what it should be")?;
    let front = if asked.rest { Front::Rest } else { Front::Http };
    let bill = bill::bill(&prices.prices, &Deployment { tickets_per_day: asked.tickets_per_day, front });
    let (sketch_usd, sketch_tickets, sketch_models) = SKETCH;
    if as_json {
        output::json(&json!({
            "prices_of": prices.date, "region": prices.region, "tickets_per_day": asked.tickets_per_day,
            "items": bill.items, "usd_per_month": bill.total(), "usd_per_thousand_tickets": bill.of_thousand(),
            "sketch": {"usd_per_month": sketch_usd, "tickets_per_day": sketch_tickets, "of_it_models_usd": sketch_models},
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&prices, &bill);
    println!(
        "The first sketch of such a system: ${sketch_usd:.0} a month at {sketch_tickets} tickets a day, \
         ${sketch_models:.0} of it for models."
    );
    Ok(ExitCode::SUCCESS)
}

fn show(prices: &PriceList, bill: &Bill) {
    let rows = bill.items.iter().map(|item| {
        vec![
            item.service.to_owned(),
            item.what.to_owned(),
            amount(item.quantity),
            item.unit.to_owned(),
            format!("{:.2}", item.usd),
        ]
    });
    output::table(&["service", "what", "a month", "unit", "$"], rows.collect(), "");
    println!(
        "${:.2} a month for {} tickets a day, ${:.3} a thousand tickets; language models not included.\n\
         List prices of {} in {}, without free tiers: {}",
        bill.total(),
        bill.tickets_per_day,
        bill.of_thousand(),
        prices.date,
        prices.region,
        prices.note,
    );
}

/// A quantity with as many digits as say something.
fn amount(quantity: f64) -> String {
    if quantity >= 100.0 { format!("{quantity:.0}") } else { format!("{quantity:.2}") }
}
