import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** An artifact that is none: a zip with an empty `bootstrap`, the same bytes each time, for templates that nobody deploys. */
const ZIP =
  "UEsDBBQAAAAAAAAAIQAAAAAAAAAAAAAAAAAJAAAAYm9vdHN0cmFwUEsBAhQDFAAAAAAAAAAhAAAAAAAAAAAAAAAAAAkAAAAAAAAAAAAAAO0BAAAAAGJvb3RzdHJhcFBLBQYAAAAAAQABADcAAAAnAAAAAAA=";

/** Writes it to `path`. */
export function placeholder(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(ZIP, "base64"));
}

if (process.argv[2] !== undefined) placeholder(process.argv[2]);
