import { toJavaScript } from './javascript.mjs'

/**
 * Shows each TypeScript block in TypeScript and JavaScript, where these differ, and gives a button to those that can run in a page:
 * they import from `calloff` alone, print something, and use nothing that a worker lacks. The word `no-button` on the fence keeps
 * a block from having one.
 */
export function codeBlocks(md) {
  const fence = md.renderer.rules.fence
  md.renderer.rules.fence = (tokens, at, options, env, self) => {
    const { content, info } = tokens[at]
    // A search needs the words alone, and once.
    if (env.isSearched) return `<pre><code>${md.utils.escapeHtml(content)}</code></pre>\n`
    const draw = (language, code) => {
      Object.assign(tokens[at], { info: language, content: code })
      const html = fence(tokens, at, options, env, self)
      Object.assign(tokens[at], { info, content })
      return html
    }
    const block = blockOf(tokens[at])
    if (block === undefined) return fence(tokens, at, options, env, self)
    const javascript = block.language === 'ts' ? toJavaScript(content) : content
    const isOne = javascript === undefined || javascript.trim() === '' || javascript === content
    const shown = isOne
      ? draw(block.language, content)
      : `<div class="languages"><div class="language-tabs">${tab('ts', 'TypeScript')}${tab('js', 'JavaScript')}</div>${draw('ts', content)}${draw('js', javascript)}</div>`
    const program = programOf(tokens, at)
    if (program === undefined) return shown
    const text = md.utils.escapeHtml(program).replaceAll('\n', '&#10;')
    return `<div class="runnable" data-program="${text}">${shown}<div class="run-bar"><button type="button" class="run">Run</button></div></div>`
  }
}

const tab = (language, name) => `<button type="button" data-language="${language}">${name}</button>`

const names = { ts: 'ts', typescript: 'ts', js: 'js', javascript: 'js' }

function blockOf({ type, info }) {
  if (type !== 'fence') return undefined
  const [name, ...words] = info.trim().split(/\s+/)
  return Object.hasOwn(names, name) ? { language: names[name], words } : undefined
}

/** The code of a block that is in a comment: what the next one needs, and a reader does not. */
const hiddenCodeOf = ({ type, content }) =>
  type === 'html_block' ? /^<!--[^]*?^```(?:ts|js)\b.*\n([^]*?)^```/m.exec(content)?.[1] : undefined

/** What a worker without modules, and a page without a network, cannot run. */
const foreign =
  /\b(?:process|Buffer|require|fetch|document|window|setImmediate|XMLHttpRequest)\b|\bimport\s*\(|^\s*export\b/m
const imports = /^import\s+(?:type\s+)?(?:\{([^}]*)\}|\S+)\s+from\s+'([^']*)'\n?/gm

/** The code of a block as the body of an async function whose argument is the module `calloff`; undefined where it cannot be. */
export function programOf(tokens, at) {
  const { words } = blockOf(tokens[at])
  const code = toJavaScript(wholeOf(tokens, at))
  if (code === undefined || words.includes('no-run') || words.includes('no-button')) return undefined
  const imported = [...code.matchAll(imports)]
  const isOfCore =
    imported.length > 0 && imported.every(([, named, module]) => module === 'calloff' && named !== undefined)
  if (!isOfCore) return undefined
  const body = code.replace(imports, (_, named) => `const {${named.replaceAll(/\bas\b/g, ':')}} = calloff\n`)
  const comments = /\/\/.*$/gm
  if (foreign.test(body.replace(comments, '')) || !body.includes('console.')) return undefined
  return body
}

/** With the block before it, where the fence says that it continues that one. */
function wholeOf(tokens, at) {
  const { content } = tokens[at]
  if (blockOf(tokens[at])?.words.includes('continues') !== true) return hiddenCodeOf(tokens[at]) ?? content
  const isCode = (token) => blockOf(token) !== undefined || hiddenCodeOf(token) !== undefined
  const before = tokens.findLastIndex((token, i) => i < at && isCode(token))
  return before < 0 ? content : wholeOf(tokens, before) + content
}

/** Lets tables, which may be wider than a phone, be scrolled with the keyboard. */
export function reachableTables(md) {
  md.renderer.rules.table_open = () => '<table tabindex="0">\n'
}
