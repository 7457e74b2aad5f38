export { parseOciReference } from './oci/reference.ts'
export type { OciLayoutReference, OciReference, OciRegistryReference } from './oci/reference.ts'
export { parseS3Location } from './s3/location.ts'
export type { S3Location } from './s3/location.ts'
