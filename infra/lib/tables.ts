import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** A table of `tables.json`, which is written from the adapters' own list (`crates/aws/src/tables.rs`). */
export interface TableOfList {
  readonly name: string;
  readonly hash: string;
  readonly range?: string;
  readonly stream: boolean;
  readonly indexes: readonly IndexOfList[];
}

export interface IndexOfList {
  readonly name: string;
  readonly hash: string;
  readonly range: string;
  readonly whole: boolean;
}

/** The attribute of the time to live, in seconds since 1970. */
export const TTL = "ttl";

/** All tables. Programs here start in the folder of package.json, as npm and cdk do. */
export const TABLES = JSON.parse(readFileSync(resolve("tables.json"), "utf8")) as readonly TableOfList[];
