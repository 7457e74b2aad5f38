import { ClusterReader, type ClusterReply, type ClusterRequest } from './cluster-reader.ts'
import { GrainInflater, type GrainRequest } from './grain-inflater.ts'

/** What a thread does for a decoder. */
export type DecodeRequest = ClusterRequest | GrainRequest

/** What became of it. */
export type DecodeReply = ClusterReply

/** Does what decoders of any disks ask for, one request after the other: it blocks its thread, and never throws. */
export function createTaskHandler(): (request: DecodeRequest) => DecodeReply {
  const clusters = new ClusterReader()
  const grains = new GrainInflater()
  return (request) => ('grains' in request ? grains.inflate(request) : clusters.read(request))
}
