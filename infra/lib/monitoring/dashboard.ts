import { aws_cloudwatch as cloudwatch, Duration } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { ROLES } from "../settings.js";
import { errorRate, serverErrorRate, type Watched } from "./alarms.js";
import { own, share, theirs } from "./metrics.js";

const WIDTH = 8;
/** What becomes of an event that was worked on (`Outcome` in `crates/core/src/jobs/work.rs`). */
const OUTCOMES = ["done", "retried", "deferred", "buried", "left"];

/** What there is to see at a glance, tickets first. */
export function dashboard(scope: Construct, watched: Watched): cloudwatch.Dashboard {
  const { settings, events, api } = watched;
  const [five, hour] = [Duration.minutes(5), Duration.hours(1)];
  const metric = (name: string, statistic: string, period = five) => own(settings.prefix, name, statistic, period);
  const graph = (title: string, ...left: cloudwatch.IMetric[]) => new cloudwatch.GraphWidget({ title, left, width: WIDTH });
  const percentiles = (name: string) => ["p50", "p95", "p99"].map((statistic) => metric(name, statistic));
  // Shares by team and priority are fields of the log lines and no dimensions: each dimension would cost by the month.
  const shares = (title: string, field: string, view: cloudwatch.LogQueryVisualizationType) =>
    new cloudwatch.LogQueryWidget({
      title,
      view,
      width: WIDTH,
      logGroupNames: [`/aws/lambda/${settings.prefix}-jobs`],
      queryLines: [`filter message = "ticket routed"`, `stats count(*) as tickets by ${field}`, "sort tickets desc"],
    });
  const lambdas = (title: string, name: string, statistic: string) =>
    graph(title, ...ROLES.map((role) => theirs("Lambda", name, { FunctionName: `${settings.prefix}-${role}` }, statistic, five)));

  const board = new cloudwatch.Dashboard(scope, "Dashboard", {
    dashboardName: settings.prefix,
    defaultInterval: Duration.hours(24),
  });
  board.addWidgets(
    graph("tickets", metric("TicketsAccepted", "Sum"), metric("TicketsProcessed", "Sum")),
    graph("processing time, s", ...percentiles("ProcessingTime")),
    graph("from acceptance to decision, s", ...percentiles("TimeToDecision")),
  );
  board.addWidgets(
    graph("confidence", metric("ConfidenceScore", "Average"), metric("ConfidenceScore", "p10"), metric("ConfidenceScore", "p50")),
    graph(
      "people, %",
      share(settings.prefix, "asked for a person, %", "ManualReviewRate", 1, hour),
      share(settings.prefix, "routing accuracy by reviews, %", "RoutingAccuracy", 1, hour),
    ),
    graph("write-backs", metric("TicketingSystemSyncs", "Sum"), metric("TicketingSystemSyncFailures", "Sum")),
  );
  board.addWidgets(
    shares("teams", "team", cloudwatch.LogQueryVisualizationType.PIE),
    shares("priorities", "priority", cloudwatch.LogQueryVisualizationType.BAR),
    graph("failures, %", errorRate(settings, five), serverErrorRate(api, five)),
  );
  board.addWidgets(
    graph(
      "waiting",
      metric("QueueDepth", "Maximum"),
      theirs("SQS", "ApproximateNumberOfMessagesVisible", { QueueName: events.jobs.queueName }, "Maximum", five),
    ),
    graph(
      "dead letters",
      metric("DeadLetters", "Maximum"),
      // A message that names no event ends there after its deliveries.
      metric("MessagesUnread", "Sum"),
      ...Object.values(events.dead).map(({ queueName }) =>
        theirs("SQS", "ApproximateNumberOfMessagesVisible", { QueueName: queueName }, "Maximum", five),
      ),
    ),
    graph("oldest, s", metric("QueueAge", "Maximum"), theirs("SQS", "ApproximateAgeOfOldestMessage", { QueueName: events.jobs.queueName }, "Maximum", five)),
  );
  board.addWidgets(
    lambdas("functions: at the same time", "ConcurrentExecutions", "Maximum"),
    lambdas("functions: time, ms (p99)", "Duration", "p99"),
    lambdas("functions: errors", "Errors", "Sum"),
  );
  board.addWidgets(
    graph("events by outcome", ...OUTCOMES.map((Outcome) => own(settings.prefix, "EventsHandled", "Sum", five, { Outcome }))),
    graph("refused", metric("TicketsRefused", "Sum"), metric("RequestsRefused", "Sum")),
    graph("time of a request, s", ...percentiles("RequestTime")),
  );
  board.addWidgets(
    graph("calls of language models", metric("ModelCalls", "Sum"), metric("ModelErrors", "Sum")),
    graph("time of a call of a model, s", ...percentiles("ModelLatency"), metric("FirstTokenTime", "p50")),
    graph("tokens of models, and dollars", metric("ModelTokens", "Sum"), metric("ModelCost", "Sum")),
  );
  return board;
}
