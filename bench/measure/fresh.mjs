let serial = 0

/**
 * The same function once more, compiled from its text, so that no two cases share a loop: with inline caches and feedback
 * in common, whoever runs second would be measured on code that was tuned to the first, then spoilt for both. Such a
 * function must not use anything from around it.
 *
 * @template {Function} F
 * @param {F} template
 * @returns {F}
 */
export function fresh(template) {
  // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- the point of it; the text is our own
  return new Function(`return ${String(template)} // ${++serial}`)()
}
