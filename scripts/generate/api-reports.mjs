import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'
import { root } from '../installed.mjs'

/**
 * The reports `api/NAME.api.md`: what each sub-path of the package exports, with its signatures. So every change of the public surface
 * is seen in the commit that makes it. Needs the built library.
 */
export function apiReports() {
  const { exports } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const folder = mkdtempSync(join(tmpdir(), 'calloff-api-'))
  try {
    // The programs of threads export nothing.
    const paths = Object.entries(exports).filter(
      ([path, { types }]) => types !== undefined && !path.endsWith('/worker'),
    )
    return paths.map(([path, { types }]) => {
      const name = path === '.' ? 'calloff' : path.slice(2).replaceAll('/', '-')
      return [`api/${name}.api.md`, reportOf(`${root}/${types}`, name, folder)]
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function reportOf(mainEntryPointFilePath, name, folder) {
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath,
      compiler: { tsconfigFilePath: `${root}/tsconfig.build.json` },
      apiReport: { enabled: true, reportFolder: folder, reportTempFolder: folder, reportFileName: `${name}.api.md` },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
        extractorMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: `${root}/package.json`,
  })
  const { apiReportChanged, succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => (message.handled = true),
  })
  const path = join(folder, `${name}.api.md`)
  if (!existsSync(path)) throw new Error(`no report of ${name} (${succeeded}, ${apiReportChanged})`)
  return readFileSync(path, 'utf8')
}
