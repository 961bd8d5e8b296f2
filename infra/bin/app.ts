import { App } from "aws-cdk-lib";

import { switchboard } from "../lib/app.js";

switchboard(new App());
