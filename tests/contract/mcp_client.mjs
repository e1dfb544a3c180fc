// Drives `holdfast mcp` with the official TypeScript SDK's client; prints what it saw as one JSON document.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.env.HOLDFAST_NPM + '/package.json')
const load = (name) => import(pathToFileURL(require.resolve(name)).href)
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js')
const { StdioClientTransport } = await load('@modelcontextprotocol/sdk/client/stdio.js')

const [command, ...args] = process.argv.slice(2)
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' })
const client = new Client({ name: 'sdk-ts', version: '1' })
await client.connect(transport)
const { tools } = await client.listTools()
const remembered = await client.callTool({ name: 'remember', arguments: { content: 'told by TypeScript', tags: ['sdk'] } })
const found = await client.callTool({ name: 'recall', arguments: { query: 'TypeScript' } })
const failed = await client.callTool({ name: 'remember', arguments: { content: '' } })
const { resources } = await client.listResources()
const read = await client.readResource({ uri: 'memory://' + remembered.structuredContent.id })
const { prompts } = await client.listPrompts()
const prompt = await client.getPrompt({ name: 'session_context', arguments: {} })
await client.close()
console.log(JSON.stringify({
  server: client.getServerVersion(), tools: tools.map((t) => t.name), remembered, found, failed, resources, read,
  prompts: prompts.map((p) => p.name), prompt,
}))
