/**
 * How many brackets of a JSON text are open at once, at most; those in its strings don't count. Who walks or prints what
 * is nested deeper than anybody means runs out of stack.
 */
export function jsonDepth(text: string): number {
  let depth = 0
  let most = 0
  let inString = false
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index]
    if (inString) {
      if (character === '\\') index += 1
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === '[' || character === '{') {
      depth += 1
      most = Math.max(most, depth)
    } else if (character === ']' || character === '}') depth -= 1
  }
  return most
}
