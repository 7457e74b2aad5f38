import { expect, test } from 'vitest'
import { chooseStore, defaultFolder } from './store.ts'
import { UsageError } from './usage-error.ts'

const workingDirectory = '/srv'
const cloudEnvironment = { OS_CLOUD: 'production', OS_AUTH_URL: 'https://keystone' }

test('the first that is given counts', () => {
  const choose = (flags: object, environment: Record<string, string> = {}): unknown =>
    chooseStore(flags, { environment: { HOME: '/home/user', ...environment }, workingDirectory })
  const [store, glance, cloud] = ['images', 'http://host:9292', 'test']
  expect(choose({ store, glance, cloud }, cloudEnvironment)).toEqual({
    kind: 'folder',
    folder: '/srv/images',
  })
  expect(choose({ glance, cloud }, cloudEnvironment)).toEqual({ kind: 'endpoint', url: glance })
  expect(choose({ cloud }, cloudEnvironment)).toEqual({ kind: 'cloud', name: 'test' })
  expect(choose({}, cloudEnvironment)).toEqual({ kind: 'cloud', name: 'production' })
  expect(choose({}, { OS_AUTH_URL: 'https://keystone' })).toEqual({ kind: 'environment' })
  expect(choose({}, { OS_CLOUD: '', OS_AUTH_URL: '', OS_USERNAME: 'me' })).toEqual({
    kind: 'folder',
    folder: '/home/user/.local/share/disk-image/images',
  })
})

test('the user’s data directory is where the specification says', () => {
  expect(defaultFolder({ HOME: '/home/user', XDG_DATA_HOME: '/data' })).toBe('/data/disk-image/images')
  expect(defaultFolder({ HOME: '/home/user', XDG_DATA_HOME: 'relative' })).toBe(
    '/home/user/.local/share/disk-image/images',
  )
  expect(() => defaultFolder({})).toThrow(UsageError)
})
