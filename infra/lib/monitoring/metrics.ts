import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { aws_cloudwatch as cloudwatch, type Duration } from "aws-cdk-lib";

interface List {
  readonly namespace: string;
  /** The dimension that each has: the deployment, by its prefix. */
  readonly dimension: string;
  readonly metrics: readonly { readonly name: string; readonly dimensions: readonly string[] }[];
}

/** The metrics of ours, written from the adapters' own list (`crates/aws/src/emf/table.rs`). */
export const LIST = JSON.parse(readFileSync(resolve("metrics.json"), "utf8")) as List;

/** A metric of ours, as the functions write it into their logs in the embedded metric format; `by` takes a part of it. */
export function own(
  deployment: string,
  metricName: string,
  statistic: string,
  period: Duration,
  by: Readonly<Record<string, string>> = {},
): cloudwatch.Metric {
  const known = LIST.metrics.find(({ name }) => name === metricName);
  if (known === undefined) throw new Error(`metrics.json has no ${metricName}`);
  for (const dimension of Object.keys(by)) {
    if (!known.dimensions.includes(dimension)) throw new Error(`metrics.json has no ${metricName} by ${dimension}`);
  }
  return new cloudwatch.Metric({
    namespace: LIST.namespace,
    metricName,
    dimensionsMap: { [LIST.dimension]: deployment, ...by },
    statistic,
    period,
  });
}

/** A metric of ours whose average is a share, in per cent; nothing while there are fewer than `least` of them. */
export function share(deployment: string, label: string, name: string, least: number, period: Duration): cloudwatch.MathExpression {
  const id = name.toLowerCase();
  return new cloudwatch.MathExpression({
    label,
    expression: `IF(${id}_n >= ${least}, 100 * ${id}, 0)`,
    usingMetrics: { [id]: own(deployment, name, "Average", period), [`${id}_n`]: own(deployment, name, "SampleCount", period) },
    period,
  });
}

/** A metric of AWS itself. */
export function theirs(
  service: string,
  name: string,
  dimensions: Readonly<Record<string, string>>,
  statistic: string,
  period: Duration,
): cloudwatch.Metric {
  return new cloudwatch.Metric({ namespace: `AWS/${service}`, metricName: name, dimensionsMap: { ...dimensions }, statistic, period });
}

/** How many per cent of `all` are `part`; nothing while there are fewer than `least`, for one of one is no rate. */
export function percent(
  label: string,
  part: Readonly<Record<string, cloudwatch.IMetric>>,
  all: cloudwatch.IMetric,
  least: number,
  period: Duration,
): cloudwatch.MathExpression {
  // Ids of its own: a graph may have several of these.
  const own = label.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const usingMetrics = Object.fromEntries(Object.entries({ ...part, all }).map(([id, metric]) => [`${own}_${id}`, metric]));
  const sum = Object.keys(part).map((id) => `FILL(${own}_${id}, 0)`).join(" + ");
  return new cloudwatch.MathExpression({
    label,
    expression: `IF(${own}_all >= ${least}, 100 * (${sum}) / ${own}_all, 0)`,
    usingMetrics,
    period,
  });
}
