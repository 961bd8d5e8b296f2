import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";

import { switchboard } from "../lib/app.js";

const app = new App();
switchboard(app);
// A finding ends the synthesis; what is as it should be says so where it is made (lib/nag.ts).
Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { verbose: true }));
