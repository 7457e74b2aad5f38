import { setTimeout as delay } from 'node:timers/promises'
import { createGlanceClient, createSession } from '@disk-image/glance-client'
import { startGlance } from '@disk-image/testing'
import { expect, it } from 'vitest'
import { startFaultProxy } from './fault-proxy.ts'

it('renews a token before its end, once for all who wait', async () => {
  await using glance = await startGlance({ mode: 'keystone', tokenLifeSeconds: 6 })
  await using keystone = await startFaultProxy(glance.keystoneUrl!)
  const { OS_PASSWORD: password, OS_PROJECT_ID: projectId, X_DEMO_USER_ID: userId } = glance.environment
  const session = createSession({ auth: { authUrl: `${keystone.url}/v3`, userId, password, projectId } })
  await using front = await startFaultProxy(glance.url)
  await using client = createGlanceClient({ session, endpoint: front.url })
  const tokenOf = async (): Promise<string> =>
    (await session.authorize(undefined)).headers['X-Auth-Token'] ?? ''
  const { id } = await client.create({ name: 'x', disk_format: 'raw', container_format: 'bare' })
  const first = await tokenOf()
  await Promise.all([client.show(id), client.show(id)])
  expect(keystone.seen.length).toBe(1)
  await delay(6500)
  const sent = front.seen.length
  await Promise.all(Array.from({ length: 5 }, () => client.show(id)))
  expect(keystone.seen.length).toBe(2)
  // No call went out with the token that had ended: none had to be repeated.
  expect(front.seen.length).toBe(sent + 5)
  expect(await tokenOf()).not.toBe(first)
  // The real Keystone no longer takes the first one.
  await expect(client.show(id, { context: { authToken: first } })).rejects.toMatchObject({
    code: 'IMAGE_NOT_AUTHORIZED',
  })
})
