import { type App, Tags } from "aws-cdk-lib";

import { Api } from "./api.js";
import { Delivery } from "./delivery.js";
import { Events } from "./events.js";
import { Jobs } from "./jobs.js";
import { Monitoring } from "./monitoring/index.js";
import { type Settings, settings, tags } from "./settings.js";
import { Storage } from "./storage.js";

/** Everything of a deployment. */
export interface Stacks {
  readonly settings: Settings;
  readonly storage: Storage;
  readonly events: Events;
  readonly jobs: Jobs;
  readonly api: Api;
  readonly monitoring: Monitoring;
  readonly delivery: Delivery;
}

/** All stacks, with the choices of the app's context. */
export function switchboard(app: App): Stacks {
  const chosen = settings(app.node);
  const id = (name: string): string => `${chosen.prefix}-${name}`;
  const storage = new Storage(app, id("storage"), chosen);
  const events = new Events(app, id("events"), chosen, storage);
  const jobs = new Jobs(app, id("jobs"), chosen, storage, events);
  const api = new Api(app, id("api"), chosen, storage, events);
  const monitoring = new Monitoring(app, id("monitoring"), chosen, storage, events, api);
  const delivery = new Delivery(app, id("delivery"), chosen, storage, events, monitoring);
  for (const [name, value] of Object.entries(tags(chosen))) Tags.of(app).add(name, value);
  return { settings: chosen, storage, events, jobs, api, monitoring, delivery };
}
