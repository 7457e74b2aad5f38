import type { ByteSink, Checksum, DownloadOptions, DownloadReport } from './image-service.ts'
import type { CallOptions } from '../progress.ts'

/** The bytes of one image, wherever they are: in an image service, a folder, a file, at a URL, in a registry. */
export interface Source {
  /** What a person calls it: an image's id, a path. */
  readonly name: string
  /** Bytes in all, where that is known before they are read. */
  readonly sizeBytes: number | undefined
  /**
   * What the source itself says of its bytes: a digest, an ETag that is an MD5, `Content-MD5`. Known before the first
   * byte or with it. `download` compares each whose algorithm is known here.
   */
  readonly promises?: readonly Checksum[] | undefined
  /**
   * Hands the bytes to the sink, in order, each once, and resolves only when size and hash are right. After a
   * rejection the bytes already handed over must not be trusted.
   */
  download(sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>
  /** Reads a part, at most `length` bytes, fewer only at the end. Absent: the source has only one direction. */
  readRange?(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>
  /**
   * Reads the first bytes, fewer where there are no more, with the request that the next download goes on with. Absent:
   * nothing is saved by that.
   */
  peek?(length: number, options?: CallOptions): Promise<Uint8Array>
  /** Frees what it holds. Absent: it holds nothing. */
  close?(): Promise<void>
}
