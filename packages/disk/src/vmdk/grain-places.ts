const grainsPerPage = 512
/** Of 2 KiB each: 64 MiB, which with usual grains are those of 1 TiB. */
const mostPages = 32_768

/** Where in the file grains are, in sectors; of a page of 512, which are neighbours on the disk, all or none. */
export class GrainPlaces {
  readonly #pages = new Map<number, Uint32Array>()
  readonly #grains: number
  count = 0

  /** @param grains that the disk has */
  constructor(grains: number) {
    this.#grains = grains
  }

  hasRoom(grain: number): boolean {
    return this.#pages.has(Math.floor(grain / grainsPerPage)) || this.#pages.size < mostPages
  }

  /** False where it has a place. A place is never 0. */
  set(grain: number, sector: number): boolean {
    const number = Math.floor(grain / grainsPerPage)
    let page = this.#pages.get(number)
    if (page === undefined) {
      page = new Uint32Array(Math.min(grainsPerPage, this.#grains - number * grainsPerPage))
      this.#pages.set(number, page)
    }
    if (page[grain % grainsPerPage] !== 0) return false
    page[grain % grainsPerPage] = sector
    this.count += 1
    return true
  }

  /** 0 where none is known. */
  get(grain: number): number {
    return this.#pages.get(Math.floor(grain / grainsPerPage))?.[grain % grainsPerPage] ?? 0
  }
}
