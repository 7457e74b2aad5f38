import {
  Check,
  ImageDetails,
  InspectedStream,
  InspectionResult,
  InspectionResult as InspectionResult$1,
  InspectionTransform,
  InspectionVerdict,
  Inspector,
  createInspectionTransform,
  createInspector,
  inspect,
  inspectStream,
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
  type InspectedStream,
  type InspectionResult,
  type InspectionTransform,
  type InspectionVerdict,
  type Inspector,
  createFormatPolicy,
  createInspectionTransform,
  createInspector,
  inspect,
  inspectStream,
};
