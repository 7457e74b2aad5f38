import type { Theme } from 'vitepress'
import DefaultTheme from 'vitepress/theme'
import BenchmarkCharts from './benchmark/BenchmarkCharts.vue'
import InspectPage from './inspect/InspectPage.vue'
import './style.css'

const theme: Theme = {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('BenchmarkCharts', BenchmarkCharts)
    app.component('InspectPage', InspectPage)
  },
}

export default theme
