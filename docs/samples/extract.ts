/** One code sample of a page. */
export interface Sample {
  /** Path of the page in the repository. */
  readonly page: string
  /** Line of its first line in the page, from 1. */
  readonly line: number
  readonly language: 'ts' | 'sh'
  readonly text: string
  /** Why it is not run; undefined where it is. */
  readonly notRun: string | undefined
}

/** A sample that says something which this check does not understand. */
export class SampleError extends Error {
  override readonly name = 'SampleError'
}

interface Marker {
  readonly kind: 'compile-only' | 'no-run' | 'continues'
  readonly reason: string | undefined
}

const marks = /^<!-- sample: ([a-z-]+)(?:,? because (.+?))? -->$/

/** What a comment in front of a sample says of it: `<!-- sample: no-run because it needs a device -->`. */
function readMarker(where: string, line: string): Marker {
  const [, kind, reason] = marks.exec(line) ?? []
  if (kind === 'continues' && reason === undefined) return { kind, reason }
  if ((kind === 'compile-only' || kind === 'no-run') && reason !== undefined) return { kind, reason }
  throw new SampleError(
    `${where}: ${line} is none of <!-- sample: continues -->, <!-- sample: compile-only because … -->, <!-- sample: no-run because … -->`,
  )
}

/** Whether a shell sample has our command in it; the others install things, and are not samples of ours. */
function isOurs(text: string): boolean {
  return /(^|[(|&;]\s*)disk-image [a-z]/m.test(text)
}

/**
 * The samples of a page in their order: every `ts` block, and every `sh` block with the command `disk-image`. One that
 * is marked `continues` gets the text of the one before in front of its own.
 *
 * @throws {SampleError} for a marker that says nothing known, and for one without a sample behind it
 */
export function extractSamples(page: string, markdown: string): Sample[] {
  const samples: Sample[] = []
  const lines = markdown.split('\n')
  let marker: { readonly value: Marker; readonly line: number } | undefined
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? ''
    const where = `${page}:${index + 1}`
    if (line.startsWith('<!-- sample:')) {
      if (marker !== undefined) throw new SampleError(`${where}: follows another marker`)
      marker = { value: readMarker(where, line), line: index + 1 }
      continue
    }
    const [, indent, fence, language] = /^(\s*)(`{3,}|~{3,})(\w*)/.exec(line) ?? []
    if (fence === undefined || indent === undefined) {
      if (marker !== undefined && line.trim() !== '') {
        throw new SampleError(`${page}:${marker.line}: marks something that is no code block`)
      }
      continue
    }
    const start = index + 1
    do index += 1
    while (index < lines.length && (lines[index] ?? '').trim() !== fence)
    const text = lines
      .slice(start, index)
      .map((row) => (row.startsWith(indent) ? row.slice(indent.length) : row))
      .join('\n')
    const kind = marker?.value
    marker = undefined
    if (language === 'ts' || (language === 'sh' && isOurs(text))) {
      samples.push(makeSample({ page, line: start + 1, language, text }, kind, samples.at(-1)))
    } else if (kind !== undefined) {
      throw new SampleError(`${where}: is marked, but no sample`)
    }
  }
  return samples
}

function makeSample(
  { page, line, language, text }: Omit<Sample, 'notRun'>,
  marker: Marker | undefined,
  before: Sample | undefined,
): Sample {
  if (marker?.kind !== 'continues') return { page, line, language, text, notRun: marker?.reason }
  if (before === undefined || before.language !== language) {
    throw new SampleError(`${page}:${line}: continues no sample`)
  }
  return { page, line, language, text: joinSamples(before.text, text), notRun: before.notRun }
}

/** One program of two samples: what both import is imported once. */
function joinSamples(first: string, second: string): string {
  const imported = new Set(first.split('\n').filter((line) => line.startsWith('import ')))
  const rest = second.split('\n').filter((line) => !imported.has(line))
  return `${first}\n${rest.join('\n')}`
}
