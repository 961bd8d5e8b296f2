import {
  aws_iam as iam,
  aws_kms as kms,
  aws_lambda as lambda,
  aws_logs as logs,
  CfnOutput,
  type Duration,
  RemovalPolicy,
  Stack,
} from "aws-cdk-lib";
import { Construct } from "constructs";

import type { Events } from "./events.js";
import { acceptWildcards, permissions } from "./permissions.js";
import type { Role, Settings } from "./settings.js";
import type { Storage } from "./storage.js";

/** What a function is made with. */
export interface FunctionProps {
  readonly role: Role;
  readonly description: string;
  readonly memory: number;
  readonly timeout: Duration;
  readonly settings: Settings;
  readonly storage: Storage;
  readonly events: Events;
}

/** The name of CodeDeploy's application, and of the group of a role's alias. The stack `delivery` makes them. */
export function deployment(prefix: string, role: Role): { readonly application: string; readonly group: string } {
  return { application: prefix, group: `${prefix}-${role}` };
}

/** The one artifact in one of its roles, with a policy, a log and an alias of its own. */
export class RoleFunction extends Construct {
  readonly function: lambda.Function;
  /** What callers call: during a deployment it leads to two versions. */
  readonly alias: lambda.Alias;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, props: FunctionProps) {
    super(scope, id);
    const { settings, storage, events } = props;
    const name = `${settings.prefix}-${props.role}`;
    const key = kms.Key.fromKeyArn(this, "Key", storage.key.keyArn);
    const logGroup = new logs.LogGroup(this, "Logs", {
      logGroupName: `/aws/lambda/${name}`,
      retention: settings.logDays,
      encryptionKey: key,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new iam.Role(this, "Role", {
      assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com"),
      description: `Switchboard's function ${props.role}`,
    });
    const policy = new iam.Policy(this, "Policy", {
      statements: [
        ...permissions(props.role, { storage, busArn: events.bus.eventBusArn, jobsQueueArn: events.jobs.queueArn, settings }),
        new iam.PolicyStatement({
          sid: "Logs",
          actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
          resources: [logGroup.logGroupArn],
        }),
        new iam.PolicyStatement({
          sid: "Traces",
          actions: ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
          resources: ["*"],
        }),
      ],
    });
    policy.attachToRole(this.role);
    acceptWildcards(policy, props.role, { storage, settings });

    this.function = new lambda.Function(this, "Function", {
      functionName: name,
      description: props.description,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: settings.architecture === "arm64" ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      handler: "bootstrap",
      code: lambda.Code.fromAsset(settings.artifact),
      memorySize: props.memory,
      timeout: props.timeout,
      reservedConcurrentExecutions: settings.concurrency[props.role],
      // An imported role is not added to: what a function may do stands in one place, permissions.ts.
      role: this.role.withoutPolicyUpdates(),
      logGroup,
      tracing: lambda.Tracing.ACTIVE,
      environmentEncryption: key,
      environment: {
        ...settings.variables,
        RUST_LOG: settings.log,
        SWITCHBOARD_ROLE: props.role,
        SWITCHBOARD_AWS__PREFIX: settings.prefix,
        SWITCHBOARD_AWS__BUCKET: storage.bucketName,
        SWITCHBOARD_AWS__BUS: events.bus.eventBusName,
        SWITCHBOARD_AWS__JOBS_QUEUE: events.jobs.queueUrl,
        SWITCHBOARD_AWS__PEPPER_SECRET: storage.pepper.secretArn,
      },
      // Kept, so that there is something to go back to.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
    });
    this.function.node.addDependency(policy);
    this.alias = new lambda.Alias(this, "Live", { aliasName: "live", version: this.function.currentVersion });
    if (settings.canary) {
      const { application, group } = deployment(settings.prefix, props.role);
      const resource = this.alias.node.defaultChild as lambda.CfnAlias;
      resource.cfnOptions.updatePolicy = {
        codeDeployLambdaAliasUpdate: { applicationName: application, deploymentGroupName: group },
      };
    }
    new CfnOutput(Stack.of(this), `${id}Function`, { value: this.function.functionName });
  }

  /** Lets the function do one more thing, which only its trigger needs. */
  allow(id: string, statement: iam.PolicyStatement): iam.Policy {
    const policy = new iam.Policy(this, id, { statements: [statement] });
    policy.attachToRole(this.role);
    this.alias.node.addDependency(policy);
    return policy;
  }
}
