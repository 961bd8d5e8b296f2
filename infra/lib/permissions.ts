import { aws_iam as iam, Stack } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

import { accept } from "./nag.js";
import type { Role, Settings } from "./settings.js";
import type { Storage } from "./storage.js";

const READ = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"];
// A transaction needs the permission of each thing that it does.
const WRITE = ["dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"];

/** What a role may do with a table. No role may scan one. */
interface Grant {
  readonly table: string;
  readonly write?: boolean;
  /** Of tickets: the note that an event is in hand goes when it is settled. */
  readonly delete?: boolean;
  /** What the partition keys begin with that it may touch; all when absent. */
  readonly keys?: readonly string[];
}

/** What a role may do with the objects of a folder of the bucket. */
interface Folder {
  /** What the keys of its objects look like. */
  readonly folder: string;
  readonly write?: boolean;
  readonly delete?: boolean;
}

interface Needs {
  readonly tables: readonly Grant[];
  readonly folders: readonly Folder[];
  /** Whether it publishes on the bus. */
  readonly publishes: boolean;
  /** Whether it calls other systems with the tenants' secrets. */
  readonly calls: boolean;
  /** Whether it asks language models. */
  readonly asks?: boolean;
}

/** Items of tickets; the other items of that table are callers' idempotency keys. */
const TICKETS = ["t#*"];
// The second form of a tenant's configuration lies at the top.
const CONFIGURATION: readonly Folder[] = [{ folder: "mappings/*" }, { folder: "tenants/*" }, { folder: "*-config.json" }];

const NEEDS: Readonly<Record<Role, Needs>> = {
  // Accepts, reviews, replays; looks after keys; writes the audit log.
  http: {
    tables: [
      { table: "tickets", write: true, delete: true, keys: ["t#*", "k#*"] },
      { table: "events", write: true },
      { table: "effects", write: true },
      { table: "examples", write: true },
      { table: "customers" },
      { table: "keys", write: true, delete: true },
      { table: "audit", write: true },
      { table: "meta", write: true },
    ],
    folders: [...CONFIGURATION, { folder: "bodies/*", write: true }, { folder: "models/*" }],
    publishes: true,
    calls: true,
  },
  // Routes tickets, and repeats write-backs.
  jobs: {
    tables: [
      { table: "tickets", write: true, delete: true, keys: TICKETS },
      { table: "events", write: true },
      { table: "effects", write: true },
      { table: "customers", write: true },
      { table: "meta", write: true },
    ],
    folders: [...CONFIGURATION, { folder: "bodies/*", write: true }, { folder: "models/*" }],
    publishes: true,
    calls: true,
    asks: true,
  },
  // Writes decisions and reviews back.
  stream: {
    tables: [
      { table: "tickets", write: true, delete: true, keys: TICKETS },
      { table: "events", write: true },
      { table: "effects", write: true },
      { table: "meta", write: true },
    ],
    folders: [...CONFIGURATION, { folder: "bodies/*", write: true }],
    publishes: true,
    calls: true,
  },
  // Rings for what was missed; trains.
  schedule: {
    tables: [
      { table: "tickets", keys: TICKETS },
      { table: "events" },
      { table: "examples", write: true },
      { table: "audit", write: true },
      { table: "meta" },
    ],
    folders: [...CONFIGURATION, { folder: "bodies/*" }, { folder: "models/*", write: true, delete: true }],
    publishes: true,
    calls: false,
  },
};

/** What the permissions speak of beside the storage. */
export interface Targets {
  readonly storage: Storage;
  readonly busArn: string;
  readonly jobsQueueArn: string;
  readonly settings: Pick<Settings, "bedrockModels" | "bedrockGuardrails">;
}

/** The policy of a role: exact tables and indexes, actions by name. */
export function permissions(role: Role, { storage, busArn, jobsQueueArn, settings }: Targets): iam.PolicyStatement[] {
  const needs = NEEDS[role];
  const bucket = storage.bucketArn;
  const statements = needs.tables.flatMap((grant) => table(storage, grant));
  statements.push(
    allow("Configuration", ["s3:GetObject"], needs.folders.map(({ folder }) => `${bucket}/${folder}`)),
    // Without it, S3 answers 403 instead of 404 for an object that is not there.
    allow("Absence", ["s3:ListBucket"], [bucket]),
  );
  const written = needs.folders.filter((folder) => folder.write).map(({ folder }) => `${bucket}/${folder}`);
  if (written.length > 0) statements.push(allow("Bodies", ["s3:PutObject"], written));
  const removed = needs.folders.filter((folder) => folder.delete).map(({ folder }) => `${bucket}/${folder}`);
  if (removed.length > 0) statements.push(allow("OldModels", ["s3:DeleteObject"], removed));
  statements.push(
    allow("Messages", ["sqs:SendMessage"], [jobsQueueArn]),
    allow("Pepper", ["secretsmanager:GetSecretValue"], [storage.pepper.secretArn]),
  );
  if (needs.publishes) {
    const source = { StringEquals: { "events:source": SOURCE } };
    statements.push(allow("Events", ["events:PutEvents"], [busArn], source));
  }
  if (needs.calls) {
    statements.push(allow("TenantSecrets", ["secretsmanager:GetSecretValue"], [storage.tenantSecretsArn]));
  }
  if (needs.asks) statements.push(...modelStatements(storage, settings));
  const services = ["dynamodb", "lambda", "s3", "secretsmanager", "sqs"].map((service) => `${service}.${storage.region}.amazonaws.com`);
  statements.push(
    allow("Key", ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"], [storage.key.keyArn], {
      StringEquals: { "kms:ViaService": services },
    }),
  );
  return statements;
}

const ASK = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"];

/** What an inference profile's id begins with, before the model's: where its calls may go. */
const PROFILE = /^(?:apac|au|ca|eu|global|jp|us|us-gov)\.(?=[a-z0-9-]+\.)/;

/** Of Bedrock, what the deployment names, and nothing else. */
function modelStatements(storage: Storage, { bedrockModels, bedrockGuardrails }: Targets["settings"]): iam.PolicyStatement[] {
  const { partition, region, account } = Stack.of(storage);
  const bedrock = (owner: string, name: string): string => `arn:${partition}:bedrock:${region}:${owner}:${name}`;
  const plain: string[] = [];
  const statements: iam.PolicyStatement[] = [];
  const profiles = new Map<string, string>();
  for (const model of bedrockModels) {
    const id = model.split("/").at(-1) ?? model;
    if (model.includes("inference-profile/") || (PROFILE.test(model) && !model.startsWith("arn:"))) {
      const profile = model.startsWith("arn:") ? model : bedrock(account, `inference-profile/${model}`);
      // A profile of one's own has a name that does not say which model is behind it.
      profiles.set(profile, PROFILE.test(id) ? id.replace(PROFILE, "") : "*");
      plain.push(profile);
    } else {
      plain.push(model.startsWith("arn:") ? model : bedrock("", `foundation-model/${model}`));
    }
  }
  if (plain.length > 0) statements.push(allow("Models", ASK, plain));
  // A profile's calls go to other regions, and the model there must be allowed as well: through the profile alone.
  for (const [index, [profile, id]] of [...profiles].entries()) {
    const there = `arn:${partition}:bedrock:*::foundation-model/${id}`;
    const through = { StringEquals: { "bedrock:InferenceProfileArn": profile } };
    statements.push(allow(`ModelsOfProfile${index}`, ASK, [there], through));
  }
  const guardrails = bedrockGuardrails.map((id) => (id.startsWith("arn:") ? id : bedrock(account, `guardrail/${id}`)));
  if (guardrails.length > 0) statements.push(allow("Guardrails", ["bedrock:ApplyGuardrail"], guardrails));
  return statements;
}

/** The source of our events. */
export const SOURCE = "support.ticketing";

/** Says why each `*` in the policy of a role has to be. */
export function acceptWildcards(policy: iam.Policy, role: Role, { storage, settings }: Pick<Targets, "storage" | "settings">): void {
  const needs = NEEDS[role];
  const finding = (arn: string): string => `IAM5[Resource::${shown(policy, arn)}]`;
  accept(policy, "X-Ray's actions have no resources to name", finding("*"));
  for (const { folder } of needs.folders) {
    accept(policy, "the objects of one kind, whose names are made at run time", finding(`${storage.bucketArn}/${folder}`));
  }
  if (needs.calls) {
    accept(policy, "the tenants' secrets, which operators add at run time", finding(storage.tenantSecretsArn));
  }
  const models = needs.asks ? modelStatements(storage, settings).flatMap((statement) => statement.resources) : [];
  for (const model of models.filter((arn) => arn.includes("*"))) {
    accept(policy, "the model in whatever region its inference profile sends a call to, through the profile alone", finding(model));
  }
}

/** An ARN as cdk-nag shows it: with the names of parameters in angle brackets. */
function shown(construct: IConstruct, arn: string): string {
  const resolved: unknown = Stack.of(construct).resolve(arn);
  if (typeof resolved === "string") return resolved;
  const [separator, parts] = (resolved as { "Fn::Join": [string, (string | { Ref: string })[]] })["Fn::Join"];
  return parts.map((part) => (typeof part === "string" ? part : `<${part.Ref}>`)).join(separator);
}

function table(storage: Storage, { table: name, write = false, delete: remove = false, keys }: Grant): iam.PolicyStatement[] {
  const arn = storage.tableArn(name);
  const actions = [...READ, ...(write ? WRITE : []), ...(remove ? ["dynamodb:DeleteItem"] : [])];
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  const condition = keys && { "ForAllValues:StringLike": { "dynamodb:LeadingKeys": keys } };
  const statements = [allow(`${title}Table`, actions, [arn], condition)];
  const indexes = storage.indexArns(name);
  // Of an index the leading keys are others, and all it can do is to be queried.
  if (indexes.length > 0) statements.push(allow(`${title}Indexes`, ["dynamodb:Query"], indexes));
  return statements;
}

function allow(
  sid: string,
  actions: readonly string[],
  resources: readonly string[],
  conditions?: Record<string, Record<string, string | readonly string[]>>,
): iam.PolicyStatement {
  return new iam.PolicyStatement({
    sid,
    actions: [...actions],
    resources: [...resources],
    ...(conditions && { conditions }),
  });
}
