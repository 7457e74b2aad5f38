/** Something that waits for a slot, or has one. */
export interface SlotEntry<Item> {
  readonly item: Item
  readonly device: string
  readonly sequence: number
  state: 'waiting' | 'running' | 'gone'
  /** Goes before others: what it needs is held for it already. */
  urgent: boolean
}

interface Device<Item> {
  running: number
  waiting: number
  readonly urgent: Line<Item>
  readonly normal: Line<Item>
}

/**
 * Who may run next: at most `jobs` at once, at most `jobsPerDevice` of them on one device, first come first
 * served on each device, and between devices whoever waits longest.
 *
 * Every step takes time proportional to the number of devices, however many wait.
 */
export class SlotQueue<Item> {
  readonly #jobs: number
  readonly #jobsPerDevice: number
  readonly #devices = new Map<string, Device<Item>>()
  #running = 0
  #sequence = 0

  constructor(limits: { readonly jobs: number; readonly jobsPerDevice: number }) {
    this.#jobs = limits.jobs
    this.#jobsPerDevice = limits.jobsPerDevice
  }

  add(item: Item, device: string): SlotEntry<Item> {
    const entry: SlotEntry<Item> = {
      item,
      device,
      sequence: (this.#sequence += 1),
      state: 'waiting',
      urgent: false,
    }
    const line = this.#deviceOf(device)
    line.normal.push(entry)
    line.waiting += 1
    return entry
  }

  /** Gives the next one its slot; undefined where nobody may begin now. */
  next(): SlotEntry<Item> | undefined {
    if (this.#running >= this.#jobs) return undefined
    let best: SlotEntry<Item> | undefined
    for (const device of this.#devices.values()) {
      if (device.running >= this.#jobsPerDevice) continue
      const head = device.urgent.first() ?? device.normal.first()
      if (head !== undefined && (best === undefined || isBefore(head, best))) best = head
    }
    if (best === undefined) return undefined
    const device = this.#deviceOf(best.device)
    best.state = 'running'
    device.waiting -= 1
    device.running += 1
    this.#running += 1
    return best
  }

  /** Lets one that waits go before those that are not urgent. */
  hasten(entry: SlotEntry<Item>): void {
    if (entry.state !== 'waiting' || entry.urgent) return
    entry.urgent = true
    this.#deviceOf(entry.device).urgent.push(entry)
  }

  /** One that waited, or ran, is over. */
  leave(entry: SlotEntry<Item>): void {
    if (entry.state === 'gone') return
    const device = this.#deviceOf(entry.device)
    if (entry.state === 'running') {
      device.running -= 1
      this.#running -= 1
    } else {
      device.waiting -= 1
    }
    entry.state = 'gone'
    if (device.running === 0 && device.waiting === 0) this.#devices.delete(entry.device)
  }

  #deviceOf(name: string): Device<Item> {
    let device = this.#devices.get(name)
    if (device === undefined) {
      device = { running: 0, waiting: 0, urgent: new Line(true), normal: new Line(false) }
      this.#devices.set(name, device)
    }
    return device
  }
}

function isBefore(one: SlotEntry<unknown>, other: SlotEntry<unknown>): boolean {
  return one.urgent === other.urgent ? one.sequence < other.sequence : one.urgent
}

/** By the order in which they came at first. Who left, or went over to the other line, is passed over when its turn comes. */
class Line<Item> {
  readonly #urgent: boolean
  #entries: SlotEntry<Item>[] = []
  #head = 0

  constructor(urgent: boolean) {
    this.#urgent = urgent
  }

  push(entry: SlotEntry<Item>): void {
    const entries = this.#entries
    let place = entries.length
    // Only the urgent are ever pushed out of order, and there are few of them.
    while (place > this.#head && (entries[place - 1]?.sequence ?? 0) > entry.sequence) place -= 1
    if (place === entries.length) entries.push(entry)
    else entries.splice(place, 0, entry)
  }

  first(): SlotEntry<Item> | undefined {
    for (;;) {
      const entry = this.#entries[this.#head]
      if (entry === undefined) {
        this.#entries = []
        this.#head = 0
        return undefined
      }
      if (entry.state === 'waiting' && entry.urgent === this.#urgent) return entry
      this.#head += 1
      if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
        this.#entries = this.#entries.slice(this.#head)
        this.#head = 0
      }
    }
  }
}
