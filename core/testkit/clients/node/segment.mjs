// Segment's current server library.
import { calls, fail, host, load, messageId, report, writeKey } from './driver.mjs'

const client = '@segment/analytics-node'
const { Analytics } = load(client)
const analytics = new Analytics({ writeKey, host, maxRetries: 2 })
analytics.on('error', problem => fail(problem))

const sent = calls.map((call, index) => {
  const { type, timestamp, ...members } = call
  const id = messageId(index)
  analytics[type]({ ...members, timestamp: new Date(timestamp), messageId: id })
  // It repeats the category of a page among its properties.
  const properties = type === 'page' ? { ...call.properties, category: call.category } : call.properties
  return { ...call, properties, messageId: id }
})
await analytics.closeAndFlush({ timeout: 10_000 })
report(client, sent)
