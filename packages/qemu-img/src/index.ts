export { decodeCipher } from './cipher.ts'
export type { Cipher } from './cipher.ts'
export { convertCommand } from './command/convert.ts'
export type {
  CacheMode,
  ConvertDestination,
  ConvertRequest,
  ConvertSource,
  LocatedConvertRequest,
} from './command/convert.ts'
export { imageFormats } from './command/image-formats.ts'
export type { ImageFormat } from './command/image-formats.ts'
export type { ImageReference, LocatedImage } from './command/image-reference.ts'
export { createQemuImg } from './create-qemu-img.ts'
export type { QemuImg, QemuImgDependencies, QemuImgOptions } from './create-qemu-img.ts'
export { InvalidVolumeTypeError } from './errors/invalid-volume-type-error.ts'
export { QemuImgOutputError } from './errors/qemu-img-output-error.ts'
export { VolumeBackendError } from './errors/volume-backend-error.ts'
export type { QemuImgLimits } from './limits.ts'
export { parseInfo } from './parse/info.ts'
export { parseProgress } from './parse/progress.ts'
export { checkQemuImgVersion, parseVersion } from './parse/version.ts'
export type { QemuImgCallOptions } from './subcommands/context.ts'
export type { ConvertOptions } from './subcommands/convert.ts'
export { infoCommand } from './subcommands/info.ts'
export type { InfoOptions } from './subcommands/info.ts'
