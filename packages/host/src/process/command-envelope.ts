import type { ByteSink, Command, Envelope, ProcessRunner, RunOptions } from '@disk-image/core'
import { Channel } from '@disk-image/io'

/** Options of {@link openCommandEnvelope}. */
export interface CommandEnvelopeOptions extends Pick<RunOptions, 'limits' | 'signal'> {
  readonly runner: ProcessRunner
  /** Reads what it unpacks from standard input, and writes it to standard output. */
  readonly command: Command
}

/**
 * Unpacks through a command, which sees no file: `xz --decompress`, `bzip2 -dc`.
 *
 * `end` rejects as the runner's `run` does, and what the sink throws ends the command.
 */
export function openCommandEnvelope(
  sink: ByteSink,
  { runner, command, limits, signal }: CommandEnvelopeOptions,
): Envelope {
  const channel = new Channel()
  const abort = new AbortController()
  const signals = signal === undefined ? [abort.signal] : [abort.signal, signal]
  let running: Promise<unknown> | undefined
  const start = (): Promise<unknown> => {
    const run = runner.run(command, {
      files: {},
      limits,
      signal: AbortSignal.any(signals),
      input: copiesOf(channel),
      onOutput: (bytes) => sink.write(bytes),
    })
    const ended = run.finally(() => channel.leave(new Error(`${command.file} has ended`)))
    ended.catch(() => undefined)
    return ended
  }
  return {
    async write(chunk) {
      running ??= start()
      try {
        await channel.write(chunk)
      } catch (error) {
        // Why it ended says more than that it did.
        await running
        throw error
      }
    },
    async end() {
      running ??= start()
      channel.end()
      await running
    },
    async close() {
      abort.abort(new Error(`${command.file} was given up`))
      await running?.catch(() => undefined)
    },
  }
}

/** A pipe may still hold on to a chunk when it asks for the next one, and chunks are lent. */
async function* copiesOf(channel: Channel): AsyncGenerator<Uint8Array> {
  for await (const chunk of channel) yield new Uint8Array(chunk)
}
