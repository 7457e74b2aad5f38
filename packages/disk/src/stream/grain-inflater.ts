import { createInflater, type Inflater } from '../inflate/inflater.ts'
import type { ClusterReply } from './cluster-reader.ts'
import { inflateSlackBytes } from './inflate-cluster.ts'

/** Compressed grains that lie in memory, to be inflated one behind the other. Plain data, for a worker. */
export interface GrainRequest {
  readonly grainBytes: number
  /** Of each grain: where in the input it begins, its length, and the least that it must inflate to. */
  readonly grains: Float64Array
  /** Shared memory, of the one who asks alone until the reply. */
  readonly input: Uint8Array
  /** The same, with room for all grains and {@link inflateSlackBytes}. */
  readonly output: Uint8Array
}

const fieldsPerGrain = 3

/** Inflates grains of any disks. */
export class GrainInflater {
  #inflater: Inflater | undefined

  /** Blocks its thread; never throws. Of a refusal `offset` is the number of the grain. */
  inflate({ grainBytes, grains, input, output }: GrainRequest): ClusterReply {
    const inflater = (this.#inflater ??= createInflater('zlib'))
    const count = grains.length / fieldsPerGrain
    for (let index = 0; index < count; index += 1) {
      const [start = 0, length = 0, least = 0] = grains.subarray(index * fieldsPerGrain)
      const room = output.subarray(index * grainBytes, (index + 1) * grainBytes + inflateSlackBytes)
      const result = inflater(input.subarray(start, start + length), room)
      const produced = typeof result === 'string' ? 0 : result.producedBytes
      if (produced < least || produced > grainBytes) {
        return {
          kind: 'refused',
          reason: typeof result === 'string' ? result : `${produced} bytes`,
          offset: index,
        }
      }
    }
    return { kind: 'read', consumedBytes: new Float64Array(0) }
  }
}
