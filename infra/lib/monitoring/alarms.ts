import { aws_cloudwatch as cloudwatch, Duration } from "aws-cdk-lib";

import type { Api } from "../api.js";
import type { Events } from "../events.js";
import { type Role, ROLES, type Settings } from "../settings.js";
import { TABLES } from "../tables.js";
import { own, percent, share, theirs } from "./metrics.js";

/** An alarm: the metric, and how far over (or under) `limit` it may be for how long. */
export interface AlarmOfList {
  /** Its name behind the prefix. */
  readonly name: string;
  readonly severity: "critical" | "warning";
  readonly what: string;
  readonly metric: cloudwatch.IMetric;
  readonly limit: number;
  readonly below?: boolean;
  /** Periods of the metric that it must last. */
  readonly periods?: number;
  /** Whether it takes a new version back while its traffic grows. */
  readonly rollsBack?: boolean;
}

/** What the alarms look at. */
export interface Watched {
  readonly settings: Settings;
  readonly events: Events;
  readonly api: Api;
}

/** Fewer events or requests in a period are no rate. */
const LEAST = 20;
/** The same of calls of models in a minute. */
const LEAST_CALLS = 5;

/** All alarms. The limits of the first two groups are the specification's. */
export function alarms(watched: Watched): AlarmOfList[] {
  return [...critical(watched), ...warning(watched), ...services(watched)];
}

function critical({ settings, api }: Watched): AlarmOfList[] {
  const five = Duration.minutes(5);
  const severity = "critical";
  return [
    {
      name: "error-rate-critical",
      severity,
      what: "over 10 % of the events failed for 5 minutes",
      metric: errorRate(settings, five),
      limit: 10,
      rollsBack: true,
    },
    {
      name: "http-error-rate-critical",
      severity,
      what: "over 10 % of the requests were answered with 5xx for 5 minutes",
      metric: serverErrorRate(api, five),
      limit: 10,
      rollsBack: true,
    },
    {
      name: "processing-time-critical",
      severity,
      what: "one decision of a hundred took over 10 s for 5 minutes",
      metric: own(settings.prefix, "ProcessingTime", "p99", five),
      limit: 10,
      rollsBack: true,
    },
    {
      name: "sync-failures-critical",
      severity,
      what: "over 20 write-backs failed in 5 minutes",
      metric: own(settings.prefix, "TicketingSystemSyncFailures", "Sum", five),
      limit: 20,
    },
    ...models(settings),
  ];
}

/** The calls of language models, of whatever provider; and of Bedrock's that the deployment names, those over their rate. */
function models({ prefix, bedrockModels }: Settings): AlarmOfList[] {
  const one = Duration.minutes(1);
  const failures: AlarmOfList = {
    name: "model-failures",
    severity: "critical",
    what: "over 50 % of the calls of language models failed for 2 minutes",
    metric: percent(
      "model failures, %",
      { failed: own(prefix, "ModelErrors", "Sum", one) },
      own(prefix, "ModelCalls", "Sum", one),
      LEAST_CALLS,
      one,
    ),
    limit: 50,
    periods: 2,
  };
  if (bedrockModels.length === 0) return [failures];
  // Bedrock counts by model, and an alarm cannot search.
  const usingMetrics = Object.fromEntries(
    bedrockModels.map((ModelId, index) => [`throttles${index}`, theirs("Bedrock", "InvocationThrottles", { ModelId }, "Sum", one)]),
  );
  const expression = Object.keys(usingMetrics).map((id) => `FILL(${id}, 0)`).join(" + ");
  return [
    failures,
    {
      name: "model-throttles",
      severity: "warning",
      what: "language models refused calls that were over their rate, for 5 minutes",
      metric: new cloudwatch.MathExpression({ label: "model throttles", expression, usingMetrics, period: one }),
      limit: 0,
      periods: 5,
    },
  ];
}

function warning({ settings, api }: Watched): AlarmOfList[] {
  const [five, quarter] = [Duration.minutes(5), Duration.minutes(15)];
  const severity = "warning";
  const hour = Duration.hours(1);
  return [
    {
      name: "error-rate",
      severity,
      what: "over 5 % of the events failed for 5 minutes",
      metric: errorRate(settings, five),
      limit: 5,
      rollsBack: true,
    },
    {
      name: "http-error-rate",
      severity,
      what: "over 5 % of the requests were answered with 5xx for 5 minutes",
      metric: serverErrorRate(api, five),
      limit: 5,
      rollsBack: true,
    },
    {
      name: "low-confidence",
      severity,
      what: "the mean confidence was under 0.6 for 15 minutes",
      metric: own(settings.prefix, "ConfidenceScore", "Average", quarter),
      limit: 0.6,
      below: true,
    },
    {
      name: "middling-confidence",
      severity,
      what: "the mean confidence was under 0.7 for 30 minutes",
      metric: own(settings.prefix, "ConfidenceScore", "Average", quarter),
      limit: 0.7,
      below: true,
      periods: 2,
    },
    {
      name: "processing-time",
      severity,
      what: "one decision of a hundred took over 5 s for 10 minutes",
      metric: own(settings.prefix, "ProcessingTime", "p99", five),
      limit: 5,
      periods: 2,
    },
    {
      name: "manual-reviews",
      severity,
      what: "over 30 % of the decisions asked for a person for 1 hour",
      metric: share(settings.prefix, "asked for a person, %", "ManualReviewRate", LEAST, hour),
      limit: 30,
    },
    {
      name: "sync-failures",
      severity,
      what: "over 10 write-backs failed in 5 minutes",
      metric: own(settings.prefix, "TicketingSystemSyncFailures", "Sum", five),
      limit: 10,
    },
    {
      name: "dead-letters",
      severity,
      what: "there are events that nobody works on any more (`switchboard dlq list`)",
      metric: own(settings.prefix, "DeadLetters", "Maximum", five),
      limit: 0,
    },
    {
      name: "unknown-effects",
      severity,
      what: "there are write-backs whose outcome a person must find out (`switchboard effects`)",
      metric: own(settings.prefix, "EffectsUnknown", "Maximum", five),
      limit: 0,
    },
    {
      name: "rings-failed",
      severity,
      what: "events were stored whose workers could not be woken; the sweeper wakes them within minutes",
      metric: own(settings.prefix, "RingsFailed", "Sum", five),
      limit: 10,
    },
  ];
}

/** What AWS itself says. */
function services({ settings, events }: Watched): AlarmOfList[] {
  const [one, five] = [Duration.minutes(1), Duration.minutes(5)];
  const severity = "warning";
  const list: AlarmOfList[] = [];
  const nameOf = (role: Role): string => `${settings.prefix}-${role}`;
  for (const role of ROLES) {
    const dimensions = { FunctionName: nameOf(role) };
    list.push(
      {
        name: `${role}-throttles`,
        severity,
        what: `the function ${role} found no place for 5 minutes`,
        metric: theirs("Lambda", "Throttles", dimensions, "Sum", one),
        limit: 0,
        periods: 5,
      },
      {
        name: `${role}-errors`,
        severity,
        what: `the function ${role} ended with errors, or took too long`,
        metric: theirs("Lambda", "Errors", dimensions, "Sum", one),
        limit: 0,
        periods: 2,
        rollsBack: true,
      },
    );
  }
  list.push({
    name: "http-latency",
    severity,
    what: "one request of a hundred took over 5 s for 10 minutes",
    metric: theirs("Lambda", "Duration", { FunctionName: nameOf("http") }, "p99", five),
    limit: 5_000,
    periods: 2,
    rollsBack: true,
  });
  for (const [name, queue] of Object.entries(events.dead)) {
    list.push({
      name: `${name}-dead-letters`,
      severity,
      what: `the queue of dead letters ${name} is not empty`,
      metric: theirs("SQS", "ApproximateNumberOfMessagesVisible", { QueueName: queue.queueName }, "Maximum", one),
      limit: 0,
    });
  }
  list.push(
    {
      name: "jobs-age",
      severity,
      what: "the oldest message of the queue of jobs has waited over 5 minutes",
      metric: theirs("SQS", "ApproximateAgeOfOldestMessage", { QueueName: events.jobs.queueName }, "Maximum", one),
      limit: 300,
      periods: 3,
    },
    {
      name: "stream-age",
      severity,
      what: "the stream of decisions is over a minute behind",
      metric: theirs("Lambda", "IteratorAge", { FunctionName: nameOf("stream") }, "Maximum", one),
      limit: 60_000,
      periods: 3,
    },
    {
      name: "undelivered",
      severity,
      what: "the bus could not hand events over",
      metric: theirs("Events", "FailedInvocations", { EventBusName: events.bus.eventBusName, RuleName: `${settings.prefix}-work` }, "Sum", one),
      limit: 0,
    },
  );
  for (const { name } of TABLES) {
    const dimensions = { TableName: `${settings.prefix}-${name}` };
    list.push({
      name: `${name}-throttles`,
      severity,
      what: `DynamoDB refused reads or writes of the table ${name} for 5 minutes`,
      metric: new cloudwatch.MathExpression({
        label: `${name} throttles`,
        expression: "FILL(reads, 0) + FILL(writes, 0)",
        usingMetrics: {
          reads: theirs("DynamoDB", "ReadThrottleEvents", dimensions, "Sum", one),
          writes: theirs("DynamoDB", "WriteThrottleEvents", dimensions, "Sum", one),
        },
        period: one,
      }),
      limit: 0,
      periods: 5,
    });
  }
  return list;
}

/** Of the events worked on, those that failed: for now, or for good. */
export function errorRate({ prefix }: Settings, period: Duration): cloudwatch.MathExpression {
  return share(prefix, "failed events, %", "ErrorRate", LEAST, period);
}

/** Of the requests, those that were answered with 5xx. */
export function serverErrorRate(api: Api, period: Duration): cloudwatch.MathExpression {
  const metric = (name: string) => theirs("ApiGateway", name, api.dimensions, "Sum", period);
  return percent("answers 5xx, %", { failed: metric(api.serverErrors) }, metric("Count"), LEAST, period);
}
