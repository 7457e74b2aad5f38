/** Scalars and small collections that one reader or another takes for something else. */
const values =
  String.raw`a|cloud|1e5|1.5e+3|0x10|012|1_000|.inf|-.INF|.nan|12:30:45|190:20:30|2020-01-01|2020-01-01 10:00:00|yes|no|on|Off|y|n|true|FALSE|~|null|Null||'q'|"d"|"\x41\u00e9\n"|'it''s'|http://h:5000/v3|a b  c|a#b|0o17|0b11|+1|-1|1.|.5|<|?x|-x|ü|!!str 12|! 12|!!int "7"|!!null ""|!!str|'~'|"<<"|00|08|1__0|*a1|*a2|[]|{}|[1, 2,]|{a: 1, b: }|{<<: *m1, z: 1}|{"a":1}|{a:1}|[a, [b]]|[a: b]|{a, b}|{ ? a : b }|&q v|# only`.split(
    '|',
  )
const keys = ['a', 'b', 'c', 'auth', '"q k"', "'s'", 'k-x', '1', 'yes', '0x1', '<<', '"<<"', 'é', '!!str t']
const merges = ['*m1', '*m2', '[*m1, *m2]', '[*m2, {x: 1, a: 9}]', '{b: 7}', '*a1']
const head = 'x1: &a1 txt\nx2: &a2 12\nx3: &m1 {a: 1, b: 2}\nx4: &m2\n  b: 3\n  c: 4\n  <<: *m1\n'

/** A file that most readers of YAML accept, the same for the same seed. */
export function randomYaml(seed: number): string {
  let state = seed * 7919
  const chance = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
  const pick = (list: readonly string[]): string => list[Math.floor(chance() * list.length)] ?? ''
  const mapping = (indent: string, depth: number): string => {
    let text = ''
    const count = 1 + Math.floor(chance() * 4)
    for (let index = 0; index < count; index += 1) {
      const key = pick(keys)
      const kind = chance()
      if (key === '<<') text += `${indent}<<: ${pick(merges)}\n`
      else if (depth < 3 && kind < 0.3) text += `${indent}${key}:\n${mapping(`${indent}  `, depth + 1)}`
      else if (kind < 0.4)
        text += `${indent}${key}:\n${indent}- ${pick(values)}\n${indent}- ${pick(values)}\n`
      else if (kind < 0.5) text += `${indent}${key}: ${pick(['|', '>-'])}\n${indent}   one\n${indent}   two\n`
      else text += `${indent}${key}: ${pick(values)}${pick(['', '', ' ', ' # c'])}\n`
    }
    return text
  }
  const text = `${pick(['', '---\n', '# c\n', '%YAML 1.1\n---\n', '\uFEFF'])}${head}${mapping('', 0)}${pick(['', '...\n'])}`
  return chance() < 0.1 ? text.replaceAll('\n', '\r\n') : text
}
