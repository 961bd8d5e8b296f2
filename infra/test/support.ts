import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { App, type Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

import { type Stacks, switchboard } from "../lib/app.js";
import { placeholder } from "../scripts/placeholder.js";

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
  readonly UpdatePolicy?: unknown;
}

/** What a template is. */
export interface Made {
  readonly Resources: Readonly<Record<string, Resource>>;
}

const FILE = resolve("dist/placeholder.zip");
placeholder(FILE);

/** The stacks with some choices, and the context of cdk.json. */
export function stacks(choices: Readonly<Record<string, unknown>> = {}): Stacks {
  const { context } = JSON.parse(readFileSync("cdk.json", "utf8")) as { context: Record<string, unknown> };
  const outdir = mkdtempSync(join(tmpdir(), "switchboard-synth-"));
  return switchboard(new App({ outdir, context: { ...context, artifact: FILE, ...choices } }));
}

/** The template of a stack. */
export function template(stack: Stack): Made {
  return Template.fromStack(stack).toJSON() as Made;
}

/** The resources of a type. */
export function of(made: Made, type: string): Resource[] {
  return Object.values(made.Resources).filter((resource) => resource.Type === type);
}

/** Compares with `snapshots/{name}.json`, or writes it (`npm run test:update`). */
export function snapshot(name: string, value: unknown): void {
  const path = resolve("snapshots", `${name}.json`);
  const text = `${JSON.stringify(readable(value), undefined, 1)}\n`;
  if (process.env["SNAPSHOTS"] === "write") {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return;
  }
  const kept = JSON.parse(readFileSync(path, "utf8")) as unknown;
  assert.deepEqual(JSON.parse(text), kept, `${path} differs; if that is meant, write it with npm run test:update`);
}

/** The same with joined texts in one piece, `arn:${AWS::Partition}:sqs:…`, so that a change of a policy can be read. */
function readable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== "object" || value === null) return value;
  const join = (value as { "Fn::Join"?: [string, unknown[]] })["Fn::Join"];
  if (join !== undefined && Array.isArray(join[1])) return join[1].map(piece).join(join[0]);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, readable(inner)]));
}

function piece(part: unknown): string {
  if (typeof part === "string") return part;
  const [call, to] = Object.entries(part as Record<string, unknown>)[0] ?? ["", ""];
  const name = Array.isArray(to) ? to.join(".") : typeof to === "string" ? to : JSON.stringify(to);
  return call === "Ref" || call === "Fn::GetAtt" ? `\${${name}}` : `\${${call} ${name}}`;
}
