import type { Theme } from 'vitepress'
import DefaultTheme from 'vitepress/theme'
import BenchmarkCharts from './benchmark/BenchmarkCharts.vue'
import BenchmarkTable from './benchmark/BenchmarkTable.vue'
import BenchmarkTargets from './benchmark/BenchmarkTargets.vue'
import InspectPage from './inspect/InspectPage.vue'
import './style.css'

const theme: Theme = {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('BenchmarkCharts', BenchmarkCharts)
    app.component('BenchmarkTable', BenchmarkTable)
    app.component('BenchmarkTargets', BenchmarkTargets)
    app.component('InspectPage', InspectPage)
  },
}

export default theme
