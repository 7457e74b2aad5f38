/**
 * Whether an image's record says that it is a XenServer archive: a tar.gz with a chain of VHDs.
 *
 * @see cinder.image.image_utils.is_xenserver_format
 */
export function isXenserverFormat(imageMeta: {
  readonly disk_format?: string | null | undefined
  readonly container_format?: string | null | undefined
}): boolean {
  return imageMeta.disk_format === 'vhd' && imageMeta.container_format === 'ovf'
}
