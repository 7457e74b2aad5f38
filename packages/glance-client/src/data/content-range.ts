/**
 * Whether a 206 answers the question that was asked: from `start` to the image's end.
 *
 * @param size of the image, where it is known
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4
 */
export function isRequestedRange(
  header: string | undefined,
  start: number,
  end: number | undefined,
  size: number | undefined,
): boolean {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header ?? '')
  if (match === null) return false
  const [first, last, total] = [Number(match[1]), Number(match[2]), match[3] ?? '']
  if (first !== start || last < first) return false
  if (end !== undefined && last !== end) return false
  return size === undefined || total === '*' || Number(total) === size
}
