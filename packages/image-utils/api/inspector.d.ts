import {
  Check,
  ImageDetails,
  InspectionResult,
  InspectionResult as InspectionResult$1,
  InspectionVerdict,
  Inspector,
  createInspector,
  inspect,
} from "@disk-image/format-policy/inspector";

import {
  FormatPolicy,
  FormatPolicyOptions,
  ImageEvidence,
  createFormatPolicy,
} from "@disk-image/format-policy";

export declare function inspectFile(path: string): Promise<InspectionResult$1>;

export {
  type Check,
  type FormatPolicy,
  type FormatPolicyOptions,
  type ImageDetails,
  type ImageEvidence,
  type InspectionResult,
  type InspectionVerdict,
  type Inspector,
  createFormatPolicy,
  createInspector,
  inspect,
};
