// Runs the npm package http-cache-tests against the HTTP cache of the reference stack:
//
//   node http-cache-tests.mjs PACKAGE REFERENCE [TABLE]
//
// PACKAGE is the package's directory, REFERENCE the binary. The results of the required tests go to standard output as JSON,
// and to TABLE as Markdown. A test counts as passed if those that it depends on do, as in the package's own tables.

import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const [, , directory, reference, table] = process.argv
const here = name => fileURLToPath(new URL(name, import.meta.url))
const load = path => import(pathToFileURL(join(directory, path)).href)
const children = []

/** Starts a program and waits for a line that tells where it listens. */
function start (program, args, environment) {
  const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', data => {
      text += data
      const found = /(?:listens|Listening) on .*?:(\d+)\/?\s/.exec(text)
      if (found) resolve(`127.0.0.1:${found[1]}`)
    })
    child.on('exit', code => reject(new Error(`${program} ended with ${code}: ${text}`)))
    child.on('error', reject)
  })
}

async function run () {
  const suites = (await load('tests/index.mjs')).default
  suites.push((await load('tests/surrogate-control.mjs')).default)
  const origin = await start(process.execPath, [join(directory, 'server/server.mjs')], {
    npm_config_protocol: 'http', npm_config_port: '0', npm_config_pidfile: '/dev/null'
  })
  const cache = await start(reference, ['proxy', here('cache.toml'), 'cache', '--listen', '127.0.0.1:0', '--to', origin])
  const { runTests, getResults } = await load('client/runner.mjs')
  const fetch = createRequire(join(directory, 'cli.mjs'))('node-fetch')
  await runTests(suites, fetch, false, `http://${cache}`)
  return judge(suites, getResults())
}

function judge (suites, results) {
  const tests = new Map(suites.flatMap(suite => suite.tests.map(test => [test.id, { ...test, suite: suite.name }])))
  const passes = id => results[id] === true && (tests.get(id).depends_on || []).every(passes)
  const required = test => (test.kind === undefined || test.kind === 'required') && !test.browser_only
  return [...tests.values()].filter(required).map(({ id, suite, name }) => {
    return { id, suite, name: name.replace(/\s+/g, ' '), passed: passes(id), message: results[id]?.[1] ?? '' }
  })
}

function markdown (results, version) {
  const { reasons, tests: notPassed } = JSON.parse(readFileSync(here('not-passed.json')))
  const failed = results.filter(result => !result.passed)
  const lines = [
    '# Public HTTP cache tests', '',
    `The required tests of the npm package http-cache-tests ${version} against the reference's HTTP cache`,
    '(`reference/conformance/run` makes this table; `reference/tests/stack/conformance.rs` holds it).', '',
    `**${results.length - failed.length} of ${results.length} passed.** By the results that come with the package, counted in the same`,
    'way: Squid 122, Apache and Traffic Server 119, Varnish 107, nginx 94, Fastly 88.', '', '## Not passed', ''
  ]
  for (const [reason, why] of Object.entries(reasons)) {
    const those = failed.filter(result => notPassed[result.id] === reason)
    if (those.length) lines.push(`- ${those.map(result => `\`${result.id}\``).join(', ')}: ${why}`)
  }
  const unexplained = failed.filter(result => !(notPassed[result.id] in reasons))
  unexplained.forEach(result => lines.push(`- \`${result.id}\`: NOT EXPLAINED: ${result.message}`))
  let suite
  for (const result of results) {
    if (result.suite !== suite) {
      suite = result.suite
      lines.push('', `## ${suite}`, '', '| test | what | passed |', '|---|---|---|')
    }
    lines.push(`| \`${result.id}\` | ${result.name.replaceAll('|', '\\|')} | ${result.passed ? 'yes' : '**no**'} |`)
  }
  return lines.join('\n') + '\n'
}

let code = 0
try {
  const results = await run()
  if (table) writeFileSync(table, markdown(results, JSON.parse(readFileSync(join(directory, 'package.json'))).version))
  process.stdout.write(JSON.stringify(results))
} catch (error) {
  console.error(error)
  code = 1
}
children.forEach(child => { child.removeAllListeners('exit'); child.kill() })
process.exitCode = code
