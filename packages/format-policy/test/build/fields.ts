/** A number in an image: where, how many bytes, in which order. */
export interface Field {
  readonly at: number
  readonly length: 1 | 2 | 4 | 8
  readonly little: boolean
}

type Line = readonly [length: 1 | 2 | 4 | 8, ...places: readonly number[]]

function fields(little: boolean, lines: readonly Line[], base = 0): Field[] {
  return lines.flatMap(([length, ...places]) => places.map((at) => ({ at: base + at, length, little })))
}

const le = (lines: readonly Line[], base?: number): Field[] => fields(true, lines, base)
const be = (lines: readonly Line[], base?: number): Field[] => fields(false, lines, base)

const qcow2Header: readonly Line[] = [
  [1, 104],
  [4, 4, 16, 20, 32, 36, 56, 60, 96, 100, 112, 116, 120],
  [8, 8, 24, 40, 48, 64, 72, 80, 88],
]
const vmdkHeader: readonly Line[] = [
  [1, 72],
  [2, 77],
  [4, 4, 8, 44],
  [8, 12, 20, 28, 36, 48, 56, 64],
]
const vhdFooter: readonly Line[] = [
  [1, 58, 59],
  [2, 56],
  [4, 8, 12, 28, 60, 64],
  [8, 16, 40, 48],
]
const KiB = 1024
const MiB = 1024 ** 2

/** The fields of the images that `seeds` builds, by format: headers, entries of tables, lengths and counts. */
export const knownFields: Readonly<Record<string, (size: number) => readonly Field[]>> = {
  qcow2: () => [
    ...be(qcow2Header),
    ...be([[8, 0]], 196608),
    ...be([[8, 0, 8, 16, 65528]], 262144),
    ...be([[8, 0, 8]], 65536),
  ],
  vmdk: (size) => [
    ...le(vmdkHeader),
    ...le([[4, 21 * 512, 22 * 512, 22 * 512 + 4, 23 * 512 - 4]]),
    ...le(vmdkHeader, size - 1024),
    ...le([[4, 8, 12]], size - 1536),
  ],
  vhd: (size) => [
    ...be(vhdFooter),
    ...be(
      [
        [4, 24, 28, 32, 36],
        [8, 8, 16],
      ],
      512,
    ),
    ...be([[4, 0, 4]], 1536),
    ...be(vhdFooter, size - 512),
  ],
  vhdx: () => [
    ...[64 * KiB, 128 * KiB].flatMap((at) =>
      le(
        [
          [2, 64, 66],
          [4, 4, 68],
          [8, 8, 48, 72],
        ],
        at,
      ),
    ),
    ...[192 * KiB, 256 * KiB].flatMap((at) =>
      le(
        [
          [4, 4, 8, 16, 40, 44, 48, 72, 76],
          [8, 32, 64],
        ],
        at,
      ),
    ),
    ...le(
      [
        [2, 10],
        [4, ...[0, 1, 2, 3, 4].flatMap((item) => [0, 16, 20, 24].map((part) => 32 + item * 32 + part))],
        [4, 65536, 65540, 65552, 65556],
        [8, 65544],
      ],
      2 * MiB,
    ),
    ...le([[8, 0, 8, 120]], 3 * MiB),
  ],
  vdi: () =>
    le([
      [4, 0x44, 0x48, 0x4c, 0x154, 0x158, 0x168, 0x178, 0x17c, 0x180, 0x184, 0x1a8, 512, 516, 520],
      [8, 0x170],
    ]),
  parallels: () =>
    le([
      [4, 16, 20, 24, 28, 32, 44, 48, 64, 68],
      [8, 36, 56],
    ]),
  luks: () =>
    be([
      [2, 6],
      [4, 104, 108, 164, ...[0, 1, 6, 7].flatMap((slot) => [0, 4, 40, 44].map((at) => 208 + slot * 48 + at))],
      [8, 8, 16],
    ]),
  raw: () =>
    le([
      [1, 13, 16, 21, 446, 450, 462, 466, 478, 494],
      [2, 11, 14, 510, 1080],
      [4, 454, 458, 512, 516, 1116, 1120],
      [8, 520, 536],
    ]),
  iso: () => [...le([[4, 80]], 32768), ...le([[2, 128]], 32768), ...le([[1, 0, 6]], 34816)],
  qcow: () =>
    be([
      [1, 32, 33],
      [4, 4, 16, 20, 36],
      [8, 8, 24, 40],
    ]),
  qed: () =>
    le([
      [4, 4, 8, 12, 56, 60],
      [8, 16, 24, 32, 40, 48],
    ]),
}
