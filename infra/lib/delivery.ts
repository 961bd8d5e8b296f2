import {
  aws_budgets as budgets,
  aws_codedeploy as codedeploy,
  aws_events as events,
  aws_events_targets as targets,
  aws_iam as iam,
  aws_kms as kms,
  ArnFormat,
  CfnOutput,
  Duration,
  SecretValue,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import type { Events } from "./events.js";
import { deployment } from "./function.js";
import type { Monitoring } from "./monitoring/index.js";
import { accept } from "./nag.js";
import { SOURCE } from "./permissions.js";
import { ROLES, type Settings } from "./settings.js";
import type { Storage } from "./storage.js";

/** Days that events can be replayed. */
const REPLAY_DAYS = 7;
/** A new version's share grows by so much a step. */
const STEP_PERCENT = 10;

/**
 * How a new version gets its traffic, the archive of the bus, the budget, and news to Slack: what the emulator that the tests
 * deploy to does not have, so that the other stacks can be deployed there.
 */
export class Delivery extends Stack {
  constructor(
    scope: Construct,
    id: string,
    settings: Settings,
    storage: Storage,
    ours: Events,
    monitoring: Monitoring,
    props?: StackProps,
  ) {
    super(scope, id, { ...props, description: "Switchboard: archive, canary deployment, budget" });
    new events.Archive(this, "Archive", {
      archiveName: settings.prefix,
      description: "What happened to tickets, to be replayed",
      sourceEventBus: ours.bus,
      eventPattern: { source: [SOURCE] },
      retention: Duration.days(REPLAY_DAYS),
      kmsKey: kms.Key.fromKeyArn(this, "Key", storage.key.keyArn),
    });
    this.#canary(settings, monitoring);
    this.#budget(settings, monitoring);
    if (settings.slackHookUrl !== undefined) this.#slack(settings, settings.slackHookUrl);
    new CfnOutput(this, "ArchiveName", { value: settings.prefix });
  }

  /**
   * CodeDeploy knows two shapes for functions: one step and then all, or equal steps. 10 % → 50 % → 100 % is neither, so it
   * goes by tens: with a step each 3 minutes half of the traffic is reached after 12 minutes, and all after 27, and an alarm
   * at any time gives all traffic back to the version before.
   */
  #canary(settings: Settings, monitoring: Monitoring): void {
    const application = new codedeploy.LambdaApplication(this, "Application", { applicationName: settings.prefix });
    const config = new codedeploy.LambdaDeploymentConfig(this, "Config", {
      deploymentConfigName: `${settings.prefix}-by-tens`,
      trafficRouting: codedeploy.TrafficRouting.timeBasedLinear({ interval: Duration.minutes(settings.canaryMinutes), percentage: STEP_PERCENT }),
    });
    const role = new iam.Role(this, "Deployer", {
      assumedBy: new iam.ServicePrincipal("codedeploy.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": this.account } },
      }),
      description: "Shifts the traffic of Switchboard's functions",
    });
    const functions = ROLES.flatMap((name) => {
      const arn = this.formatArn({ service: "lambda", resource: "function", resourceName: `${settings.prefix}-${name}`, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
      return [arn, `${arn}:live`];
    });
    const policy = new iam.Policy(this, "Shift", {
      statements: [
        new iam.PolicyStatement({
          sid: "Shift",
          actions: ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"],
          resources: functions,
        }),
        new iam.PolicyStatement({ sid: "Watch", actions: ["cloudwatch:DescribeAlarms"], resources: ["*"] }),
      ],
    });
    policy.attachToRole(role);
    accept(policy, "CodeDeploy asks for all alarms at once, and the action has no finer resource", "IAM5[Resource::*]");
    for (const name of ROLES) {
      const group = new codedeploy.CfnDeploymentGroup(this, `Group-${name}`, {
        applicationName: application.applicationName,
        deploymentGroupName: deployment(settings.prefix, name).group,
        deploymentConfigName: config.deploymentConfigName,
        serviceRoleArn: role.roleArn,
        deploymentStyle: { deploymentOption: "WITH_TRAFFIC_CONTROL", deploymentType: "BLUE_GREEN" },
        alarmConfiguration: { enabled: true, alarms: monitoring.rollback.map((alarm) => ({ name: alarm })) },
        autoRollbackConfiguration: {
          enabled: true,
          events: ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
        },
      });
      group.node.addDependency(policy, monitoring);
    }
  }

  /** What all of it costs in a day, as AWS bills it: a day late, but with everything. */
  #budget(settings: Settings, monitoring: Monitoring): void {
    new budgets.CfnBudget(this, "Budget", {
      budget: {
        budgetName: `${settings.prefix}-daily`,
        budgetType: "COST",
        timeUnit: "DAILY",
        budgetLimit: { amount: settings.dailyCost, unit: "USD" },
        // The tag must be made known to billing first (docs/aws.md).
        costFilters: { TagKeyValue: [`user:deployment$${settings.prefix}`] },
      },
      notificationsWithSubscribers: [
        {
          notification: { notificationType: "ACTUAL", comparisonOperator: "GREATER_THAN", threshold: 100, thresholdType: "PERCENTAGE" },
          subscribers: [{ subscriptionType: "SNS", address: monitoring.topics.warning.topicArn }],
        },
      ],
    });
  }

  /** Slack takes neither SNS's messages nor its confirmation, so the bus of the account calls the hook itself. */
  #slack(settings: Settings, url: string): void {
    const connection = new events.Connection(this, "Slack", {
      description: "An incoming web hook of Slack: its address is its secret, the header says nothing",
      authorization: events.Authorization.apiKey("x-switchboard", SecretValue.unsafePlainText("none")),
    });
    const destination = new events.ApiDestination(this, "SlackHook", { connection, endpoint: url, rateLimitPerSecond: 1 });
    const tell = (name: string, eventPattern: events.EventPattern, text: string): void => {
      new events.Rule(this, name, {
        description: "News for Slack",
        eventPattern,
        targets: [new targets.ApiDestination(destination, { event: events.RuleTargetInput.fromObject({ text }), retryAttempts: 3 })],
      });
    };
    tell(
      "Deployments",
      {
        source: ["aws.codedeploy"],
        detailType: ["CodeDeploy Deployment State-change Notification"],
        detail: { application: [settings.prefix] },
      },
      `${events.EventField.fromPath("$.detail.deploymentGroup")}: deployment ${events.EventField.fromPath("$.detail.state")}`,
    );
    tell(
      "Alarms",
      {
        source: ["aws.cloudwatch"],
        detailType: ["CloudWatch Alarm State Change"],
        detail: { alarmName: [{ prefix: `${settings.prefix}-` }] },
      },
      `${events.EventField.fromPath("$.detail.alarmName")}: ${events.EventField.fromPath("$.detail.state.value")}`,
    );
  }
}
