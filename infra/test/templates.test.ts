import assert from "node:assert/strict";
import { test } from "node:test";

import { snapshot, stacks, template } from "./support.js";

test("the templates are those that were looked at", () => {
  const { storage, events, jobs, api, monitoring, delivery } = stacks();
  for (const [name, stack] of Object.entries({ storage, events, jobs, api, monitoring, delivery })) {
    snapshot(`http/${name}`, template(stack));
  }
});

test("so are those of a REST API, with everything that can be chosen", () => {
  const { api, delivery } = stacks({
    front: "rest",
    architecture: "x86_64",
    alarmEmail: "support@example.com",
    pagerDutyUrl: "https://events.pagerduty.com/integration/example/enqueue",
    slackHookUrl: "https://hooks.slack.com/services/example",
    variables: { SWITCHBOARD_OIDC__ISSUER: "https://issuer.example" },
  });
  for (const [name, stack] of Object.entries({ api, delivery })) snapshot(`rest/${name}`, template(stack));
});

test("a mistake in a choice names it, and says what it may be", () => {
  const says = (choices: Record<string, unknown>, words: RegExp) => {
    assert.throws(() => stacks(choices), words);
  };
  says({ front: "soap" }, /^Error: front: must be one of http, rest; set it with -c front=…$/);
  says({ prefix: "Big" }, /^Error: prefix: must be 1 to 24 small letters/);
  says({ logDays: 8 }, /^Error: logDays: must be one of 1, 3, 5, 7, 14/);
  says({ jobsConcurrency: 1 }, /^Error: jobsConcurrency: must be a whole number from 2 to 1000/);
  says({ slackHookUrl: "http://hooks" }, /^Error: slackHookUrl: must be an https address/);
  says({ variables: { PATH: "/" } }, /^Error: variables: must be texts, named SWITCHBOARD_… or AWS_ENDPOINT_URL_…/);
  says({ artifact: "nowhere.zip" }, /^Error: artifact: there is no .*nowhere\.zip; build it first/);
});
