import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { aws_cloudwatch as cloudwatch, Duration } from "aws-cdk-lib";

interface List {
  readonly namespace: string;
  readonly dimension: string;
  readonly metrics: readonly { readonly name: string; readonly by?: string }[];
}

const LIST = JSON.parse(readFileSync(resolve("metrics.json"), "utf8")) as List;

/** A metric of ours, as the functions write it into their logs in the embedded metric format. */
export function own(
  deployment: string,
  name: string,
  statistic: string,
  period: Duration,
  by?: Readonly<Record<string, string>>,
): cloudwatch.Metric {
  const known = LIST.metrics.find((metric) => metric.name === name);
  if (known === undefined) throw new Error(`metrics.json has no ${name}`);
  for (const label of Object.keys(by ?? {})) {
    if (label !== known.by) throw new Error(`metrics.json has no ${name} by ${label}`);
  }
  return new cloudwatch.Metric({
    namespace: LIST.namespace,
    metricName: name,
    dimensionsMap: { [LIST.dimension]: deployment, ...by },
    statistic,
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
