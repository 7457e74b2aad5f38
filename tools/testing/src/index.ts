export { findTool, requireTool } from './require-tool.ts'
