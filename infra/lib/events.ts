import {
  aws_events as events,
  aws_events_targets as targets,
  aws_kms as kms,
  aws_sqs as sqs,
  CfnOutput,
  Duration,
  RemovalPolicy,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import { accept } from "./nag.js";
import { SOURCE } from "./permissions.js";
import type { Settings } from "./settings.js";
import type { Storage } from "./storage.js";

/** What makes work for the function `jobs`. Write-backs, of `TicketRouted` and `TicketReviewed`, come by the stream of the table. */
const WORK = ["TicketReceived"];
/** Deliveries of a message after which it is a dead letter. */
export const DELIVERIES = 5;
/** The longest that the function `jobs` may take. */
export const JOBS_TIME = Duration.seconds(60);
/** How long a message is hidden while somebody has it: AWS asks for six times the function's time. */
const HIDDEN = Duration.seconds(6 * 60);
/** How long a message that nobody took is kept, and a dead letter. */
const KEPT = Duration.days(4);
const DEAD_KEPT = Duration.days(14);

/** Who is woken: the bus, the queue of jobs, and where goes what cannot be delivered. */
export class Events extends Stack {
  readonly bus: events.EventBus;
  readonly jobs: sqs.Queue;
  /** Queues where nothing should ever be, by what they are for. */
  readonly dead: Readonly<Record<"jobs" | "undelivered" | "stream", sqs.Queue>>;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props?: StackProps) {
    super(scope, id, { ...props, description: "Switchboard: who is woken", terminationProtection: settings.protect });
    // Imported, so that the key's own policy does not come to depend on what it encrypts; it names the services already.
    const key = kms.Key.fromKeyArn(this, "Key", storage.key.keyArn);

    this.bus = new events.EventBus(this, "Bus", {
      eventBusName: settings.prefix,
      description: "What happened to tickets",
      kmsKey: key,
    });
    const dead = (name: string): sqs.Queue => {
      const queue = new sqs.Queue(this, `Dead-${name}`, {
        queueName: `${settings.prefix}-${name}-dead`,
        encryption: sqs.QueueEncryption.KMS,
        encryptionMasterKey: key,
        enforceSSL: true,
        retentionPeriod: DEAD_KEPT,
        removalPolicy: RemovalPolicy.DESTROY,
      });
      accept(queue, "it is the queue of dead letters", "SQS3");
      return queue;
    };
    this.dead = { jobs: dead("jobs"), undelivered: dead("undelivered"), stream: dead("stream") };
    this.jobs = new sqs.Queue(this, "Jobs", {
      queueName: `${settings.prefix}-jobs`,
      encryption: sqs.QueueEncryption.KMS,
      encryptionMasterKey: key,
      enforceSSL: true,
      visibilityTimeout: HIDDEN,
      retentionPeriod: KEPT,
      deadLetterQueue: { queue: this.dead.jobs, maxReceiveCount: DELIVERIES },
      removalPolicy: RemovalPolicy.DESTROY,
    });

    // By a queue and never straight to a function: a queue gives back what failed, one message at a time, and keeps the rest
    // back while the functions are busy.
    new events.Rule(this, "Work", {
      ruleName: `${settings.prefix}-work`,
      description: "Events that make work",
      eventBus: this.bus,
      eventPattern: { source: [SOURCE], detailType: WORK },
      targets: [
        new targets.SqsQueue(this.jobs, {
          deadLetterQueue: this.dead.undelivered,
          retryAttempts: 20,
          // By then the sweeper has rung again.
          maxEventAge: Duration.hours(1),
        }),
      ],
    });

    new CfnOutput(this, "BusName", { value: this.bus.eventBusName });
    new CfnOutput(this, "JobsQueueUrl", { value: this.jobs.queueUrl });
    for (const [name, queue] of Object.entries(this.dead)) {
      new CfnOutput(this, `Dead${name.charAt(0).toUpperCase()}${name.slice(1)}Url`, { value: queue.queueUrl });
    }
  }
}
