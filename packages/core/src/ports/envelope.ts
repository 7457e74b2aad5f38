import type { ByteSink } from './image-service.ts'

/**
 * What an image is wrapped in: gzip, zstd, xz, tar. Takes the outer bytes in order and hands the inner ones to the
 * sink it was opened with, bounded in size, ratio and memory.
 */
export interface Envelope extends ByteSink {
  /**
   * Says that the outer bytes are complete. Resolves when all inner bytes have been taken.
   *
   * @throws {ImageUnacceptableError} where it is damaged, cut off, or holds more than is allowed
   */
  end(): Promise<void>
  /** Gives up and frees everything. Harmless after `end`. */
  close(): Promise<void>
}
