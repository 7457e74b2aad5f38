import type { DownloadOptions, RequestContext } from '@disk-image/core'
import type { Transfer } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import type { DataChannelOptions } from './data-channel.ts'
import type { StallWatch } from './stall-watch.ts'

/** Options of a download from Glance. */
export interface GlanceDownloadOptions extends DownloadOptions {
  readonly context?: RequestContext | undefined
  /** The image's record, where the caller has just read it: then it is not read again before the data. */
  readonly image?: GlanceImage | undefined
}

/** A download under way. */
export interface Download {
  readonly channel: DataChannelOptions
  readonly image: GlanceImage
  readonly transfer: Transfer
  readonly watch: StallWatch
  readonly options: GlanceDownloadOptions
  readonly size: number | undefined
  /** Whether the store can start in the middle, as far as is known. */
  ranges: boolean
  resumes: number
  /** The MD5 that came with the data. */
  contentMd5: string | undefined
  /** Whether the service ever answered with data. */
  answered: boolean
}
