/** Keeps what was made last, also while it is still under way; what fails is forgotten. */
export class Recent<Value> {
  readonly #most: number
  readonly #kept = new Map<number, Promise<Value>>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: number, make: () => Promise<Value>): Promise<Value> {
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const value = make()
    this.#kept.set(key, value)
    value.catch(() => this.#kept.delete(key))
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#most) break
      this.#kept.delete(oldest)
    }
    return value
  }
}
