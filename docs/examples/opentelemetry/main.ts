import { createDirectoryImageService, createImageUtils } from '@disk-image/image-utils'
import { createOpenTelemetry } from '@disk-image/image-utils/telemetry'
import {
  ConsoleMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { ConsoleSpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

// Exporters of OTLP go in here as well, or @opentelemetry/sdk-node, which registers the providers globally.
const tracerProvider = new TracerProvider({
  spanProcessors: [new SimpleSpanProcessor({ exporter: new ConsoleSpanExporter() })],
})
const meterProvider = new MeterProvider({
  readers: [new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() })],
})

const [directory = '', imageId = '', volume = ''] = process.argv.slice(2)
const imageUtils = createImageUtils({
  imageService: createDirectoryImageService({ directory }),
  telemetry: createOpenTelemetry({ tracerProvider, meterProvider }),
})
try {
  await imageUtils.imageToVolume({ imageId, volume })
} finally {
  await tracerProvider.shutdown()
  await meterProvider.shutdown()
}
