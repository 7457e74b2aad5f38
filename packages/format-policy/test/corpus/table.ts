// Prints the comparison table: pnpm exec node --conditions=@disk-image/source packages/format-policy/test/corpus/table.ts
import { expected, ids, type Peers, peers, rightlyAccepted } from './corpus.ts'

/** Why ours is right to refuse, by the first check that fails. */
const reasons: Readonly<Record<string, string>> = {
  'allowed-format': 'an outdated format that nobody should send',
  ambiguous: 'readers would see different disks',
  'backing-file': 'it builds on another file',
  clean: 'changes are not on the disk yet',
  corrupt: 'it says itself that it is damaged',
  'create-type': 'its data is in other files, or readers disagree',
  'data-file': 'it builds on another file',
  descriptor: 'readers disagree about the text',
  'disk-image': 'no disk image',
  encryption: 'a method that does not exist, or without its header',
  extents: 'its data is in other files',
  features: 'features that nobody knows',
  footer: 'header and footer disagree',
  header: 'the format does not allow it',
  'key-derivation': 'keeps a processor busy, or derives nothing',
  metadata: 'the format does not allow it',
  tables: 'the format does not allow it',
  truncated: 'a part of the disk is missing',
  version: 'a version that does not exist',
  'virtual-size': 'a size that no disk has',
}

const columns = ['cinder', 'oslo', 'qemu'] as const
const refusals: Readonly<Record<string, true>> = { refused: true, fails: true }

/** Whether a peer takes the image; undefined where it was not asked. */
function accepts(theirs: Peers, column: (typeof columns)[number]): boolean | undefined {
  const word = theirs[column]
  return word === undefined ? undefined : refusals[word] !== true
}

const lines = [
  '| image | ours | cinder | oslo.utils | qemu-img probes | who is right |',
  '| --- | --- | --- | --- | --- | --- |',
]
const totals = columns.map((name) => ({ name, agree: 0, stricter: 0, looser: 0, left: 0 }))
const why = new Map<string, number[]>()
for (const id of ids) {
  const ours = expected[id] ?? { format: '?', safe: false }
  const theirs = peers[id] ?? { qemu: '?' }
  const reason = ours.safe ? (rightlyAccepted[id] ?? '') : (reasons[ours.failed?.[0] ?? ''] ?? '?')
  let differs = false
  for (const [index, total] of totals.entries()) {
    const other = accepts(theirs, total.name)
    if (other === undefined) total.left += 1
    else if (other === ours.safe) total.agree += 1
    else {
      differs = true
      total[ours.safe ? 'looser' : 'stricter'] += 1
      const key = `${ours.safe ? 'accepted' : 'refused'}: ${reason}`
      const counts = why.get(key) ?? columns.map(() => 0)
      counts[index] = (counts[index] ?? 0) + 1
      why.set(key, counts)
    }
  }
  const verdict = ours.safe ? ours.format : `refused (${ours.format}: ${ours.failed?.join(', ')})`
  lines.push(
    `| ${id} | ${verdict} | ${theirs.cinder ?? '–'} | ${theirs.oslo ?? '–'} | ${theirs.qemu} | ${differs ? `ours: ${reason}` : ''} |`,
  )
}
lines.push('', '| compared with | agree | ours refuses more | ours accepts more | not compared |')
lines.push('| --- | --- | --- | --- | --- |')
for (const { name, agree, stricter, looser, left } of totals) {
  lines.push(`| ${name} | ${agree} | ${stricter} | ${looser} | ${left} |`)
}
lines.push('', `| where ours differs, rightly | ${columns.join(' | ')} |`, '| --- | --- | --- | --- |')
const sorted = [...why].sort(([one], [other]) => (one < other ? -1 : 1))
for (const [key, counts] of sorted) lines.push(`| ${key} | ${counts.join(' | ')} |`)
process.stdout.write(`${lines.join('\n')}\n`)
