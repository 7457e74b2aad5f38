import type { Refusal } from '@disk-image/core'

/** One safety check with its outcome. */
export interface Check {
  /** Stable name in kebab case: `backing-file`, `tables`, `ambiguous` … */
  readonly name: string
  readonly ok: boolean
  /** Why it failed, or, where `ok`, what is odd but harmless. One sentence. */
  readonly reason?: string | undefined
  /** Byte offset into the image of what was found. */
  readonly offset?: number | undefined
  /** What was found, printable, never longer than a line. */
  readonly found?: string | undefined
  /** What would pass. */
  readonly accepted?: string | undefined
  /** The published vulnerability or bug behind the check. */
  readonly reference?: string | undefined
}

/** What a failed check has to say. */
export type Finding = Omit<Check, 'name' | 'ok' | 'reason'> & { readonly reason: string }

/** What was read of a header beyond format and size. Only what the format has is present. */
export interface ImageDetails {
  /** The format's own version number. */
  readonly version?: number | undefined
  /** VMDK: as the descriptor has it, or `COWD`. */
  readonly createType?: string | undefined
  /** VMDK text descriptors: the named files, at most ten of them. */
  readonly extents?: readonly string[] | undefined
  /** Name of the image that this one builds on, printable. */
  readonly backingFile?: string | undefined
  readonly backingFileFormat?: string | undefined
  /** qcow2: name of the external data file, printable. */
  readonly dataFile?: string | undefined
  /** `aes`, `luks` … */
  readonly encryption?: string | undefined
  readonly clusterSizeBytes?: number | undefined
  readonly extendedL2?: boolean | undefined
  /** qcow2: `zlib`, `zstd`. */
  readonly compressionType?: string | undefined
  readonly internalSnapshots?: number | undefined
  readonly bitmaps?: number | undefined
  /** `dynamic`, `fixed`, `differencing` … */
  readonly subformat?: string | undefined
  /** LUKS: cipher, mode and hash as the header names them. */
  readonly cipher?: string | undefined
  /** LUKS 1: bytes from the start of the file to the encrypted data. */
  readonly payloadOffsetBytes?: number | undefined
  /** What the format was told from: `head` or `footer`. */
  readonly foundAt?: 'head' | 'footer' | undefined
}

/** What comes of an inspection: `not-a-disk-image` is something else, and no danger by that. */
export type InspectionVerdict = 'safe' | 'not-safe' | 'not-a-disk-image'

/** What the bytes are. */
export interface InspectionResult {
  /**
   * Glance's name of the disk format where there is one: `raw qcow2 vmdk vhd vhdx vdi iso`; others by their
   * own name: `qcow qed parallels luks bochs cloop dmg`; and what is no disk image: `gzip xz lzma zstd bzip2
   * lz4 lzip compress tar ova zip 7z rar wim vma android-sparse`.
   */
  readonly format: string
  /**
   * Bytes of the disk inside; of a raw image, its length. Undefined where the header does not say, or says
   * more than a number can hold exactly.
   */
  readonly virtualSizeBytes: number | undefined
  /** Bytes of the file; undefined while the end has not been seen. */
  readonly fileSizeBytes: number | undefined
  /** Every signature found, the format first: `['iso', 'mbr']`. Empty for bytes without one. */
  readonly matches: readonly string[]
  /** What a raw disk holds: `gpt mbr fat ntfs ext4 xfs lvm …`. */
  readonly contentName: string | undefined
  /** No check failed. */
  readonly safe: boolean
  readonly verdict: InspectionVerdict
  readonly checks: readonly Check[]
  readonly details: ImageDetails
  /** False for a verdict on the head alone, while checks that need the rest are still open. */
  readonly complete: boolean
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** What an examiner writes its findings into. The first finding of each name is kept. */
export class Report {
  readonly details: Mutable<ImageDetails> = {}
  virtualSize: bigint | undefined
  readonly #checks: Map<string, Check> = new Map()

  /** Declares checks that hold unless something is found. */
  expect(...names: readonly string[]): void {
    for (const name of names) if (!this.#checks.has(name)) this.#checks.set(name, { name, ok: true })
  }

  fail(name: string, finding: Finding): void {
    if (!this.hasFailed(name)) this.#checks.set(name, { name, ok: false, ...finding })
  }

  /** Takes over what the parser of a layout found; its rules are named `FORMAT-CHECK`. */
  failAll(problems: readonly Refusal[]): void {
    for (const { rule, ...finding } of problems) this.fail(rule.slice(rule.indexOf('-') + 1), finding)
  }

  /** Whether a finding of this name is there: what else is found needs no words. */
  hasFailed(name: string): boolean {
    return this.#checks.get(name)?.ok === false
  }

  /** Odd, but no reason to refuse. */
  note(name: string, finding: Finding): void {
    const before = this.#checks.get(name)
    if (before === undefined || (before.ok && before.reason === undefined)) {
      this.#checks.set(name, { name, ok: true, ...finding })
    }
  }

  get checks(): readonly Check[] {
    return [...this.#checks.values()]
  }

  get safe(): boolean {
    return this.checks.every((check) => check.ok)
  }

  get verdict(): InspectionVerdict {
    const failed = this.checks.filter(({ ok }) => !ok)
    if (failed.length === 0) return 'safe'
    return failed.every(({ name }) => name === 'disk-image') ? 'not-a-disk-image' : 'not-safe'
  }
}
