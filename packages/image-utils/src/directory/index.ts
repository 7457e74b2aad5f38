export { createDirectoryImageService, DirectoryImageService } from './directory-image-service.ts'
export type { DirectoryImageServiceOptions } from './directory-image-service.ts'
