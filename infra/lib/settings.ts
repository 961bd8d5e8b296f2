import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { aws_logs as logs } from "aws-cdk-lib";
import type { Node } from "constructs";

/** What a deployment may choose, from `-c name=value` or the `context` of cdk.json. */
export interface Settings {
  /** What all names begin with, so that several deployments fit in an account. */
  readonly prefix: string;
  /** The zip with `bootstrap`. */
  readonly artifact: string;
  /** What the artifact was built for. */
  readonly architecture: "arm64" | "x86_64";
  /** What stands before the http function. */
  readonly front: "http" | "rest";
  /** Whether tables, bucket and key outlive the stacks and cannot be deleted by mistake. */
  readonly protect: boolean;
  /** Whether a new version gets its traffic by and by; needs the stack `delivery`. */
  readonly canary: boolean;
  /** Whether alarms by rates are made, too; the emulator that the tests deploy to has no metric math. */
  readonly rateAlarms: boolean;
  /** Minutes between two steps of ten per cent of the traffic. */
  readonly canaryMinutes: number;
  /** Most functions at the same time, by role. Below it they have their places for sure. */
  readonly concurrency: Readonly<Record<Role, number>>;
  /** Requests a second that the API takes from all callers together; twice as many for a moment. */
  readonly requestsPerSecond: number;
  /** Requests a month of one key of the usage plan; only with the front `rest`. */
  readonly requestsPerMonth: number;
  /** Seconds that a batch of messages may wait for more. */
  readonly batchSeconds: number;
  /** Days that the functions' logs are kept. */
  readonly logDays: logs.RetentionDays;
  /** Days that logs of accesses are kept. */
  readonly auditDays: logs.RetentionDays;
  /** Dollars a day from which on there is a warning. */
  readonly dailyCost: number;
  /** The models of Bedrock that may be asked, and that are watched: ids of models or of inference profiles, or ARNs. */
  readonly bedrockModels: readonly string[];
  /** The guardrails of Bedrock that may be applied: ids, or ARNs. */
  readonly bedrockGuardrails: readonly string[];
  /** Where warnings go. */
  readonly alarmEmail: string | undefined;
  /** Where critical alarms go: the address of a PagerDuty integration for CloudWatch. */
  readonly pagerDutyUrl: string | undefined;
  /** Where the news of deployments go: an incoming web hook of Slack. */
  readonly slackHookUrl: string | undefined;
  /** `tracing` directives. */
  readonly log: string;
  /** More variables of the functions, such as `SWITCHBOARD_OIDC__ISSUER` or `AWS_ENDPOINT_URL_DYNAMODB`. */
  readonly variables: Readonly<Record<string, string>>;
}

/** What a function is for. */
export type Role = "http" | "jobs" | "stream" | "schedule";

export const ROLES: readonly Role[] = ["http", "jobs", "stream", "schedule"];

/** What every resource is marked with; budgets go by it. */
export function tags({ prefix }: Settings): Record<string, string> {
  return { application: "switchboard", deployment: prefix };
}

/** Days that CloudWatch can keep logs. */
const RETENTIONS = Object.values(logs.RetentionDays).filter((days) => typeof days === "number" && days !== logs.RetentionDays.INFINITE);

/** Reads the context; a mistake names the setting and what it may be. */
export function settings(node: Node): Settings {
  const given = (name: string): string | undefined => {
    const value: unknown = node.tryGetContext(name);
    if (value === undefined || value === null || value === "") return undefined;
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") throw mistake(name, "a text");
    return String(value);
  };
  const choice = <T extends string>(name: string, choices: readonly [T, ...T[]]): T => {
    const value = given(name) ?? choices[0];
    const found = choices.find((known) => known === value);
    if (found === undefined) throw mistake(name, `one of ${choices.join(", ")}`);
    return found;
  };
  const number = (name: string, usual: number, least: number, most: number): number => {
    const value = Number(given(name) ?? usual);
    if (!Number.isInteger(value) || value < least || value > most) throw mistake(name, `a whole number from ${least} to ${most}`);
    return value;
  };
  const days = (name: string, usual: logs.RetentionDays): logs.RetentionDays => {
    const value = given(name) ?? String(usual);
    const found = RETENTIONS.find((known) => String(known) === value);
    if (found === undefined) throw mistake(name, `one of ${RETENTIONS.join(", ")}`);
    return found;
  };
  const names = (name: string): string[] => {
    const all = (given(name) ?? "").split(",").filter((one) => one !== "");
    // They become parts of ARNs, where others would mean more than one thing.
    if (!all.every((one) => /^[A-Za-z0-9.:/_-]+$/.test(one))) throw mistake(name, "ids or ARNs with commas, without wildcards");
    return all;
  };
  const url = (name: string): string | undefined => {
    const value = given(name);
    if (value !== undefined && !value.startsWith("https://")) throw mistake(name, "an https address");
    return value;
  };
  const prefix = given("prefix") ?? "switchboard";
  if (!/^[a-z][a-z0-9-]{0,23}$/.test(prefix)) throw mistake("prefix", "1 to 24 small letters, digits and hyphens, a letter first");
  return {
    prefix,
    artifact: artifact(given("artifact") ?? "../dist/lambda.zip"),
    architecture: choice("architecture", ["arm64", "x86_64"]),
    front: choice("front", ["http", "rest"]),
    protect: choice("protect", ["true", "false"]) === "true",
    canary: choice("canary", ["true", "false"]) === "true",
    rateAlarms: choice("rateAlarms", ["true", "false"]) === "true",
    canaryMinutes: number("canaryMinutes", 3, 1, 60),
    // The seeds': 100 for ingestion, 50 for routing (the models' rates), 20 for write-backs. One sweeper, so that no two train
    // the same model.
    concurrency: {
      http: number("httpConcurrency", 100, 1, 10_000),
      jobs: number("jobsConcurrency", 50, 2, 1_000),
      stream: number("streamConcurrency", 20, 1, 1_000),
      schedule: 1,
    },
    requestsPerSecond: number("requestsPerSecond", 1_000, 1, 10_000),
    requestsPerMonth: number("requestsPerMonth", 3_000_000, 1, 1_000_000_000),
    batchSeconds: number("batchSeconds", 0, 0, 300),
    logDays: days("logDays", logs.RetentionDays.ONE_WEEK),
    auditDays: days("auditDays", logs.RetentionDays.THREE_MONTHS),
    dailyCost: number("dailyCost", 350, 1, 1_000_000),
    bedrockModels: names("bedrockModels"),
    bedrockGuardrails: names("bedrockGuardrails"),
    alarmEmail: given("alarmEmail"),
    pagerDutyUrl: url("pagerDutyUrl"),
    slackHookUrl: url("slackHookUrl"),
    // The one line of each decision, which the dashboard counts by team and priority.
    log: given("log") ?? "info,switchboard_core::jobs::work=debug",
    variables: variables(node.tryGetContext("variables")),
  };
}

function artifact(given: string): string {
  const path = resolve(given);
  if (!existsSync(path)) {
    throw new Error(`artifact: there is no ${path}; build it first (docs/aws.md), or name another with -c artifact=FILE`);
  }
  return path;
}

function variables(given: unknown): Record<string, string> {
  const value: unknown = typeof given === "string" ? JSON.parse(given) : (given ?? {});
  if (typeof value !== "object" || value === null) throw mistake("variables", "an object of texts");
  const entries = Object.entries(value as Record<string, unknown>).map(([name, text]): [string, string] => {
    // The latter lead to endpoints of a network of one's own. All others would change what the program was built with.
    if (!/^(SWITCHBOARD_|AWS_ENDPOINT_URL_)/.test(name) || typeof text !== "string") {
      throw mistake("variables", "texts, named SWITCHBOARD_… or AWS_ENDPOINT_URL_…");
    }
    return [name, text];
  });
  return Object.fromEntries(entries);
}

function mistake(name: string, wanted: string): Error {
  return new Error(`${name}: must be ${wanted}; set it with -c ${name}=…`);
}
