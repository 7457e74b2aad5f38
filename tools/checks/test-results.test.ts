import { expect, test } from 'vitest'
import { countTests } from './test-results.ts'

const passing = { status: 'passed' }
const failing = { status: 'failed' }
const counts = { numPassedTests: 3, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 }

test('counts what vitest counted', () => {
  const testResults = [{ status: 'failed', assertionResults: [passing, failing] }]
  expect(countTests({ ...counts, testResults })).toEqual({ passed: 3, failed: 1, skipped: 3 })
})

test('a file that does not load is a failure, and so is a broken afterAll', () => {
  const testResults = [
    { status: 'failed', assertionResults: [] },
    { status: 'failed', assertionResults: [passing] },
    { status: 'passed', assertionResults: [passing] },
  ]
  expect(countTests({ ...counts, testResults })).toEqual({ passed: 3, failed: 3, skipped: 3 })
})
