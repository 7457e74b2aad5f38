/** Bytes of the stream on their way. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
class Placement {
  readonly end: number
  isDone = false

  constructor(end: number) {
    this.end = end
  }
}

/** How far a stream has come, and who waits for that. */
export class StreamCursor {
  /** Bytes of the stream whose way is decided. */
  position: number
  /** Bytes of the image that are, with all before them, in their places. */
  spooledBytes: number
  /** What is decided and not yet in its place, in order. */
  readonly #placements: Placement[] = []
  #isEnded = false
  /** Resolves with the next step that anybody makes. */
  #changed = Promise.withResolvers<void>()

  constructor(position: number) {
    this.position = position
    this.spooledBytes = position
  }

  /** Whether the image has come to its end, and every byte of it is in its place. */
  get isWhole(): boolean {
    return this.#isEnded && this.#placements.length === 0
  }

  /** Says that nothing more comes. */
  end(): void {
    this.#isEnded = true
    this.notify()
  }

  /**
   * Notes that all up to the position is on its way.
   *
   * @returns what is called when it is in its place
   */
  begin(): () => void {
    const placement = new Placement(this.position)
    this.#placements.push(placement)
    return () => {
      placement.isDone = true
      for (let [first] = this.#placements; first?.isDone === true; [first] = this.#placements) {
        this.spooledBytes = first.end
        this.#placements.shift()
      }
    }
  }

  /** Has everybody who waits look again. */
  notify(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#changed.promise
  }
}
