import {
  aws_iam as iam,
  aws_lambda as lambda,
  aws_lambda_event_sources as sources,
  aws_scheduler as scheduler,
  CfnOutput,
  Duration,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import { type Events, JOBS_TIME } from "./events.js";
import { RoleFunction } from "./function.js";
import type { Settings } from "./settings.js";
import type { Storage } from "./storage.js";

/** What works in the background: jobs of the queue, write-backs of the stream, and the sweeper of each minute. */
export class Jobs extends Stack {
  readonly jobs: RoleFunction;
  readonly stream: RoleFunction;
  readonly schedule: RoleFunction;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, events: Events, props?: StackProps) {
    super(scope, id, { ...props, description: "Switchboard: what works in the background" });
    const common = { settings, storage, events };

    this.jobs = new RoleFunction(this, "Jobs", {
      ...common,
      role: "jobs",
      description: "Routes tickets",
      memory: 1024,
      timeout: JOBS_TIME,
    });
    this.#queue(events, settings);

    this.stream = new RoleFunction(this, "Stream", {
      ...common,
      role: "stream",
      description: "Writes decisions back",
      memory: 512,
      // One write-back may take 20 s (`limits::DESK_TIME`), and a batch does all side by side.
      timeout: Duration.seconds(60),
    });
    this.#stream(storage, events, settings);

    this.schedule = new RoleFunction(this, "Schedule", {
      ...common,
      role: "schedule",
      description: "Rings for what was missed, and trains",
      memory: 1024,
      timeout: Duration.minutes(15),
    });
    this.#schedule(settings);
    new CfnOutput(this, "Live", { value: this.jobs.alias.functionArn });
  }

  #queue(events: Events, settings: Settings): void {
    const receive = this.jobs.allow(
      "Receive",
      new iam.PolicyStatement({
        sid: "Receive",
        actions: ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        resources: [events.jobs.queueArn],
      }),
    );
    const mapping = new lambda.EventSourceMapping(this, "Queue", {
      target: this.jobs.alias,
      eventSourceArn: events.jobs.queueArn,
      batchSize: 10,
      // None as a rule: somebody waits for the decision, and where there is much to do, batches are full without it.
      maxBatchingWindow: Duration.seconds(settings.batchSeconds),
      reportBatchItemFailures: true,
      // As many as have places: more would be thrown back and count as deliveries.
      maxConcurrency: settings.concurrency.jobs,
    });
    mapping.node.addDependency(receive);
  }

  #stream(storage: Storage, events: Events, settings: Settings): void {
    const stream = storage.streamArn("tickets");
    const read = this.stream.allow(
      "Read",
      new iam.PolicyStatement({
        sid: "Read",
        actions: ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"],
        resources: [stream],
      }),
    );
    const give = this.stream.allow(
      "GiveUp",
      new iam.PolicyStatement({ sid: "GiveUp", actions: ["sqs:SendMessage"], resources: [events.dead.stream.queueArn] }),
    );
    const mapping = new lambda.EventSourceMapping(this, "Changes", {
      target: this.stream.alias,
      eventSourceArn: stream,
      startingPosition: lambda.StartingPosition.TRIM_HORIZON,
      batchSize: 10,
      maxBatchingWindow: Duration.seconds(settings.batchSeconds),
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
      retryAttempts: 5,
      // After that the sweeper has long rung by the queue.
      maxRecordAge: Duration.hours(1),
      parallelizationFactor: Math.min(settings.concurrency.stream, 4),
      onFailure: new sources.SqsDlq(events.dead.stream),
      // A decision or a review that asks for a write-back: others cost no call.
      filters: [
        lambda.FilterCriteria.filter({
          eventName: ["INSERT"],
          dynamodb: { NewImage: { event: { S: [{ exists: true }] } } },
        }),
      ],
    });
    mapping.node.addDependency(read, give);
  }

  #schedule(settings: Settings): void {
    const role = new iam.Role(this, "Caller", {
      assumedBy: new iam.ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": this.account } },
      }),
      description: "Switchboard's schedule",
    });
    const call = new iam.Policy(this, "Call", {
      statements: [
        new iam.PolicyStatement({
          sid: "Call",
          actions: ["lambda:InvokeFunction"],
          resources: [this.schedule.alias.functionArn],
        }),
      ],
    });
    call.attachToRole(role);
    // The next minute makes up for a run that failed or found no place.
    const once = new lambda.EventInvokeConfig(this, "Once", {
      function: this.schedule.function,
      qualifier: this.schedule.alias.aliasName,
      retryAttempts: 0,
      maxEventAge: Duration.seconds(60),
    });
    once.node.addDependency(this.schedule.alias);
    const minute = new scheduler.CfnSchedule(this, "Minute", {
      name: `${settings.prefix}-minute`,
      description: "Each minute: rings for what was missed, trains what is due",
      scheduleExpression: "rate(1 minute)",
      flexibleTimeWindow: { mode: "OFF" },
      target: {
        arn: this.schedule.alias.functionArn,
        roleArn: role.roleArn,
        input: JSON.stringify({ task: "sweep" }),
        retryPolicy: { maximumEventAgeInSeconds: 60, maximumRetryAttempts: 0 },
      },
    });
    minute.node.addDependency(call);
  }
}
