/** The buttons of code blocks: which language is shown, and Run. They are heard at the document, since pages come and go. */

const KEY = 'calloff-code'

export function listen(): void {
  document.addEventListener('click', ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return
    const { language } = target.dataset
    if (language !== undefined) choose(language)
    if (target.matches('.run')) void run(target)
  })
}

function choose(language: string): void {
  document.documentElement.dataset.code = language
  localStorage.setItem(KEY, language)
}

const running = new WeakMap<Element, () => void>()

async function run(button: HTMLButtonElement): Promise<void> {
  const block = button.closest<HTMLElement>('.runnable')
  if (block === null) return
  const stop = running.get(block)
  if (stop !== undefined) {
    stop()
    return
  }
  const { start } = await import('./run/program.js')
  const output = outputOf(block)
  output.textContent = ''
  button.textContent = 'Stop'
  const program = start(block.dataset.program ?? '', (text) => output.append(`${text}\n`))
  running.set(block, () => program.stop())
  const end = await program.ended
  running.delete(block)
  button.textContent = 'Run'
  block.dataset.end = end
  if (output.textContent === '' || end === 'stopped') output.append(end === 'stopped' ? '(stopped)' : '(ended)')
}

function outputOf(block: HTMLElement): HTMLElement {
  const found = block.querySelector<HTMLElement>('.run-output')
  if (found !== null) return found
  const output = document.createElement('pre')
  output.className = 'run-output'
  output.tabIndex = 0
  output.setAttribute('role', 'log')
  output.setAttribute('aria-label', 'Output')
  block.append(output)
  return output
}
