import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type SlotEntry, SlotQueue } from './permit-queue.ts'

test('never more than allowed, in order on each device, everybody once', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), device: fc.constantFrom('a', 'b', 'c') }),
    fc.record({
      kind: fc.constantFrom('leave' as const, 'drop' as const, 'hasten' as const),
      pick: fc.nat(),
    }),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(step, { maxLength: 200 }),
      (jobs, jobsPerDevice, steps) => {
        const queue = new SlotQueue<number>({ jobs, jobsPerDevice })
        const [waiting, running]: [SlotEntry<number>[], SlotEntry<number>[]] = [[], []]
        let started = 0
        let dropped = 0
        let added = 0
        const begin = (): void => {
          for (let entry = queue.next(); entry !== undefined; entry = queue.next()) {
            const { device, urgent, sequence } = entry
            // Nobody on the same device who is as urgent came earlier, and nobody more urgent waits there.
            const rivals = waiting.filter((rival) => rival !== entry && rival.device === device)
            expect(rivals.some((rival) => rival.urgent && !urgent)).toBe(false)
            expect(rivals.some((rival) => rival.urgent === urgent && rival.sequence < sequence)).toBe(false)
            waiting.splice(waiting.indexOf(entry), 1)
            running.push(entry)
            started += 1
            expect(running.length).toBeLessThanOrEqual(jobs)
            expect(running.filter((other) => other.device === device).length).toBeLessThanOrEqual(
              jobsPerDevice,
            )
          }
        }
        for (const action of steps) {
          if (action.kind === 'add') {
            waiting.push(queue.add(added, action.device))
            added += 1
          } else {
            const from = action.kind === 'leave' ? running : waiting
            const entry = from[action.pick % Math.max(1, from.length)]
            if (entry === undefined) continue
            if (action.kind === 'hasten') queue.hasten(entry)
            else {
              from.splice(from.indexOf(entry), 1)
              queue.leave(entry)
              if (action.kind === 'drop') dropped += 1
            }
          }
          begin()
        }
        for (let entry = running.shift(); entry !== undefined; entry = running.shift()) {
          queue.leave(entry)
          begin()
        }
        expect({ waiting: waiting.length, over: started + dropped }).toEqual({ waiting: 0, over: added })
      },
    ),
    { numRuns: 200 },
  )
})

test('of two that became urgent, whoever came first goes first', () => {
  const queue = new SlotQueue<string>({ jobs: 1, jobsPerDevice: 1 })
  const running = queue.add('running', 'a')
  expect(queue.next()).toBe(running)
  const [first, second] = [queue.add('first', 'a'), queue.add('second', 'a')]
  queue.hasten(second)
  queue.hasten(first)
  queue.leave(running)
  expect(queue.next()).toBe(first)
})

test('a hundred thousand on one device take no longer than a few steps each', () => {
  const queue = new SlotQueue<number>({ jobs: 4, jobsPerDevice: 2 })
  for (let item = 0; item < 100_000; item += 1) queue.add(item, 'disk')
  const running: SlotEntry<number>[] = []
  const order: number[] = []
  const started = performance.now()
  for (;;) {
    for (let entry = queue.next(); entry !== undefined; entry = queue.next()) running.push(entry)
    const first = running.shift()
    if (first === undefined) break
    order.push(first.item)
    queue.leave(first)
  }
  expect(order).toEqual(Array.from({ length: 100_000 }, (_, index) => index))
  expect(performance.now() - started).toBeLessThan(10_000)
})
