interface OciLayoutReference {
  readonly kind: "layout";
  readonly folder: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

type OciReference = OciRegistryReference | OciLayoutReference;

interface OciRegistryReference {
  readonly kind: "registry";
  readonly host: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

interface S3Location {
  readonly bucket: string;
  readonly key: string;
}

export declare function parseOciReference(text: string): OciReference;

export declare function parseS3Location(text: string): S3Location;

export type {
  OciLayoutReference,
  OciReference,
  OciRegistryReference,
  S3Location,
};
