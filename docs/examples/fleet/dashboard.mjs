// bull-board over every back end of the fleet, on http://127.0.0.1:3001/.
// It shows and changes every job: put it behind something that signs people in before others can reach it.
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import { Queue } from 'bullmq'
import express from 'express'
import { Redis } from 'ioredis'

const prefix = 'disk-image'
const redis = new Redis(process.env.DISK_IMAGE_REDIS ?? 'redis://127.0.0.1:6379', {
  maxRetriesPerRequest: null,
})
const backends = await redis.smembers(`${prefix}:fleet:backends`)

const serverAdapter = new ExpressAdapter()
createBullBoard({
  queues: backends.map(
    (backend) => new BullMQAdapter(new Queue(`volumes-${backend}`, { connection: redis, prefix })),
  ),
  serverAdapter,
})
express().use(serverAdapter.getRouter()).listen(3001, '127.0.0.1')
