import {
  aws_cloudwatch as cloudwatch,
  aws_cloudwatch_actions as actions,
  aws_kms as kms,
  aws_sns as sns,
  aws_sns_subscriptions as subscriptions,
  CfnOutput,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import type { Api } from "../api.js";
import type { Events } from "../events.js";
import type { Settings } from "../settings.js";
import type { Storage } from "../storage.js";
import { type AlarmOfList, alarms } from "./alarms.js";
import { dashboard } from "./dashboard.js";

/** Where alarms go. */
type Severity = AlarmOfList["severity"] | "information";

/** Who is told when something is wrong, and what there is to see. */
export class Monitoring extends Stack {
  /** Alarms that take a new version back, by name. */
  readonly rollback: readonly string[];
  readonly topics: Readonly<Record<Severity, sns.Topic>>;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, events: Events, api: Api, props?: StackProps) {
    super(scope, id, { ...props, description: "Switchboard: who is told" });
    const key = kms.Key.fromKeyArn(this, "Key", storage.key.keyArn);
    const topic = (severity: Severity): sns.Topic =>
      new sns.Topic(this, `Topic-${severity}`, {
        topicName: `${settings.prefix}-${severity}`,
        displayName: `Switchboard ${severity}`,
        masterKey: key,
        enforceSSL: true,
      });
    this.topics = { critical: topic("critical"), warning: topic("warning"), information: topic("information") };
    if (settings.pagerDutyUrl !== undefined) {
      this.topics.critical.addSubscription(new subscriptions.UrlSubscription(settings.pagerDutyUrl));
    }
    if (settings.alarmEmail !== undefined) {
      this.topics.warning.addSubscription(new subscriptions.EmailSubscription(settings.alarmEmail));
    }

    const watched = { settings, events, api };
    const list = alarms(watched).filter(({ metric }) => settings.rateAlarms || !(metric instanceof cloudwatch.MathExpression));
    for (const alarm of list) this.#alarm(settings, alarm);
    this.rollback = list.filter(({ rollsBack }) => rollsBack).map(({ name }) => `${settings.prefix}-${name}`);
    dashboard(this, watched);

    for (const [severity, { topicArn }] of Object.entries(this.topics)) {
      new CfnOutput(this, `${severity.charAt(0).toUpperCase()}${severity.slice(1)}Topic`, { value: topicArn });
    }
  }

  #alarm(settings: Settings, alarm: AlarmOfList): void {
    const made = new cloudwatch.Alarm(this, `Alarm-${alarm.name}`, {
      alarmName: `${settings.prefix}-${alarm.name}`,
      alarmDescription: alarm.what,
      metric: alarm.metric,
      threshold: alarm.limit,
      comparisonOperator: alarm.below
        ? cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        : cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: alarm.periods ?? 1,
      // Where nothing happens, nothing is wrong.
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    const action = new actions.SnsAction(this.topics[alarm.severity]);
    made.addAlarmAction(action);
    made.addOkAction(action);
  }
}
