import { defineConfig } from 'vitest/config'

// Only the tests that show calloff under vitest's own fake timers; everything else runs with node:test.
export default defineConfig({
  test: { include: ['build/test/vitest/**/*.vitest.js'] },
})
