import { createFormatPolicy } from '@disk-image/format-policy'
import { expect, test } from 'vitest'
import { buildQcow2 } from '../build/qcow2.ts'
import { inspectBytes } from '../support.ts'

const policy = createFormatPolicy()

test.each<[string, number, boolean | undefined, boolean]>([
  ['luks with a passphrase', 2, true, true],
  ['luks without one', 2, false, false],
  ['luks that nobody opens', 2, undefined, true],
  ['aes without a passphrase', 1, false, false],
  ['aes with one, which no tool of ours takes', 1, true, false],
  ['aes that nobody opens', 1, undefined, true],
  ['nothing encrypted', 0, false, true],
])('an encrypted qcow2 needs its passphrase: %s', (_name, cryptMethod, hasPassphrase, ok) => {
  const inspection = inspectBytes(buildQcow2({ cryptMethod }))
  // The header of LUKS is not what this is about.
  const checks = inspection.checks.filter(({ name, ok: fine }) => fine || name !== 'encryption')
  const verdict = policy.judge({ inspection: { ...inspection, checks }, hasPassphrase })
  expect(verdict).toMatchObject(ok ? { ok } : { ok, rule: 'qcow2-encryption' })
})
