/** What is not exported, and tests need. */
import type * as folderModule from '../../dist/system/socket-folder.js'

const folder = new URL('../../../dist/system/', import.meta.url)

export const { isOwnFolder, presenceAt, removeSocketFolder } = (await import(
  new URL('socket-folder.js', folder).href
)) as typeof folderModule
