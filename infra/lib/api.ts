import {
  aws_apigateway as rest,
  aws_apigatewayv2 as http,
  aws_apigatewayv2_integrations as integrations,
  aws_kms as kms,
  aws_logs as logs,
  CfnOutput,
  Duration,
  RemovalPolicy,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import type { Events } from "./events.js";
import { RoleFunction } from "./function.js";
import { accept } from "./nag.js";
import type { Settings } from "./settings.js";
import type { Storage } from "./storage.js";

/** The longest that API Gateway waits for an answer (30 s for an HTTP API, 29 s for a REST API). */
const ANSWER = Duration.seconds(29);
/** Requests a second of one key of the usage plan, as Switchboard itself counts them too. */
const KEY_REQUESTS = 100;

/** What an access is logged with: who, what, how it ended; no bodies and no keys. */
const ACCESS = {
  requestId: "$context.requestId",
  time: "$context.requestTime",
  method: "$context.httpMethod",
  path: "$context.path",
  status: "$context.status",
  address: "$context.identity.sourceIp",
  userAgent: "$context.identity.userAgent",
  bytes: "$context.responseLength",
  milliseconds: "$context.responseLatency",
  integrationError: "$context.integrationErrorMessage",
};

/**
 * The door: the http function and one of two fronts.
 *
 * An HTTP API by default: it costs less than a third of a REST API and answers sooner, and what a REST API adds, Switchboard
 * does itself: keys with scopes and ends, rates a key, tenant and address, quotas, validation that names every mistake.
 * With `-c front=rest` there is a REST API with a usage plan, for those who want requests over the rate refused before they
 * cost anything, a firewall, or a private API. Both count by the header `x-api-key`, so that one key serves: it is made by
 * Switchboard, and then brought into the usage plan by its value (docs/aws.md).
 */
export class Api extends Stack {
  readonly http: RoleFunction;
  /** The dimensions of the front's metrics, in the namespace AWS/ApiGateway. */
  readonly dimensions: Readonly<Record<string, string>>;
  /** What the front calls its answers of the kind 5xx. */
  readonly serverErrors: "5xx" | "5XXError";

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, events: Events, props?: StackProps) {
    super(scope, id, { ...props, description: "Switchboard: the door" });
    this.http = new RoleFunction(this, "Http", {
      settings,
      storage,
      events,
      role: "http",
      description: "Answers requests",
      memory: 512,
      timeout: ANSWER,
    });
    const log = new logs.LogGroup(this, "Access", {
      logGroupName: `/aws/apigateway/${settings.prefix}`,
      retention: settings.auditDays,
      encryptionKey: kms.Key.fromKeyArn(this, "Key", storage.key.keyArn),
      removalPolicy: settings.protect ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    if (settings.front === "http") {
      const api = this.#httpApi(settings, log);
      this.dimensions = { ApiId: api.apiId };
      this.serverErrors = "5xx";
    } else {
      const api = this.#restApi(settings, log);
      this.dimensions = { ApiName: api.restApiName };
      this.serverErrors = "5XXError";
    }
  }

  #httpApi(settings: Settings, log: logs.LogGroup): http.HttpApi {
    const api = new http.HttpApi(this, "Api", {
      apiName: settings.prefix,
      description: "Switchboard",
      createDefaultStage: false,
      defaultIntegration: new integrations.HttpLambdaIntegration("Http", this.http.alias, {
        payloadFormatVersion: http.PayloadFormatVersion.VERSION_2_0,
        timeout: ANSWER,
      }),
    });
    new http.CfnStage(this, "Stage", {
      apiId: api.apiId,
      stageName: "$default",
      autoDeploy: true,
      accessLogSettings: { destinationArn: log.logGroupArn, format: JSON.stringify(ACCESS) },
      defaultRouteSettings: {
        throttlingRateLimit: settings.requestsPerSecond,
        throttlingBurstLimit: settings.requestsPerSecond * 2,
        detailedMetricsEnabled: true,
      },
    });
    accept(api, "Switchboard checks keys, tokens and sessions itself, each route with its own scope", "APIG4");
    new CfnOutput(this, "ApiId", { value: api.apiId });
    new CfnOutput(this, "ApiUrl", { value: api.apiEndpoint });
    return api;
  }

  #restApi(settings: Settings, log: logs.LogGroup): rest.RestApi {
    const api = new rest.RestApi(this, "Api", {
      restApiName: settings.prefix,
      description: "Switchboard",
      endpointTypes: [rest.EndpointType.REGIONAL],
      apiKeySourceType: rest.ApiKeySourceType.HEADER,
      // Of the whole account: without it API Gateway writes no log, and refuses a stage that asks for one.
      cloudWatchRole: true,
      cloudWatchRoleRemovalPolicy: RemovalPolicy.RETAIN,
      deployOptions: {
        stageName: "live",
        accessLogDestination: new rest.LogGroupLogDestination(log),
        accessLogFormat: rest.AccessLogFormat.custom(JSON.stringify(ACCESS)),
        throttlingRateLimit: settings.requestsPerSecond,
        throttlingBurstLimit: settings.requestsPerSecond * 2,
        metricsEnabled: true,
        // Of each request only that it failed; the access log and our own have the rest.
        loggingLevel: rest.MethodLoggingLevel.ERROR,
        dataTraceEnabled: false,
        tracingEnabled: true,
      },
    });
    const integration = new rest.LambdaIntegration(this.http.alias, { proxy: true, timeout: ANSWER, allowTestInvoke: false });
    const open: rest.MethodOptions = { apiKeyRequired: false };
    const keyed: rest.MethodOptions = { apiKeyRequired: true };
    // Who watches and who reads the description has no key; all else has one.
    for (const path of ["health", "openapi.json", "docs"]) api.root.addResource(path).addMethod("GET", integration, open);
    api.root.getResource("health")?.addResource("live").addMethod("GET", integration, open);
    api.root.addProxy({ defaultIntegration: integration, defaultMethodOptions: keyed });

    const plan = api.addUsagePlan("Plan", {
      name: settings.prefix,
      description: "The callers of Switchboard",
      throttle: { rateLimit: KEY_REQUESTS, burstLimit: KEY_REQUESTS * 2 },
      quota: { limit: settings.requestsPerMonth, period: rest.Period.MONTH },
    });
    plan.addApiStage({ stage: api.deploymentStage });
    const reason = "Switchboard checks keys, tokens and sessions itself, each route with its own scope";
    accept(api, reason, "APIG4", "COG4");
    const push = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs";
    accept(api, "the policy that AWS has for this one purpose", `IAM4[Policy::${push}]`);
    accept(api, "Switchboard validates, and names every mistake of a request at once", "APIG2");
    accept(api.deploymentStage, "a firewall costs by the month: who wants one associates it with this stage", "APIG3");
    new CfnOutput(this, "ApiId", { value: api.restApiId });
    new CfnOutput(this, "ApiUrl", { value: api.url });
    new CfnOutput(this, "UsagePlanId", { value: plan.usagePlanId });
    return api;
  }
}

