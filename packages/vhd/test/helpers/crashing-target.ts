import { writeFileSync } from 'node:fs'
import type { FileTarget, OpenTarget } from '../../src/files/vhd-file.ts'
import { openTarget } from '../../src/files/vhd-file.ts'

/** What the machine dies with. */
export class Crash extends Error {}

export type CrashKind =
  /** The process is killed: what was written is there. */
  | 'kill'
  /** Killed in the middle of a write: its first half is there, in whole sectors, as disks and kernels write. */
  | 'torn'
  /** The power fails: of what was not synced any part may be there, sector by sector. */
  | 'power'

export interface CrashPlan {
  /** Dies at this write, truncation or sync, counted from 0. */
  readonly at: number
  readonly kind: CrashKind
  /** Numbers between 0 and 1. */
  readonly random: () => number
}

type Pending =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number }

/** Opens files whose writer dies as planned; afterwards the file is what a restart would find. */
export function crashingOpen(plan: CrashPlan, counted: { operations: number }): OpenTarget {
  return async (path) => {
    const target = await openTarget(path)
    let durable = Buffer.alloc(target.size)
    await target.read(durable, 0)
    const pending: Pending[] = []
    let dead = false

    function apply(operation: Pending): void {
      if (operation.kind === 'truncate') {
        const next = Buffer.alloc(operation.size)
        durable.copy(next)
        durable = next
        return
      }
      const end = operation.offset + operation.bytes.length
      if (end > durable.length) {
        const next = Buffer.alloc(end)
        durable.copy(next)
        durable = next
      }
      durable.set(operation.bytes, operation.offset)
    }

    function settle(): void {
      for (const operation of pending) {
        if (plan.kind !== 'power') {
          apply(operation)
          continue
        }
        if (operation.kind === 'truncate') {
          if (plan.random() < 0.5) apply(operation)
          continue
        }
        const everything = plan.random()
        for (let at = 0; at < operation.bytes.length; at += 512) {
          const part = operation.bytes.subarray(at, at + 512)
          const kept = everything < 0.3 || (everything < 0.7 && plan.random() < 0.5)
          if (kept) apply({ kind: 'write', offset: operation.offset + at, bytes: part })
        }
      }
      pending.length = 0
    }

    async function step(run: () => Promise<void>, operation?: Pending): Promise<void> {
      if (dead) throw new Crash('dead')
      const number = counted.operations
      counted.operations += 1
      if (number === plan.at) {
        dead = true
        if (plan.kind === 'torn' && operation?.kind === 'write') {
          const half = Math.floor(operation.bytes.length / 1024) * 512
          if (half > 0) pending.push({ ...operation, bytes: operation.bytes.subarray(0, half) })
        } else if (plan.kind === 'power' && operation !== undefined) pending.push(operation)
        settle()
        writeFileSync(path, durable)
        throw new Crash('dies')
      }
      if (operation === undefined) {
        for (const done of pending) apply(done)
        pending.length = 0
      } else pending.push(operation)
      await run()
    }

    const crashing: FileTarget = {
      ...target,
      write: (bytes, offset) => {
        const copy = Uint8Array.from(bytes)
        return step(() => target.write(copy, offset), { kind: 'write', offset, bytes: copy })
      },
      truncate: (size) => step(() => target.truncate(size), { kind: 'truncate', size }),
      sync: () => step(() => Promise.resolve()),
    }
    return crashing
  }
}
