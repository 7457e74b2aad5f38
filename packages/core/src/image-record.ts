/** Values that an image's property may have. On Glance's wire they are strings. */
export type ImagePropertyValue =
  | string
  | number
  | boolean
  | null
  | readonly unknown[]
  | { readonly [key: string]: unknown }

/**
 * An image as an image service describes it: Glance's own field names, with everything that is not a base
 * field folded into `properties`.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/#show-image
 */
export interface ImageRecord {
  readonly id: string
  readonly name?: string | null | undefined
  /** `queued`, `saving`, `uploading`, `importing`, `active`, `deactivated`, `killed`, `deleted`, `pending_delete` */
  readonly status?: string | undefined
  readonly visibility?: string | undefined
  readonly protected?: boolean | undefined
  readonly owner?: string | null | undefined
  readonly disk_format?: string | null | undefined
  readonly container_format?: string | null | undefined
  /** Bytes of the stored data. */
  readonly size?: number | null | undefined
  /** Bytes of the disk inside, where the service knows it. */
  readonly virtual_size?: number | null | undefined
  readonly min_disk?: number | undefined
  readonly min_ram?: number | undefined
  /** MD5 of the stored data, lower-case hex. */
  readonly checksum?: string | null | undefined
  /** Python's hashlib name of the hash: `sha512`, `sha3_512`, `blake2b` … */
  readonly os_hash_algo?: string | null | undefined
  readonly os_hash_value?: string | null | undefined
  readonly os_hidden?: boolean | undefined
  readonly tags?: readonly string[] | undefined
  readonly created_at?: string | Date | undefined
  readonly updated_at?: string | Date | undefined
  readonly deleted_at?: string | Date | null | undefined
  readonly deleted?: boolean | undefined
  readonly direct_url?: string | undefined
  readonly locations?: readonly ImageLocation[] | undefined
  /** Everything else: `architecture`, `hw_disk_bus`, `img_signature` … */
  readonly properties: { readonly [key: string]: ImagePropertyValue | undefined }
}

/** One place where an image's data is stored. */
export interface ImageLocation {
  readonly url: string
  readonly metadata: { readonly [key: string]: unknown }
}

/** What may be given when an image is made or changed: any field but those the service sets itself. */
export type ImageMetadata = Partial<Omit<ImageRecord, 'properties'>> & {
  readonly properties?: ImageRecord['properties'] | undefined
}
