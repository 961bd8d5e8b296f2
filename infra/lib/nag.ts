import { Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/** Says why a rule of AwsSolutions does not hold for a construct and what is in it. `id` names one finding. */
export function accept(construct: IConstruct, reason: string, ...ids: string[]): void {
  Validations.of(construct).acknowledge(...ids.map((id) => ({ id: `AwsSolutions-${id}`, reason })));
}
