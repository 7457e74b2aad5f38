import { expect, test } from 'vitest'
import { retryAfterMs } from './http.ts'

test.each([
  [{ 'retry-after': '7' }, 7000],
  [{ 'retry-after': 'Mon, 01 Jan 2001 00:00:07 GMT', date: 'Mon, 01 Jan 2001 00:00:00 GMT' }, 7000],
  [{ 'retry-after': 'Mon, 01 Jan 2001 00:00:00 GMT', date: 'Mon, 01 Jan 2001 00:00:07 GMT' }, 0],
  [{ 'retry-after': 'Mon, 01 Jan 2001 00:00:07 GMT', date: 'soon' }, 0],
  [{ 'retry-after': 'soon' }, undefined],
  [{}, undefined],
])('of %j it is %s ms that are to be waited', (headers, expected) => {
  expect(retryAfterMs(new Map(Object.entries(headers)))).toBe(expected)
})
