//! A bus, a queue of jobs with its dead letters, and the rule between them, as the infrastructure makes them.

use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use switchboard_aws::{Clients, tables::TABLES};

use crate::emulator;

/// Fresh tables with all that a deployment has.
pub(crate) async fn deployed() -> Clients {
    let mut clients = emulator::fresh().await;
    for table in TABLES {
        backed_up(&clients, table.name).await;
        expiring(&clients, table.name).await;
    }
    let prefix = clients.names.prefix.clone();
    let (_, dead) = queue(&clients, &format!("{prefix}-jobs-dead"), None).await;
    let (url, arn) = queue(&clients, &format!("{prefix}-jobs"), Some(&dead)).await;
    clients.names.jobs_queue = Some(url.parse().unwrap());
    let bus = clients.names.bus.clone();
    clients.events.create_event_bus().name(&bus).send().await.unwrap();
    let pattern = r#"{"source":["support.ticketing"],"detail-type":["TicketReceived"]}"#;
    clients.events.put_rule().name("work").event_bus_name(&bus).event_pattern(pattern).send().await.unwrap();
    let target = Target::builder().id("jobs").arn(arn).build().unwrap();
    clients.events.put_targets().rule("work").event_bus_name(&bus).targets(target).send().await.unwrap();
    clients
}

async fn backed_up(clients: &Clients, table: &str) {
    use aws_sdk_dynamodb::types::PointInTimeRecoverySpecification;

    let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().unwrap();
    let request = clients.dynamo.update_continuous_backups().table_name(clients.names.table(table));
    request.point_in_time_recovery_specification(on).send().await.unwrap();
}

async fn expiring(clients: &Clients, table: &str) {
    use aws_sdk_dynamodb::types::TimeToLiveSpecification;

    let on = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().unwrap();
    let request = clients.dynamo.update_time_to_live().table_name(clients.names.table(table));
    request.time_to_live_specification(on).send().await.unwrap();
}

/// A queue's URL and ARN.
pub(crate) async fn queue(clients: &Clients, name: &str, dead: Option<&str>) -> (String, String) {
    let redrive = dead.map(|arn| format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":5}}"#));
    let mut request = clients.sqs.create_queue().queue_name(name);
    if let Some(redrive) = redrive {
        request = request.attributes(QueueAttributeName::RedrivePolicy, redrive);
    }
    let url = request.send().await.unwrap().queue_url.unwrap();
    let asked = clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let arn = asked.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    (url, arn)
}

/// The bodies of `count` messages; fewer when no more come within a second.
pub(crate) async fn receive(clients: &Clients, count: usize) -> Vec<String> {
    let url = clients.names.jobs_queue.as_ref().unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let asked = clients.sqs.receive_message().queue_url(url.as_str()).max_number_of_messages(10);
        let wait = Duration::from_secs(1).as_secs();
        let answer = asked.wait_time_seconds(i32::try_from(wait).unwrap()).send().await.unwrap();
        if answer.messages().is_empty() {
            break;
        }
        for message in answer.messages() {
            bodies.push(message.body().unwrap().to_owned());
            let handle = message.receipt_handle().unwrap();
            clients.sqs.delete_message().queue_url(url.as_str()).receipt_handle(handle).send().await.unwrap();
        }
    }
    bodies
}
