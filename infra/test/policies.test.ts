import assert from "node:assert/strict";
import { test } from "node:test";

import type { Stacks } from "../lib/app.js";
import { ROLES } from "../lib/settings.js";
import { TABLES } from "../lib/tables.js";
import { of, snapshot, stacks, template } from "./support.js";

interface Statement {
  readonly Sid?: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

/** The statements of each role of a function, by the role; of the others, by the construct. */
function policies(all: Stacks): Map<string, Statement[]> {
  const found = new Map<string, Statement[]>();
  for (const stack of [all.jobs, all.api, all.delivery]) {
    for (const { Properties } of of(template(stack), "AWS::IAM::Policy")) {
      const { PolicyDocument, Roles } = Properties as {
        PolicyDocument: { Statement: Statement[] };
        Roles: { Ref: string }[];
      };
      const owner = Roles.map(({ Ref }) => Ref.replace(/Role[0-9A-F]*$|[0-9A-F]{8}$/, "").toLowerCase()).join();
      found.set(owner, [...(found.get(owner) ?? []), ...PolicyDocument.Statement]);
    }
  }
  return found;
}

const POLICIES = policies(stacks());

const list = <T>(one: T | readonly T[]): readonly T[] => (Array.isArray(one) ? (one as readonly T[]) : [one as T]);

test("the policies are those that were looked at", () => {
  assert.deepEqual([...POLICIES.keys()].sort(), ["caller", "deployer", ...ROLES].sort());
  for (const [owner, statements] of POLICIES) snapshot(`policies/${owner}`, statements);
});

test("no role has a policy beside them", () => {
  const all = stacks();
  for (const stack of [all.jobs, all.api, all.delivery]) {
    for (const { Properties } of of(template(stack), "AWS::IAM::Role")) {
      assert.equal(Properties["ManagedPolicyArns"], undefined);
      assert.equal(Properties["Policies"], undefined);
    }
  }
});

test("actions are named, and all resources are meant only where there are none to name", () => {
  const withoutResources = ["xray:PutTelemetryRecords", "xray:PutTraceSegments", "cloudwatch:DescribeAlarms"];
  for (const [owner, statements] of POLICIES) {
    for (const { Action, Resource } of statements) {
      const actions = list(Action);
      for (const action of actions) assert.match(action, /^[a-z0-9]+:[A-Za-z]+$/, owner);
      if (list(Resource).includes("*")) {
        for (const action of actions) assert.ok(withoutResources.includes(action), `${owner}: ${action} on all resources`);
      }
    }
  }
});

test("a function may only touch what it works with", () => {
  const tables = (owner: string, action: string): string[] => {
    const statements = POLICIES.get(owner) ?? [];
    const granted = statements.filter(({ Action }) => list(Action).includes(action));
    const text = JSON.stringify(granted.map(({ Resource }) => Resource));
    return TABLES.map(({ name }) => name).filter((name) => text.includes(`:table/switchboard-${name}"`));
  };
  const all = TABLES.map(({ name }) => name);
  assert.deepEqual(tables("http", "dynamodb:GetItem"), all);
  assert.deepEqual(tables("jobs", "dynamodb:PutItem"), ["tickets", "events", "effects", "customers", "meta"]);
  assert.deepEqual(tables("stream", "dynamodb:PutItem"), ["tickets", "events", "effects", "meta"]);
  assert.deepEqual(tables("schedule", "dynamodb:PutItem"), ["examples", "audit"]);
  for (const role of ROLES) {
    assert.deepEqual(tables(role, "dynamodb:Scan"), []);
    const deletes = { http: ["tickets", "keys"], jobs: ["tickets"], stream: ["tickets"], schedule: [] };
    assert.deepEqual(tables(role, "dynamodb:DeleteItem"), deletes[role]);
  }
  // Keys of callers: whoever can read them can try them, whoever can write them can make some.
  for (const role of ["jobs", "stream", "schedule"]) {
    assert.ok(!tables(role, "dynamodb:Query").includes("keys"), role);
    assert.ok(!tables(role, "dynamodb:GetItem").includes("keys"), role);
  }
});

test("of Bedrock, the function that routes may ask what is named, and nobody anything else", () => {
  const asks = (all: Map<string, Statement[]>): [string, Statement][] =>
    [...all].flatMap(([owner, statements]) =>
      statements.filter(({ Action }) => JSON.stringify(Action).includes("bedrock:")).map((one): [string, Statement] => [owner, one]),
    );
  assert.deepEqual(asks(POLICIES), []);
  const own = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123";
  const named = asks(
    policies(
      stacks({
        bedrockModels: `amazon.nova-lite-v1:0,eu.amazon.nova-pro-v1:0,${own}`,
        bedrockGuardrails: "gr4a7b1c9d2e",
      }),
    ),
  );
  assert.deepEqual([...new Set(named.map(([owner]) => owner))], ["jobs"]);
  snapshot("policies/jobs-with-bedrock", named.map(([, statement]) => statement));
  for (const wrong of ["*", "amazon.*", "a,b c"]) assert.throws(() => stacks({ bedrockModels: wrong }), /bedrockModels: must be/);
});
