import {
  ImageError,
  QemuImgInfo,
  Verdict,
} from "@disk-image/core";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly reason?: string | undefined;
  readonly offset?: number | undefined;
  readonly found?: string | undefined;
  readonly accepted?: string | undefined;
  readonly reference?: string | undefined;
}

interface ConversionDirection {
  readonly upload?: boolean | undefined;
}

interface ConversionOptions {
  readonly disabled?: boolean | undefined;
  readonly upload?: boolean | undefined;
}

interface FormatPolicy {
  readonly options: ResolvedFormatPolicy;
  judge(evidence: ImageEvidence): Verdict;
  judgeAll(evidence: ImageEvidence): readonly Verdict[];
  check(imageId: string, evidence: ImageEvidence): void;
  judgeConversion(diskFormat: string, volumeFormat: string, direction?: ConversionDirection): Verdict;
  checkConversion(diskFormat: string, volumeFormat: string, imageId: string, direction?: ConversionDirection): void;
  withoutReservedNamespaces(metadata: Readonly<Record<string, unknown>> | undefined): Record<string, unknown>;
  with(options: FormatPolicyOptions): FormatPolicy;
  toJSON(): FormatPolicyOptions;
}

interface FormatPolicyOptions {
  readonly vmdkAllowedTypes?: readonly string[] | undefined;
  readonly allowedFormats?: readonly string[] | undefined;
  readonly allowQcow2BackingFile?: boolean | undefined;
  readonly allowInternalSnapshots?: boolean | undefined;
  readonly allowEncryption?: boolean | undefined;
  readonly allowUnclean?: boolean | undefined;
  readonly maxVirtualSizeBytes?: number | undefined;
  readonly maxRatio?: number | undefined;
  readonly conversionDisabled?: boolean | undefined;
  readonly reservedImageNamespaces?: readonly string[] | undefined;
}

type FormatSpecificInfo = Pick<QemuImgInfo, "formatSpecific">;

export declare class ImageConversionNotAllowedError extends ImageError {
  readonly code = "IMAGE_CONVERSION_NOT_ALLOWED";
  readonly kind = "refused";
  readonly imageId: string;
  readonly reason: string;
  constructor(init: ImageConversionNotAllowedErrorInit);
}

interface ImageConversionNotAllowedErrorInit {
  readonly imageId: string;
  readonly reason: string;
  readonly cause?: unknown;
}

interface ImageDetails {
  readonly version?: number | undefined;
  readonly createType?: string | undefined;
  readonly extents?: readonly string[] | undefined;
  readonly backingFile?: string | undefined;
  readonly backingFileFormat?: string | undefined;
  readonly dataFile?: string | undefined;
  readonly encryption?: string | undefined;
  readonly clusterSizeBytes?: number | undefined;
  readonly extendedL2?: boolean | undefined;
  readonly compressionType?: string | undefined;
  readonly internalSnapshots?: number | undefined;
  readonly bitmaps?: number | undefined;
  readonly subformat?: string | undefined;
  readonly cipher?: string | undefined;
  readonly payloadOffsetBytes?: number | undefined;
  readonly foundAt?: "head" | "footer" | undefined;
}

interface ImageEvidence {
  readonly claimedFormat?: string | null | undefined;
  readonly inspection?: InspectionResult | undefined;
  readonly info?: QemuImgInfo | undefined;
  readonly volumeSizeGiB?: number | undefined;
  readonly hasPassphrase?: boolean | undefined;
}

interface InspectionResult {
  readonly format: string;
  readonly virtualSizeBytes: number | undefined;
  readonly fileSizeBytes: number | undefined;
  readonly matches: readonly string[];
  readonly contentName: string | undefined;
  readonly safe: boolean;
  readonly verdict: InspectionVerdict;
  readonly checks: readonly Check[];
  readonly details: ImageDetails;
  readonly complete: boolean;
}

interface InspectionRules {
  readonly vmdkAllowedTypes?: readonly string[] | undefined;
  readonly allowQcow2BackingFile?: boolean | undefined;
  readonly allowInternalSnapshots?: boolean | undefined;
  readonly allowEncryption?: boolean | undefined;
  readonly allowUnclean?: boolean | undefined;
}

type InspectionVerdict = "safe" | "not-safe" | "not-a-disk-image";

interface ReservedNamespacesOptions {
  readonly reservedNamespaces?: readonly string[] | null | undefined;
}

type ResolvedFormatPolicy = { readonly [K in keyof FormatPolicyOptions]-?: K extends "allowedFormats" | "maxVirtualSizeBytes" | "maxRatio" ? FormatPolicyOptions[K] : NonNullable<FormatPolicyOptions[K]>; };

type SizeInBytes = number | bigint | string;

interface VmdkOptions {
  readonly allowedTypes?: readonly string[] | undefined;
}

export declare function checkClaimedFormat(imageId: string | null | undefined, claimed: string | null | undefined, inspection: Pick<InspectionResult, "format" | "checks" | "complete">): void;

export declare function checkConversionAllowed(diskFormat: string | null | undefined, volumeFormat: string | null | undefined, imageId: string | null | undefined, options?: ConversionOptions): void;

export declare function checkImageFormat(imageId: string | null | undefined, sourceFormat: string | null | undefined, data: Pick<QemuImgInfo, "fileFormat" | "formatSpecific">, options?: VmdkOptions): void;

export declare function checkInspection(imageId: string | null | undefined, inspection: InspectionResult, rules?: InspectionRules): void;

export declare function checkQcow2Image(imageId: string | null | undefined, data: FormatSpecificInfo): void;

export declare function checkVirtualSize(virtualSize: SizeInBytes, volumeSizeGiB: number, imageId: string | null | undefined): number;

export declare function checkVmdkImage(imageId: string | null | undefined, data: FormatSpecificInfo, options?: VmdkOptions): void;

export declare function createFormatPolicy(options?: FormatPolicyOptions): FormatPolicy;

export declare const defaultVmdkAllowedTypes: readonly string[];

export declare const glanceReservedNamespaces: readonly string[];

export declare function isCarriedAsRaw(claimed: string | null | undefined, inspection: Pick<InspectionResult, "format">): boolean;

export declare function judgeClaimedFormat(claimed: string | null | undefined, inspection: Pick<InspectionResult, "format" | "checks" | "complete">): Verdict;

export declare function judgeConversionAllowed(diskFormat: string | null | undefined, volumeFormat: string | null | undefined, options?: ConversionOptions): Verdict;

export declare function judgeImageFormat(sourceFormat: string | null | undefined, data: Pick<QemuImgInfo, "fileFormat" | "formatSpecific">, options?: VmdkOptions): Verdict;

export declare function judgeInspection(inspection: InspectionResult, rules?: InspectionRules): Verdict;

export declare function judgeQcow2Image(data: FormatSpecificInfo): Verdict;

export declare function judgeVirtualSize(virtualSize: SizeInBytes, volumeSizeGiB: number): Verdict;

export declare function judgeVmdkImage(data: FormatSpecificInfo, options?: VmdkOptions): Verdict;

export declare function policyFromJson(json: unknown): FormatPolicy;

export declare function toWholeGiB(size: SizeInBytes): bigint;

export declare function withoutReservedNamespaces(metadata: Readonly<Record<string, unknown>> | null | undefined, options?: ReservedNamespacesOptions): Record<string, unknown>;

export type {
  ConversionDirection,
  ConversionOptions,
  FormatPolicy,
  FormatPolicyOptions,
  FormatSpecificInfo,
  ImageConversionNotAllowedErrorInit,
  ImageEvidence,
  InspectionRules,
  ReservedNamespacesOptions,
  ResolvedFormatPolicy,
  SizeInBytes,
  VmdkOptions,
};
