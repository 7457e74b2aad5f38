import { ClusterReader, type ClusterReply, type ClusterRequest } from './cluster-reader.ts'
import { GrainInflater, type GrainRequest } from './grain-inflater.ts'

/** What a thread does for a decoder. */
export type DecodeRequest = ClusterRequest | GrainRequest

/** What became of it. */
export type DecodeReply = ClusterReply

/** Does what decoders of any disks ask for, one request after the other. */
export class DecodeTasks {
  readonly #clusters = new ClusterReader()
  readonly #grains = new GrainInflater()

  /** Blocks its thread; never throws. */
  run(request: DecodeRequest): DecodeReply {
    return 'grains' in request ? this.#grains.inflate(request) : this.#clusters.read(request)
  }
}
