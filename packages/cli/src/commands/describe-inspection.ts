import { formatBytes, printable } from '@disk-image/core'
import type { Check, ImageDetails, InspectionResult } from '@disk-image/image-utils/inspector'
import type { Paint, Style } from '../output/style.ts'
import { alignFields, alignRows } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'
import type { JudgedFile } from './judge-file.ts'

/** What `inspect` says to a person. */
export function describeInspection(
  style: Style,
  file: string,
  { inspection, checks, verdict, matches }: JudgedFile,
  claimed: string | undefined,
): string[] {
  const { format, virtualSizeBytes, fileSizeBytes, contentName, matches: signatures } = inspection
  const others = signatures.filter((name) => name !== format && name !== contentName)
  return [
    style.bold(printable(file)),
    ...alignFields(
      [
        ['Format', [format, ...describeDetails(inspection.details)].join(', ')],
        ['Disk', virtualSizeBytes === undefined ? 'not said by the header' : exactBytes(virtualSizeBytes)],
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
    ...describeChecks(style, checks),
  ]
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
