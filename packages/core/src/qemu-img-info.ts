/** One internal snapshot of an image. */
export interface ImageSnapshot {
  readonly id: string
  readonly name: string
  /** Bytes of saved machine state. */
  readonly vmStateSize: number
}

/**
 * What `qemu-img info` says of an image.
 *
 * @see cinder.image.image_utils.qemu_img_info
 */
export interface QemuImgInfo {
  /** The path that was asked about. */
  readonly image?: string | undefined
  /** qemu-img's name of the format: `raw`, `qcow2`, `vpc` … */
  readonly fileFormat: string | undefined
  /** Bytes of the disk inside. */
  readonly virtualSize: number
  /** Bytes that the file takes up. */
  readonly diskSize: number | undefined
  readonly backingFile: string | undefined
  readonly backingFileFormat: string | undefined
  readonly clusterSize: number | undefined
  readonly encrypted: boolean
  readonly snapshots: readonly ImageSnapshot[]
  /** `data` has qemu-img's own keys (`create-type`, `data-file`, `compat` …). */
  readonly formatSpecific:
    | { readonly type: string; readonly data: { readonly [key: string]: unknown } }
    | undefined
}
