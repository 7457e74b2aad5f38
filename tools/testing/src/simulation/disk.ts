import type { Simulation } from './simulation.ts'
import type { Process } from './simulation.ts'

/** How a disk behaves. */
export interface DiskOptions {
  /** The longest that a write takes. @default 20 */
  readonly mostMs?: number | undefined
  /** The chance that a write fails. @default 0 */
  readonly fails?: number | undefined
  /** The chance that a write takes less than it was given. @default 0 */
  readonly shortWrites?: number | undefined
}

/** A disk's write failed. */
export class SimulatedDiskError extends Error {
  override readonly name = 'SimulatedDiskError'
  readonly code = 'EIO'
}

/**
 * A file of a disk that takes its time. The kernel reads a writer's memory only when the write lands: what is
 * overwritten before was not his to overwrite. A write that is under way lands also where its process is stopped or
 * dead.
 */
export class SimulatedFile {
  readonly #simulation: Simulation
  readonly #options: DiskOptions
  readonly #onLand: ((writer: Process | undefined) => void) | undefined
  bytes: Buffer
  /** Writes under way. */
  pending = 0

  /** @param onLand called with whose write lands */
  constructor(
    simulation: Simulation,
    sizeBytes: number,
    options: DiskOptions = {},
    onLand?: (writer: Process | undefined) => void,
  ) {
    this.#simulation = simulation
    this.#options = options
    this.#onLand = onLand
    this.bytes = Buffer.alloc(sizeBytes)
  }

  /** As that of a `FileHandle`. */
  write(bytes: Uint8Array, start: number, length: number, offset: number): Promise<{ bytesWritten: number }> {
    const { random, process: writer } = this.#simulation
    const { mostMs = 20, fails = 0, shortWrites = 0 } = this.#options
    const fate = random.next()
    const taken = random.chance(shortWrites) ? 1 + random.below(length) : length
    this.pending += 1
    return new Promise((resolve, reject) => {
      this.#simulation.at(random.spread(0.02, mostMs), 'disk', () => {
        this.pending -= 1
        if (fate >= fails) {
          this.#onLand?.(writer)
          this.bytes.set(bytes.subarray(start, start + taken), offset)
        }
        const tell = (): void =>
          fate < fails ? reject(new SimulatedDiskError('simulated EIO')) : resolve({ bytesWritten: taken })
        this.#simulation.at(0, 'written', tell, writer)
      })
    })
  }
}
