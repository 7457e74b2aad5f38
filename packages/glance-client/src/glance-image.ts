/** An image as Glance sends it: base fields and properties side by side. */
export interface GlanceImage {
  readonly id: string
  readonly name?: string | null
  /** `queued`, `saving`, `uploading`, `importing`, `active`, `deactivated`, `killed`, `deleted`, `pending_delete` */
  readonly status: string
  readonly visibility?: string
  readonly owner?: string | null
  readonly protected?: boolean
  readonly disk_format?: string | null
  readonly container_format?: string | null
  readonly size?: number | null
  readonly virtual_size?: number | null
  readonly min_disk?: number
  readonly min_ram?: number
  readonly checksum?: string | null
  readonly os_hash_algo?: string | null
  readonly os_hash_value?: string | null
  readonly os_hidden?: boolean
  readonly tags?: readonly string[]
  readonly created_at?: string
  readonly updated_at?: string
  readonly direct_url?: string
  /** Ids of the stores, with commas between. */
  readonly stores?: string
  /** Stores into which an import is still copying, and into which it failed; with commas between. */
  readonly os_glance_importing_to_stores?: string
  readonly os_glance_failed_import?: string
  readonly [property: string]: unknown
}
