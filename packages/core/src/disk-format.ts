/**
 * Glance's names for disk formats where they differ from qemu-img's.
 *
 * @see cinder.image.image_utils.QEMU_IMG_FORMAT_MAP
 */
const qemuNames: ReadonlyMap<string, string> = new Map([
  ['iso', 'raw'],
  ['vhd', 'vpc'],
  ['ploop', 'parallels'],
])

const glanceNames: ReadonlyMap<string, string> = new Map(
  [...qemuNames].map(([glance, qemu]) => [qemu, glance]),
)

/**
 * Glance's `disk_format` as qemu-img names it: `vhd` is `vpc`, `iso` is `raw`, `ploop` is `parallels`.
 * Every other name is returned as it came.
 *
 * @see cinder.image.image_utils.fixup_disk_format
 */
export function toQemuFormat(diskFormat: string): string {
  return qemuNames.get(diskFormat) ?? diskFormat
}

/**
 * The exact inverse of {@link toQemuFormat}: `vpc` is `vhd`, `parallels` is `ploop`, and `raw` is `iso`, as
 * in the original. Where a plain disk is meant, don't ask: `raw` is Glance's name for it too.
 *
 * @see cinder.image.image_utils.from_qemu_img_disk_format
 */
export function fromQemuFormat(format: string): string {
  return glanceNames.get(format) ?? format
}
