// Metrics for Prometheus on http://127.0.0.1:9464/metrics. To be loaded before the worker: node --import ./metrics.mjs …
import { metrics } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'

const exporter = new PrometheusExporter({ host: '127.0.0.1', port: 9464 })
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }))
