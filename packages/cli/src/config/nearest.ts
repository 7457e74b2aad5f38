/** The name that is most like a word, where one is: a third of the letters may differ, and two may have changed places. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(word.length / 3))
  const [best] = [...new Set(names)]
    .map((name) => ({ name, steps: distance(word, name) }))
    .filter(({ steps }) => steps <= most)
    .toSorted((a, b) => a.steps - b.steps)
  return best?.name
}

/** Letters to insert, remove, replace or swap. */
function distance(from: string, to: string): number {
  // A word from a file may be of any length.
  if (Math.abs(from.length - to.length) > 8) return Infinity
  let [older, old]: number[][] = [[], Array.from({ length: to.length + 1 }, (_, index) => index)]
  for (let row = 1; row <= from.length; row += 1) {
    const now = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1]
      const swapped =
        row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      now.push(
        Math.min(
          (old?.[column] ?? 0) + 1,
          (now[column - 1] ?? 0) + 1,
          (old?.[column - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (older?.[column - 2] ?? 0) + 1 : Infinity,
        ),
      )
    }
    ;[older, old] = [old ?? [], now]
  }
  return old?.[to.length] ?? Infinity
}
