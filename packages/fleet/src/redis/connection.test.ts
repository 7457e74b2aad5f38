import { expect, test } from 'vitest'
import { connectionOptions } from './connection.ts'

test('the address of Redis, with and without everything', () => {
  expect(connectionOptions('redis://r.example')).toEqual({ host: 'r.example', port: 6379 })
  expect(connectionOptions('rediss://user:p%40ss@[::1]:7000/3')).toEqual({
    host: '::1',
    port: 7000,
    username: 'user',
    password: 'p@ss',
    db: 3,
    tls: {},
  })
  expect(connectionOptions({ host: 'h' })).toEqual({ host: 'h' })
})

test.each(['http://r.example', 'r.example:6379', 'redis://:secret@/x', 'redis://:secret@host/x'])(
  '%s',
  (text) => {
    expect(() => connectionOptions(text)).toThrow(/Redis/)
    expect(() => connectionOptions(text)).not.toThrow(/secret/)
  },
)
