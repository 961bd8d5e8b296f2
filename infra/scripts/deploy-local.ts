import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** The stacks that the emulator knows all resources of: not `delivery`. */
const STACKS = ["storage", "events", "jobs", "api", "monitoring"];

const USAGE = "usage: npm run deploy:local -- --endpoint URL --artifact FILE [--prefix NAME] [--region NAME] [-c NAME=VALUE …]";

/**
 * Deploys to an emulator of AWS, as the real thing is deployed, and prints the outputs of all stacks as JSON,
 * `{"switchboard-api":{"ApiId":…},…}`; the progress goes to standard error.
 */
function main(): void {
  const { values } = parseArgs({
    options: {
      endpoint: { type: "string" },
      artifact: { type: "string" },
      prefix: { type: "string", default: "switchboard" },
      region: { type: "string", default: "us-east-1" },
      context: { type: "string", short: "c", multiple: true, default: [] },
    },
  });
  const { endpoint, artifact, prefix, region } = values;
  if (endpoint === undefined || artifact === undefined) throw new Error(USAGE);
  if (!existsSync(artifact)) throw new Error(`artifact: there is no ${artifact}`);

  const folder = mkdtempSync(join(tmpdir(), "switchboard-deploy-"));
  try {
    const environment = {
      ...process.env,
      AWS_ENDPOINT_URL: endpoint,
      // An account number as the key is an account of its own in the emulator.
      AWS_ACCESS_KEY_ID: process.env["AWS_ACCESS_KEY_ID"] ?? "test",
      AWS_SECRET_ACCESS_KEY: process.env["AWS_SECRET_ACCESS_KEY"] ?? "test",
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      CDK_DISABLE_LEGACY_EXPORT_WARNING: "1",
    };
    const artifactOf = [`artifact=${resolve(artifact)}`, `architecture=${architecture()}`];
    const chosen = [`prefix=${prefix}`, ...artifactOf, "protect=false", "canary=false", "rateAlarms=false"];
    const context = [...chosen, ...values.context].flatMap((choice) => ["-c", choice]);
    const output = join(folder, "cdk.out");
    const cdk = (...words: string[]): void => {
      const program = resolve("node_modules/aws-cdk/bin/cdk");
      const all = [program, ...words, "--no-notices", "--output", output, ...context];
      // Its progress is not what this prints.
      const ended = spawnSync(process.execPath, all, { env: environment, stdio: ["ignore", 2, 2] });
      if (ended.status !== 0) throw new Error(`cdk ${words[0] ?? ""} ended with ${ended.status ?? ended.signal ?? "nothing"}`);
    };
    const stacks = STACKS;
    const outputs = join(folder, "outputs.json");
    cdk("bootstrap");
    cdk("deploy", ...stacks.map((name) => `${prefix}-${name}`), "--require-approval", "never", "--method", "direct", "--outputs-file", outputs);
    process.stdout.write(`${JSON.stringify(named(outputs))}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The outputs that we have named: CDK makes others, for the other stacks. */
function named(path: string): Record<string, Record<string, string>> {
  const all = JSON.parse(readFileSync(path, "utf8")) as Record<string, Record<string, string>>;
  const ours = (outputs: Record<string, string>) => Object.entries(outputs).filter(([name]) => !name.startsWith("ExportsOutput"));
  return Object.fromEntries(Object.entries(all).map(([stack, outputs]) => [stack, Object.fromEntries(ours(outputs))]));
}

/** The emulator runs the artifact on this machine. */
function architecture(): string {
  return process.arch === "arm64" ? "arm64" : "x86_64";
}

try {
  main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
