import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { context, type Attributes, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils, type ImageMetadata, type ImageService, type ImageUtils } from '../../src/index.ts'
import { createOpenTelemetry } from '../../src/telemetry/index.ts'

const MiB = 1024 * 1024

let directory: string
let store: ImageService
let spans: InMemorySpanExporter
let tracerProvider: TracerProvider
let metricExporter: InMemoryMetricExporter
let meterProvider: MeterProvider
let imageUtils: ImageUtils

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
})

afterAll(() => {
  context.disable()
})

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'image-utils-telemetry-'))
  store = createDirectoryImageService({ directory: path.join(directory, 'store') })
  spans = new InMemorySpanExporter()
  tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] })
  metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: metricExporter })],
  })
  imageUtils = createImageUtils(
    { imageService: store, telemetry: createOpenTelemetry({ tracerProvider, meterProvider }) },
    { imageConversionDir: path.join(directory, 'conversion') },
  )
})

afterEach(async () => {
  await tracerProvider.shutdown()
  await meterProvider.shutdown()
  await rm(directory, { recursive: true, force: true })
})

async function add(bytes: Uint8Array, metadata: ImageMetadata): Promise<string> {
  const source = {
    async *open() {
      yield bytes
    },
  }
  const metadataWithName = { name: 'very-secret-name', container_format: 'bare', ...metadata }
  const { id } = await store.create({}, metadataWithName, { data: source })
  return id
}

/** Value, or count and sum, of every data point, by metric, attributes as text. */
async function collect(): Promise<Record<string, Record<string, number>>> {
  await meterProvider.forceFlush()
  const metrics =
    metricExporter
      .getMetrics()
      .at(-1)
      ?.scopeMetrics.flatMap((scope) => scope.metrics) ?? []
  return Object.fromEntries(
    metrics.map(({ descriptor, dataPoints }) => [
      descriptor.name,
      Object.fromEntries(
        dataPoints.map(({ attributes, value }) => [
          textOf(attributes),
          typeof value === 'number' ? value : value.count,
        ]),
      ),
    ]),
  )
}

function textOf(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name.replace('disk_image.', '')}=${value}`)
    .join(' ')
}

/** What nobody may find in telemetry. */
function expectNothingToLeak(imageId: string): void {
  const told = JSON.stringify(
    spans
      .getFinishedSpans()
      .map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
  )
  const metrics = JSON.stringify(metricExporter.getMetrics().map((each) => each.scopeMetrics))
  for (const secret of [imageId, directory, 'very-secret-name', 'project-9', 'token-9']) {
    expect(told).not.toContain(secret)
    expect(metrics).not.toContain(secret)
  }
}

test('an image onto a volume is a span with a span for each stage, below that of the caller', async () => {
  const imageId = await add(new Uint8Array(2 * MiB).fill(1), { disk_format: 'raw' })
  const heard: string[] = []
  const caller = tracerProvider.getTracer('test').startSpan('request')
  await context.with(trace.setSpan(context.active(), caller), () =>
    imageUtils.imageToVolume({
      imageId,
      volume: path.join(directory, 'volume'),
      context: { projectId: 'project-9', authToken: 'token-9' },
      onProgress: ({ stage }) => heard.push(stage),
    }),
  )
  caller.end()
  expect(heard).toContain('download')
  const [download, operation] = spans.getFinishedSpans()
  expect(download?.name).toBe('disk_image.image_to_volume.download')
  expect(download?.parentSpanContext?.spanId).toBe(operation?.spanContext().spanId)
  expect(operation?.name).toBe('disk_image.image_to_volume')
  expect(operation?.parentSpanContext?.spanId).toBe(caller.spanContext().spanId)
  expect(operation?.attributes).toEqual({
    'disk_image.operation': 'image_to_volume',
    'disk_image.outcome': 'done',
    'disk_image.format': 'raw',
    'disk_image.volume.format': 'raw',
    'disk_image.virtual_size': 2 * MiB,
    'disk_image.io.downloaded': 2 * MiB,
    'disk_image.io.written': 2 * MiB,
    'disk_image.io.uploaded': 0,
    'disk_image.resumes': 0,
    'disk_image.signature.verified': false,
  })
  expect(await collect()).toEqual({
    'disk_image.operation.active': { 'operation=image_to_volume': 0 },
    'disk_image.operation.duration': { 'operation=image_to_volume outcome=done': 1 },
    'disk_image.stage.duration': { 'operation=image_to_volume stage=download': 1 },
    'disk_image.io': {
      'operation=image_to_volume io.direction=download': 2 * MiB,
      'operation=image_to_volume io.direction=write': 2 * MiB,
    },
  })
  expectNothingToLeak(imageId)
})

test('a volume into an image, and back into a file, are operations of their own', async () => {
  const volume = path.join(directory, 'volume')
  await writeFile(volume, new Uint8Array(MiB).fill(7))
  const image = await store.create({}, { name: 'b', disk_format: 'raw', container_format: 'bare' })
  await imageUtils.volumeToImage({ image, volume })
  await imageUtils.fetchVerifyImage({}, store, image.id, path.join(directory, 'copy'))
  expect(spans.getFinishedSpans().map(({ name }) => name)).toEqual([
    'disk_image.volume_to_image.convert',
    'disk_image.volume_to_image.upload',
    'disk_image.volume_to_image',
    'disk_image.fetch.download',
    'disk_image.fetch',
  ])
  expect((await collect())['disk_image.io']).toEqual({
    'operation=volume_to_image io.direction=upload': MiB,
    'operation=fetch io.direction=download': MiB,
  })
})

test('a refusal is counted by its rule, not by its image', async () => {
  const qcow2 = new Uint8Array(MiB)
  const header = new DataView(qcow2.buffer)
  header.setUint32(0, 0x514649fb)
  header.setUint32(4, 3)
  // A backing file at 512, 4 bytes long.
  header.setBigUint64(8, 512n)
  header.setUint32(16, 4)
  qcow2.set(new TextEncoder().encode('/etc'), 512)
  const imageId = await add(qcow2, { disk_format: 'qcow2' })
  const refused = imageUtils.imageToVolume({ imageId, volume: path.join(directory, 'volume') })
  await expect(refused).rejects.toMatchObject({ code: 'IMAGE_UNACCEPTABLE' })
  const [download, operation] = spans.getFinishedSpans()
  expect(download?.status).toEqual({ code: SpanStatusCode.ERROR })
  expect(operation?.status).toEqual({ code: SpanStatusCode.ERROR })
  expect(operation?.attributes).toMatchObject({
    'disk_image.outcome': 'refused',
    'disk_image.refusal.rule': expect.stringMatching(/^[a-z0-9-]+$/) as string,
    'error.type': 'IMAGE_UNACCEPTABLE',
  })
  expect((await collect())['disk_image.operation.duration']).toEqual({
    'operation=image_to_volume outcome=refused error.type=IMAGE_UNACCEPTABLE': 1,
  })
  expectNothingToLeak(imageId)
})

test('a broken transfer that was continued is an event, and counts even where the operation fails', async () => {
  const service: ImageService = {
    ...store,
    show: (...parameters) => store.show(...parameters),
    download: async (_context, _imageId, sink, options) => {
      await sink.write(new Uint8Array(MiB))
      options?.onProgress?.({ stage: 'download', completed: MiB, unit: 'bytes', resumes: 2 })
      throw Object.assign(new Error('read /secret'), { code: 'ECONNRESET' })
    },
  }
  const imageId = await add(new Uint8Array(2 * MiB), { disk_format: 'raw' })
  const failed = imageUtils.imageToVolume({
    imageId,
    imageService: service,
    volume: path.join(directory, 'volume'),
  })
  await expect(failed).rejects.toThrow('/secret')
  const operation = spans.getFinishedSpans().at(-1)
  expect(operation?.events.map(({ name, attributes }) => ({ name, attributes }))).toEqual([
    { name: 'disk_image.resume', attributes: { 'disk_image.io.bytes': MiB } },
  ])
  expect(await collect()).toMatchObject({
    'disk_image.resumes': { 'operation=image_to_volume': 2 },
    'disk_image.io': { 'operation=image_to_volume io.direction=download': MiB },
  })
  expectNothingToLeak(imageId)
})

test("the caller's own abort is a cancellation", async () => {
  const imageId = await add(new Uint8Array(MiB), { disk_format: 'raw' })
  const reason = new Error('enough')
  const cancelled = imageUtils.imageToVolume({
    imageId,
    volume: path.join(directory, 'volume'),
    signal: AbortSignal.abort(reason),
  })
  await expect(cancelled).rejects.toBe(reason)
  expect((await collect())['disk_image.operation.duration']).toEqual({
    'operation=image_to_volume outcome=cancelled': 1,
  })
})
