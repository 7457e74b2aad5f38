import {
  ByteSink,
  CallOptions,
  CertificateSource,
  ImageError,
  ImageRecord,
  InvalidError,
  Logger,
  RequestContext,
} from "@disk-image/core";

import {
  ProxyOptions,
  Timeouts,
  TlsOptions,
} from "@disk-image/http";

interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
}

type BarbicanOptions = Omit<GlanceClientOptions, "endpoint"> & {
  readonly endpoint?: string | undefined;
};

interface GlanceClientOptions extends Partial<Timeouts> {
  readonly endpoint?: string | readonly string[] | undefined;
  readonly session?: Session | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly proxy?: ProxyOptions | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly maximumRetryDelayMs?: number | undefined;
  readonly shuffleEndpoints?: boolean | undefined;
  readonly requestHeaders?: ((context: RequestContext) => Readonly<Record<string, string>>) | undefined;
  readonly logger?: Logger | undefined;
}

export declare class ImageSignatureVerificationError extends ImageError {
  readonly code = "IMAGE_SIGNATURE_VERIFICATION_FAILED";
  readonly kind = "refused";
  readonly imageId: string;
  readonly reason: string;
  constructor(init: {
    readonly imageId: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

export declare class InvalidSignatureImageError extends InvalidError {
  override readonly code = "INVALID_SIGNATURE_IMAGE";
  readonly imageId: string;
  constructor(init: {
    readonly imageId: string;
    readonly reason?: string;
    readonly cause?: unknown;
  });
}

interface Session {
  authorize(context: RequestContext | undefined, signal?: AbortSignal): Promise<Authorization>;
  renew(used: Authorization, signal?: AbortSignal): Promise<boolean>;
  endpoints(serviceType: string, signal?: AbortSignal): Promise<readonly string[]>;
}

interface SignatureOptions extends CallOptions {
  readonly strictCurve?: boolean | undefined;
  readonly trustedCertificates?: readonly string[] | undefined;
  readonly requireSignature?: boolean | undefined;
  readonly wallMs?: number | undefined;
  readonly inPlace?: boolean | undefined;
}

interface SignatureProperties {
  readonly signature: string;
  readonly hashMethod: string;
  readonly keyType: string;
  readonly certificateId: string;
}

interface SignatureVerifier extends ByteSink, AsyncDisposable {
  verify(): Promise<void>;
  close(): Promise<void>;
}

export declare function certificatesFrom(find: (certificateId: string, context: RequestContext, options: CallOptions) => Promise<string> | string): CertificateSource;

export declare function certificatesInBarbican(options: BarbicanOptions): CertificateSource & AsyncDisposable;

export declare function certificatesInDirectory(directory: string): CertificateSource;

export declare function createSignatureVerifier(context: RequestContext, image: Pick<ImageRecord, "id" | "properties">, certificates: CertificateSource, options?: SignatureOptions): Promise<SignatureVerifier | undefined>;

export declare function readSignatureProperties(image: Pick<ImageRecord, "id" | "properties">, required?: boolean): SignatureProperties | undefined;

export declare function verifyImageSignature(context: RequestContext, image: Pick<ImageRecord, "id" | "properties">, source: AsyncIterable<Uint8Array>, certificates: CertificateSource, options?: SignatureOptions): Promise<boolean>;

export type {
  BarbicanOptions,
  SignatureOptions,
  SignatureProperties,
  SignatureVerifier,
};
