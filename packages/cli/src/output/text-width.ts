const invisible = /[\p{Mn}\p{Me}\p{Cf}]/u
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u

function widthOf(character: string): number {
  if (character < '\u0300') return 1
  return invisible.test(character) ? 0 : wide.test(character) ? 2 : 1
}

/** Columns that a text takes on a terminal. */
export function textWidth(text: string): number {
  let width = 0
  for (const character of text) width += widthOf(character)
  return width
}

/** As much of the text's start as fits into so many columns. */
export function fitStart(text: string, columns: number): string {
  let width = 0
  let end = 0
  for (const character of text) {
    width += widthOf(character)
    if (width > columns) return text.slice(0, end)
    end += character.length
  }
  return text
}

/** As much of the text's end as fits, behind an ellipsis where not all does: the end of a path says more. */
export function fitEnd(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text
  const characters = Array.from(text)
  let width = 1
  let start = characters.length
  while (start > 0 && width + widthOf(characters[start - 1] ?? '') <= columns) {
    start -= 1
    width += widthOf(characters[start] ?? '')
  }
  return columns < 1 ? '' : `…${characters.slice(start).join('')}`
}
