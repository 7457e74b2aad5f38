import { formatBytes, printable } from '@disk-image/core'
import type { Check, ImageDetails, InspectionResult } from '@disk-image/image-utils/inspector'
import type { InsideReport } from '@disk-image/image-utils'
import type { Paint, Style } from '../output/style.ts'
import { alignFields, alignRows } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'
import type { JudgedFile } from './judge-file.ts'

/** What was inspected, and what came of it. */
export interface Inspected {
  readonly file: string
  readonly judged: JudgedFile
  /** Absent where it is wrapped in nothing. */
  readonly inside?: JudgedInside | undefined
}

/** What an envelope holds, each disk judged by itself. */
export interface JudgedInside extends Pick<InsideReport, 'opened' | 'problem' | 'unseen'> {
  readonly disks: readonly {
    readonly name: string | undefined
    readonly isWhole: boolean
    readonly judged: JudgedFile | undefined
  }[]
}

/**
 * The verdict on what would be opened: of what a transfer takes out of its envelopes, that on each disk inside. It is no
 * disk image by itself, and counts as safe where every disk was seen and is.
 */
export function judgeAll({ judged, inside }: Inspected): JudgedFile {
  if (inside === undefined || judged.verdict !== 'not-a-disk-image') return judged
  const { disks, problem, unseen } = inside
  const isUnsafe = disks.some((disk) => disk.judged?.verdict === 'not-safe')
  const isOpened = problem === undefined && unseen.length === 0 && disks.length > 0
  const safe = isOpened && disks.every((disk) => disk.judged?.safe === true)
  const matched = disks.flatMap((disk) => disk.judged?.matches ?? [])
  const matches = matched.find(({ ok }) => !ok) ?? matched[0] ?? judged.matches
  return {
    ...judged,
    safe,
    verdict: safe ? 'safe' : isUnsafe ? 'not-safe' : judged.verdict,
    matches: isOpened ? matches : judged.matches,
    checks: safe ? judged.checks.filter(({ name }) => name !== 'disk-image') : judged.checks,
  }
}

/** What `inspect` says of several: a line for each. */
export function describeAll(style: Style, all: readonly Inspected[]): string[] {
  const rows = all.map((one) => {
    const { inspection, verdict, checks, matches } = judgeAll(one)
    const { inside } = one
    const disks = inside?.disks.map(({ judged }) => judged?.inspection) ?? []
    const [only] = disks.length === 1 ? disks : []
    const { virtualSizeBytes } = only ?? inspection
    const format = [...(inside?.opened ?? []), only?.format ?? (inside && `${disks.length} disks`)]
    const problem = inside?.problem ?? checks.find(({ ok }) => !ok)
    return [
      describeVerdict(style, verdict),
      one.file,
      inside === undefined ? inspection.format : format.join(' of '),
      virtualSizeBytes === undefined ? '' : formatBytes(virtualSizeBytes),
      problem?.reason ?? matches?.reason ?? '',
    ]
  })
  const verdicts = Map.groupBy(all, (one) => judgeAll(one).verdict.replaceAll('-', ' '))
  const counts = [...verdicts].map(([verdict, some]) => `${some.length} ${verdict}`)
  const header = ['VERDICT', 'FILE', 'FORMAT', 'DISK', 'REASON'].map((text) => ({ text, paint: style.bold }))
  return [...alignRows([header, ...rows]), `${all.length} files: ${counts.join(', ')}`]
}

/** What `inspect` says to a person. */
export function describeInspection(
  style: Style,
  inspected: Inspected,
  claimed: string | undefined,
): string[] {
  const { file, inside } = inspected
  const { inspection, checks, verdict, matches, safe } = judgeAll(inspected)
  const { format, fileSizeBytes, contentName, matches: signatures } = inspection
  const opened = inside !== undefined && safe ? inside : undefined
  const only = opened?.disks.length === 1 ? opened.disks[0]?.judged?.inspection : undefined
  const virtualSizeBytes = (only ?? inspection).virtualSizeBytes
  const content = only?.format ?? (opened && `${opened.disks.length} disks`)
  const name = opened === undefined ? format : [...opened.opened, content].join(' of ')
  const others = signatures.filter((name) => name !== format && name !== contentName)
  return [
    style.bold(printable(file)),
    ...alignFields(
      [
        ['Format', [name, ...describeDetails((only ?? inspection).details)].join(', ')],
        [
          'Disk',
          opened !== undefined && only === undefined
            ? undefined
            : virtualSizeBytes === undefined
              ? 'not said by the header'
              : exactBytes(virtualSizeBytes),
        ],
        ['File', fileSizeBytes === undefined ? undefined : exactBytes(fileSizeBytes)],
        ['Holds', contentName],
        ['Also found', others.length === 0 ? undefined : others.join(', ')],
        ...describeReferences(inspection),
        ['Verdict', describeVerdict(style, verdict)],
        [
          'Claimed',
          matches === undefined
            ? undefined
            : matches.ok
              ? { text: `${claimed}, and that is what it is`, paint: style.good }
              : { text: `${claimed}, which it is not`, paint: style.bad },
        ],
      ],
      '  ',
    ),
    ...(opened === undefined ? describeChecks(style, checks) : []),
  ]
}

export function describeInside(inside: JudgedInside | undefined): string[] {
  if (inside === undefined) return []
  const { opened, disks, problem, unseen } = inside
  return alignFields(
    [
      ['Opened', opened.join(', ')],
      ...disks.map(({ name, isWhole, judged }): [string, string] => {
        const { format, virtualSizeBytes } = judged?.inspection ?? {}
        const words = [
          format ?? 'too little of it was seen',
          virtualSizeBytes === undefined ? '' : exactBytes(virtualSizeBytes),
          judged?.verdict.replaceAll('-', ' ') ?? '',
          isWhole ? '' : 'by its head',
        ].filter((word) => word !== '')
        return ['Inside', `${name === undefined ? '' : `${printable(name)}: `}${words.join(', ')}`]
      }),
      ...unseen.map((name): [string, string] => ['Not seen', printable(name)]),
      ['Not opened', problem?.reason],
    ],
    '  ',
  )
}

function describeVerdict(style: Style, verdict: JudgedFile['verdict']): { text: string; paint: Paint } {
  if (verdict === 'safe') return { text: 'safe', paint: style.good }
  if (verdict === 'not-safe') return { text: 'not safe', paint: style.bad }
  return { text: 'not a disk image', paint: style.note }
}

function describeDetails(details: ImageDetails): string[] {
  const { version, subformat, createType, clusterSizeBytes, compressionType, encryption, cipher } = details
  return [
    version === undefined ? '' : `version ${version}`,
    subformat ?? createType ?? '',
    clusterSizeBytes === undefined ? '' : `clusters of ${formatBytes(clusterSizeBytes)}`,
    compressionType ?? '',
    details.extendedL2 === true ? 'extended L2' : '',
    encryption === undefined ? '' : `encrypted (${encryption})`,
    cipher ?? '',
    (details.internalSnapshots ?? 0) > 0 ? `${details.internalSnapshots} internal snapshots` : '',
    (details.bitmaps ?? 0) > 0 ? `${details.bitmaps} bitmaps` : '',
  ].filter((text) => text !== '')
}

function describeReferences({ details }: InspectionResult): [string, string | undefined][] {
  const { backingFile, backingFileFormat, dataFile, extents } = details
  const backingFormat = backingFileFormat === undefined ? '' : ` (${backingFileFormat})`
  return [
    ['Backing file', backingFile === undefined ? undefined : `${backingFile}${backingFormat}`],
    ['Data file', dataFile],
    ['Extents', extents?.join(', ')],
  ]
}

function describeChecks(style: Style, checks: readonly Check[]): string[] {
  if (checks.length === 0) return ['  No check applies to it: raw bytes may be anything.']
  const lines = alignRows(
    checks.map(({ name, ok, reason }) => [
      ok ? { text: '✓', paint: style.good } : { text: '✗', paint: style.bad },
      name,
      reason ?? '',
    ]),
    '  ',
  )
  return checks.flatMap(({ ok, found, offset, accepted, reference }, index) => [
    lines[index] ?? '',
    ...(ok
      ? []
      : alignFields(
          [
            ['found', found],
            ['at', offset === undefined ? undefined : `byte ${offset}`],
            ['accepted', accepted],
            ['see', reference],
          ],
          '      ',
        )),
  ])
}
