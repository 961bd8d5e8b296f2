use std::sync::Arc;

use async_trait::async_trait;
use switchboard_core::{
    ids::{DecisionId, TicketId},
    ports::Desk,
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::desk::{Breakage, Observed, desk},
    doubles::{Fault, Server},
    sample::parsed,
};

use crate::{webhook, zendesk};

#[async_trait]
impl Observed for webhook::Setup {
    fn desk(&self) -> Arc<dyn Desk> {
        self.desk.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn ticket(&self, n: u32) -> TicketId {
        parsed(&format!("T-{n}"))
    }

    async fn effects(&self, _ticket: &TicketId, decision: &DecisionId) -> usize {
        self.double.effects().keys().filter(|id| *id == decision.as_str()).count()
    }

    fn break_next(&self, way: Breakage) -> bool {
        break_next(&self.double, way)
    }
}

#[async_trait]
impl Observed for zendesk::Setup {
    fn desk(&self) -> Arc<dyn Desk> {
        self.desk.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn ticket(&self, n: u32) -> TicketId {
        self.double.open(n.into());
        parsed(&format!("ZD-{n}"))
    }

    async fn effects(&self, ticket: &TicketId, decision: &DecisionId) -> usize {
        let number = ticket.as_str().trim_start_matches("ZD-").parse().unwrap();
        self.double.notes_with(number, decision.as_str())
    }

    fn break_next(&self, way: Breakage) -> bool {
        break_next(&self.double, way)
    }
}

pub(crate) fn break_next(server: &Server, way: Breakage) -> bool {
    server.next_write(match way {
        Breakage::BusyBefore => Fault::status(503),
        Breakage::LostBefore => Fault::Drop,
        Breakage::FailedAfter => Fault::ApplyThenAnswer { status: 500 },
        Breakage::LostAfter => Fault::ApplyThenDrop,
    });
    true
}

#[tokio::test]
async fn the_webhook_desk_keeps_the_contract() {
    desk(webhook::Setup::new).await;
}

#[tokio::test]
async fn the_zendesk_desk_keeps_the_contract() {
    desk(zendesk::Setup::new).await;
}
