import assert from "node:assert/strict";
import { test } from "node:test";

import { LIST } from "../lib/monitoring/metrics.js";
import { ROLES } from "../lib/settings.js";
import { TABLES } from "../lib/tables.js";
import { type Made, of, stacks, template } from "./support.js";

const all = stacks({ bedrockModels: "anthropic.claude-sonnet-4-5,anthropic.claude-haiku-4-5" });
const [storage, events, jobs, api, monitoring, delivery] = [
  template(all.storage),
  template(all.events),
  template(all.jobs),
  template(all.api),
  template(all.monitoring),
  template(all.delivery),
] as const;
const everything: readonly Made[] = [storage, events, jobs, api, monitoring, delivery];

/** A property of a resource, by its way. */
function at(properties: unknown, ...way: (string | number)[]): unknown {
  return way.reduce<unknown>((value, step) => (value as Record<string | number, unknown> | undefined)?.[step], properties);
}

test("the tables are those of the list, each encrypted, recoverable and protected", () => {
  const made = of(storage, "AWS::DynamoDB::GlobalTable");
  assert.deepEqual(
    made.map(({ Properties }) => Properties["TableName"]),
    TABLES.map(({ name }) => `switchboard-${name}`),
  );
  for (const [index, { Properties, DeletionPolicy }] of made.entries()) {
    const table = TABLES[index];
    assert.ok(table !== undefined);
    assert.equal(at(Properties, "KeySchema", 0, "AttributeName"), table.hash);
    assert.equal(at(Properties, "KeySchema", 1, "AttributeName"), table.range);
    assert.deepEqual(
      ((Properties["GlobalSecondaryIndexes"] ?? []) as { IndexName: string }[]).map(({ IndexName }) => IndexName),
      table.indexes.map(({ name }) => name),
    );
    assert.equal(at(Properties, "StreamSpecification", "StreamViewType"), table.stream ? "NEW_IMAGE" : undefined);
    assert.equal(at(Properties, "TimeToLiveSpecification", "AttributeName"), "ttl");
    assert.equal(at(Properties, "BillingMode"), "PAY_PER_REQUEST");
    assert.equal(at(Properties, "Replicas", 0, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"), true);
    assert.equal(at(Properties, "Replicas", 0, "DeletionProtectionEnabled"), true);
    assert.ok(at(Properties, "Replicas", 0, "SSESpecification", "KMSMasterKeyId") !== undefined);
    assert.equal(DeletionPolicy, "Retain");
  }
});

test("without protection everything goes with its stack", () => {
  const made = template(stacks({ protect: "false" }).storage);
  for (const [id, { Type, DeletionPolicy }] of Object.entries(made.Resources)) {
    assert.ok(["Delete", undefined].includes(DeletionPolicy), `${id} (${Type}) would stay`);
  }
});

test("a message is hidden for six times the function's time, and is a dead letter after five deliveries", () => {
  const [queue] = of(events, "AWS::SQS::Queue").filter(({ Properties }) => Properties["QueueName"] === "switchboard-jobs");
  const [worker] = of(jobs, "AWS::Lambda::Function").filter(({ Properties }) => Properties["FunctionName"] === "switchboard-jobs");
  assert.ok(Number(at(queue?.Properties, "VisibilityTimeout")) >= 6 * Number(at(worker?.Properties, "Timeout")));
  assert.equal(at(queue?.Properties, "RedrivePolicy", "maxReceiveCount"), 5);
});

test("the bus hands over to the queue and never to a function", () => {
  const [rule, ...others] = of(events, "AWS::Events::Rule");
  assert.equal(others.length, 0);
  assert.deepEqual(at(rule?.Properties, "EventPattern", "detail-type"), ["TicketReceived"]);
  assert.match(JSON.stringify(at(rule?.Properties, "Targets", 0, "Arn")), /^\{"Fn::GetAtt":\["Jobs/);
  assert.ok(at(rule?.Properties, "Targets", 0, "DeadLetterConfig", "Arn") !== undefined);
  for (const made of [jobs, api]) assert.equal(of(made, "AWS::Events::Rule").length, 0);
});

test("sources give back what failed, and take no more than there are places", () => {
  const [queue, stream] = of(jobs, "AWS::Lambda::EventSourceMapping").map(({ Properties }) => Properties);
  for (const source of [queue, stream]) assert.deepEqual(source?.["FunctionResponseTypes"], ["ReportBatchItemFailures"]);
  assert.equal(at(queue, "ScalingConfig", "MaximumConcurrency"), 50);
  assert.equal(at(queue, "MaximumBatchingWindowInSeconds"), 0);
  assert.equal(at(stream, "BisectBatchOnFunctionError"), true);
  assert.equal(at(stream, "MaximumRetryAttempts"), 5);
  assert.ok(at(stream, "DestinationConfig", "OnFailure", "Destination") !== undefined);
  assert.deepEqual(JSON.parse(String(at(stream, "FilterCriteria", "Filters", 0, "Pattern"))), {
    eventName: ["INSERT"],
    dynamodb: { NewImage: { event: { S: [{ exists: true }] } } },
  });
});

test("each role has a function with its variables, its places, its traces and an encrypted log that ends", () => {
  const functions = [jobs, api].flatMap((made) => of(made, "AWS::Lambda::Function")).map(({ Properties }) => Properties);
  const places = { http: 100, jobs: 50, stream: 20, schedule: 1 };
  assert.equal(functions.length, ROLES.length);
  for (const role of ROLES) {
    const made = functions.find(({ FunctionName }) => FunctionName === `switchboard-${role}`);
    assert.ok(made !== undefined, role);
    assert.equal(made["Runtime"], "provided.al2023");
    assert.deepEqual(made["Architectures"], ["arm64"]);
    assert.equal(made["ReservedConcurrentExecutions"], places[role]);
    assert.equal(at(made, "TracingConfig", "Mode"), "Active");
    assert.ok(made["KmsKeyArn"] !== undefined);
    const variables = at(made, "Environment", "Variables") as Record<string, unknown>;
    assert.deepEqual(Object.keys(variables).sort(), [
      "RUST_LOG",
      "SWITCHBOARD_AWS__BUCKET",
      "SWITCHBOARD_AWS__BUS",
      "SWITCHBOARD_AWS__JOBS_QUEUE",
      "SWITCHBOARD_AWS__PEPPER_SECRET",
      "SWITCHBOARD_AWS__PREFIX",
      "SWITCHBOARD_ROLE",
    ]);
    assert.equal(variables["SWITCHBOARD_ROLE"], role);
  }
  for (const { Properties } of [jobs, api].flatMap((made) => of(made, "AWS::Logs::LogGroup"))) {
    assert.ok(Properties["KmsKeyId"] !== undefined);
    assert.equal(Properties["RetentionInDays"], String(Properties["LogGroupName"]).startsWith("/aws/lambda/") ? 7 : 90);
  }
});

test("queues and topics are encrypted with our key, which rotates", () => {
  for (const { Properties } of of(events, "AWS::SQS::Queue")) assert.ok(Properties["KmsMasterKeyId"] !== undefined);
  for (const { Properties } of of(monitoring, "AWS::SNS::Topic")) assert.ok(Properties["KmsMasterKeyId"] !== undefined);
  assert.equal(of(storage, "AWS::KMS::Key")[0]?.Properties["EnableKeyRotation"], true);
});

test("the alarms of the specification are there, with their limits and their topics", () => {
  const made = new Map(of(monitoring, "AWS::CloudWatch::Alarm").map(({ Properties }) => [String(Properties["AlarmName"]).slice("switchboard-".length), Properties]));
  // Name, topic, limit, seconds of a period, periods, statistic where it is no rate.
  const wanted: [string, string, number, number, number, string?][] = [
    ["error-rate-critical", "critical", 10, 300, 1],
    ["http-error-rate-critical", "critical", 10, 300, 1],
    ["processing-time-critical", "critical", 10, 300, 1, "p99"],
    ["model-failures", "critical", 50, 60, 2],
    ["sync-failures-critical", "critical", 20, 300, 1, "Sum"],
    ["error-rate", "warning", 5, 300, 1],
    ["http-error-rate", "warning", 5, 300, 1],
    ["low-confidence", "warning", 0.6, 900, 1, "Average"],
    ["middling-confidence", "warning", 0.7, 900, 2, "Average"],
    ["processing-time", "warning", 5, 300, 2, "p99"],
    ["manual-reviews", "warning", 30, 3600, 1],
    ["sync-failures", "warning", 10, 300, 1, "Sum"],
    ["model-throttles", "warning", 0, 60, 5],
    ["unknown-effects", "warning", 0, 300, 1, "Maximum"],
    ["rings-failed", "warning", 10, 300, 1, "Sum"],
    ["dead-letters", "warning", 0, 300, 1, "Maximum"],
    ["http-latency", "warning", 5_000, 300, 2, "p99"],
    ["jobs-dead-letters", "warning", 0, 60, 1, "Maximum"],
    ["undelivered-dead-letters", "warning", 0, 60, 1, "Maximum"],
    ["stream-dead-letters", "warning", 0, 60, 1, "Maximum"],
    ["jobs-age", "warning", 300, 60, 3, "Maximum"],
    ["stream-age", "warning", 60_000, 60, 3, "Maximum"],
    ...ROLES.map((role): [string, string, number, number, number, string] => [`${role}-throttles`, "warning", 0, 60, 5, "Sum"]),
    ...TABLES.map(({ name }): [string, string, number, number, number] => [`${name}-throttles`, "warning", 0, 60, 5]),
  ];
  for (const [name, topic, limit, seconds, periods, statistic] of wanted) {
    const alarm = made.get(name);
    assert.ok(alarm !== undefined, `there is no alarm ${name}`);
    assert.equal(alarm["Threshold"], limit, name);
    assert.equal(alarm["EvaluationPeriods"], periods, name);
    assert.match(JSON.stringify(alarm["AlarmActions"]), new RegExp(`Topic${topic}`), name);
    assert.equal(alarm["TreatMissingData"], "notBreaching", name);
    if (statistic === undefined) {
      const metrics = alarm["Metrics"] as { MetricStat?: { Period: number } }[];
      for (const { MetricStat } of metrics) assert.ok([undefined, seconds].includes(MetricStat?.Period), name);
    } else {
      assert.equal(alarm["ExtendedStatistic"] ?? alarm["Statistic"], statistic, name);
      assert.equal(alarm["Period"], seconds, name);
    }
  }
  for (const { Properties } of everything.flatMap((made) => of(made, "AWS::SQS::Queue"))) {
    const name = String(Properties["QueueName"]);
    if (name.endsWith("-dead")) assert.ok(made.has(`${name.slice("switchboard-".length, -"-dead".length)}-dead-letters`), name);
  }
});

test("alarms and dashboard look at metrics that the functions write, of this deployment", () => {
  const made = template(stacks({ prefix: "second" }).monitoring);
  const ours: { name: unknown; dimensions: Record<string, unknown> }[] = [];
  for (const { Properties } of of(made, "AWS::CloudWatch::Alarm")) {
    const parts = ((Properties["Metrics"] ?? []) as { MetricStat?: { Metric: Record<string, unknown> } }[]).map(({ MetricStat }) => MetricStat?.Metric);
    for (const metric of [Properties, ...parts]) {
      if (metric?.["Namespace"] !== LIST.namespace) continue;
      const dimensions = (metric["Dimensions"] ?? []) as { Name: string; Value: string }[];
      ours.push({ name: metric["MetricName"], dimensions: Object.fromEntries(dimensions.map(({ Name, Value }) => [Name, Value])) });
    }
  }
  const alarmed = ours.length;
  const [board] = of(made, "AWS::CloudWatch::Dashboard");
  // In a graph a metric is a list: namespace, name, then dimensions by name and value, then how it is shown.
  const shown = JSON.stringify(board?.Properties["DashboardBody"]).replaceAll("\\\"", '"');
  for (const [, name, rest] of shown.matchAll(/\["Switchboard","(\w+)",((?:"\w+",?)*)/g)) {
    const words = [...(rest ?? "").matchAll(/"(\w+)"/g)].map(([, word]) => word);
    const dimensions: Record<string, unknown> = {};
    for (let n = 0; n < words.length; n += 2) dimensions[String(words[n])] = words[n + 1];
    ours.push({ name, dimensions });
  }
  assert.ok(alarmed > 10 && ours.length > alarmed + 20, `${alarmed} and ${ours.length}`);
  for (const { name, dimensions } of ours) {
    const { [LIST.dimension]: deployment, ...others } = dimensions;
    const known = LIST.metrics.find((metric) => metric.name === name);
    assert.equal(deployment, "second", String(name));
    assert.ok(Object.keys(others).every((dimension) => known?.dimensions.includes(dimension)), String(name));
  }
  for (const { name } of LIST.metrics) {
    if (!["RingsFailed", "EffectsUnknown", "ToolFailures"].includes(name)) assert.ok(shown.includes(`"${name}"`), name);
  }
});

test("a new version gets its traffic by tens, and an alarm takes it back", () => {
  for (const made of [jobs, api]) {
    for (const alias of of(made, "AWS::Lambda::Alias")) {
      assert.equal(at(alias.UpdatePolicy, "CodeDeployLambdaAliasUpdate", "ApplicationName"), "switchboard");
    }
  }
  const [config] = of(delivery, "AWS::CodeDeploy::DeploymentConfig");
  assert.deepEqual(at(config?.Properties, "TrafficRoutingConfig", "TimeBasedLinear"), { LinearInterval: 3, LinearPercentage: 10 });
  const groups = of(delivery, "AWS::CodeDeploy::DeploymentGroup").map(({ Properties }) => Properties);
  assert.deepEqual(groups.map((group) => group["DeploymentGroupName"]), ROLES.map((role) => `switchboard-${role}`));
  const alarms = new Set(of(monitoring, "AWS::CloudWatch::Alarm").map(({ Properties }) => Properties["AlarmName"]));
  for (const group of groups) {
    const watched = at(group, "AlarmConfiguration", "Alarms") as { Name: string }[];
    assert.ok(watched.length >= 5);
    for (const { Name } of watched) assert.ok(alarms.has(Name), Name);
    assert.ok((at(group, "AutoRollbackConfiguration", "Events") as string[]).includes("DEPLOYMENT_STOP_ON_ALARM"));
  }
  assert.equal(of(template(stacks({ canary: "false" }).api), "AWS::Lambda::Alias")[0]?.UpdatePolicy, undefined);
});

test("what everything costs in a day is watched", () => {
  const [budget] = of(delivery, "AWS::Budgets::Budget");
  assert.deepEqual(at(budget?.Properties, "Budget", "BudgetLimit"), { Amount: 350, Unit: "USD" });
  assert.equal(at(budget?.Properties, "Budget", "TimeUnit"), "DAILY");
});

test("events can be replayed for seven days", () => {
  assert.equal(of(delivery, "AWS::Events::Archive")[0]?.Properties["RetentionDays"], 7);
});

test("everything is tagged", () => {
  for (const type of ["AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SNS::Topic"]) {
    const made = everything.flatMap((stack) => of(stack, type));
    assert.ok(made.length > 0, type);
    for (const { Properties } of made) assert.match(JSON.stringify(Properties["Tags"]), /"deployment","Value":"switchboard"/, type);
  }
});
