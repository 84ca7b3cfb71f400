import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { defineConfig } from 'vitepress'
import { codeBlocks, reachableTables } from '../../scripts/docs/code-blocks.mjs'
import { writeCopies } from '../../scripts/docs/copies.mjs'
import { diagrams } from '../../scripts/docs/diagrams.mjs'
import { navigation, pagesOf, placeOf, sidebar } from '../../scripts/docs/index.mjs'
import { linkPlugin, repositoryAddress } from '../../scripts/docs/links.mjs'
import { slugOf } from '../../scripts/docs/slug.mjs'
import { root } from '../../scripts/installed.mjs'

const { name, description, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const docs = join(root, 'docs')
const base = process.env.DOCS_BASE ?? '/'

/** The path of the page that markdown-it works on, as it lies in docs; a text by itself is as if beside the home page. */
const sourceOf = ({ realPath, path = join(docs, 'index.md') }: { realPath?: string; path?: string }): string =>
  relative(docs, realPath ?? path).replaceAll('\\', '/')

// Before the first paint: a page that changes its language later would move.
const chooseLanguage = `document.documentElement.dataset.code = localStorage.getItem('calloff-code') === 'js' ? 'js' : 'ts'`

export default defineConfig({
  title: name,
  titleTemplate: `:title · ${name}`,
  description,
  lang: 'en',
  base,
  outDir: join(root, 'build', 'site'),
  cacheDir: join(root, 'build', 'site-cache'),
  cleanUrls: true,
  rewrites: Object.fromEntries(
    pagesOf()
      .filter((page) => placeOf(page) !== page)
      .map((page) => [page, placeOf(page)]),
  ),
  head: [
    ['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}logo.svg` }],
    ['script', {}, chooseLanguage],
  ],
  // A page fetches its own script and no other.
  router: { prefetchLinks: false },
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    languageAlias: { mjs: 'js' },
    anchor: { slugify: slugOf },
    // Pages are read on other sites too, so there is nothing in them but plain Markdown.
    attrs: { disable: true },
    config(md) {
      linkPlugin(md, sourceOf)
      codeBlocks(md)
      diagrams(md, sourceOf)
      reachableTables(md)
    },
  },
  vite: {
    publicDir: join(docs, 'public'),
    resolve: {
      alias: [
        { find: /^calloff$/, replacement: join(root, 'dist', 'index.js') },
        { find: /^calloff\/threads$/, replacement: join(root, 'dist', 'threads', 'index.js') },
      ],
    },
    // Programs in a page print the names of classes.
    esbuild: { keepNames: true },
    worker: { format: 'es' },
    // The largest is the index of the search, which is fetched when it is opened.
    build: { chunkSizeWarningLimit: 5_000 },
  },
  transformHead: ({ pageData }) =>
    pageData.relativePath === 'index.md' || pageData.isNotFound === true
      ? []
      : [['link', { rel: 'alternate', type: 'text/markdown', href: base + pageData.relativePath }]],
  buildEnd: ({ outDir }) => writeCopies(outDir, { base, title: name, description }),
  themeConfig: {
    logo: '/logo.svg',
    nav: [
      ...navigation(),
      { text: 'Playground', link: '/playground' },
      { text: `v${version}`, link: '/reference/versions' },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3] },
    search: {
      provider: 'local',
      options: {
        detailedView: true,
        // `#` and `+` stay part of a word: C#. Pages that help with a task come before those on how calloff is made.
        miniSearch: {
          options: { tokenize: (text) => text.split(/[\s\p{Z}!-"$-*,-/:-@[-`{-~]+/u) },
          searchOptions: { boostDocument: (id) => (id.includes('/internals/') ? 0.5 : 1) },
        },
        // Its name is what it shows, and the key beside it.
        translations: { button: { buttonText: 'Search', buttonAriaLabel: '' } },
        _render: (text, env, md) => md.render(text, Object.assign(env, { isSearched: true })),
      },
    },
    ...(repositoryAddress === undefined
      ? {}
      : {
          socialLinks: [{ icon: 'github', link: repositoryAddress }],
          editLink: { pattern: `${repositoryAddress}/edit/main/docs/:path`, text: 'Edit this page' },
        }),
    footer: { message: 'Released under the MIT License.' },
  },
})
