// Prints the comparison table: pnpm exec node --conditions=@disk-image/source packages/format-policy/test/corpus/table.ts
import { expected, ids, peers, rightlyAccepted } from './corpus.ts'

const lines = [
  '| image | ours | cinder | oslo.utils | qemu-img probes | who is right |',
  '| --- | --- | --- | --- | --- | --- |',
]
const totals = { cinder: { same: 0, other: 0, left: 0 }, oslo: { same: 0, other: 0, left: 0 } }
for (const id of ids) {
  const ours = expected[id] ?? { format: '?', safe: false }
  const theirs = peers[id] ?? { qemu: '?' }
  let differs = false
  for (const peer of ['cinder', 'oslo'] as const) {
    const word = theirs[peer]
    const same = word !== undefined && (word !== 'refused') === ours.safe
    totals[peer][word === undefined ? 'left' : same ? 'same' : 'other'] += 1
    if (word !== undefined && !same) differs = true
  }
  const verdict = ours.safe ? ours.format : `refused (${ours.format}: ${ours.failed?.join(', ')})`
  const why = rightlyAccepted[id] ?? `ours: ${ours.failed?.[0]}`
  lines.push(
    `| ${id} | ${verdict} | ${theirs.cinder ?? '–'} | ${theirs.oslo ?? '–'} | ${theirs.qemu} | ${differs ? (ours.safe ? `ours: ${why}` : why) : ''} |`,
  )
}
process.stdout.write(`${lines.join('\n')}\n\n`)
for (const [peer, { same, other, left }] of Object.entries(totals)) {
  process.stdout.write(`${peer}: ${same} agree, ${other} disagree, ${left} not compared\n`)
}
