/** A PostgreSQL for tests. */
import { spawnSync } from 'node:child_process'
import { readdirSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { Client } from 'pg'
import { asNobody, found, type Server, serve, skipWithout } from '../servers.js'

/** Debian keeps its programs out of the path, in a folder for each version. */
const versions = '/usr/lib/postgresql'
const folders = existsSync(versions) ? readdirSync(versions).map((version) => join(versions, version, 'bin')) : []
/** One of its programs. */
export const binary = (name: string): string => found(name, ...folders) ?? name
const path = found('postgres', ...folders)
const initdb = found('initdb', ...folders)
export const skip = skipWithout('PostgreSQL', path && initdb, 'postgresql')

export const urlOf = (port: number): string => `postgres://calloff@127.0.0.1:${port}/postgres`

export async function answers(port: number): Promise<boolean> {
  const client = new Client({ connectionString: urlOf(port), connectionTimeoutMillis: 1_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    client.end().catch(() => {})
  }
}

/** The arguments of a server with these settings. */
export function settingsOf(...settings: string[]): (port: number, folder: string) => readonly string[] {
  return (port, folder) => {
    const all = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, ...settings]
    return ['-D', join(folder, 'data'), ...all.flatMap((setting) => ['-c', setting])]
  }
}

export function postgresServer(...settings: string[]): Promise<Server> {
  // It refuses to run as root.
  const user = asNobody()
  return serve(
    {
      command: path ?? 'postgres',
      arguments: settingsOf(...settings),
      prepare: (folder) => {
        const options = ['-D', join(folder, 'data'), '-U', 'calloff', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N']
        const { status, stderr } = spawnSync(initdb ?? 'initdb', options, {
          cwd: folder,
          encoding: 'utf8',
          env: { ...process.env, TZ: 'UTC' },
          ...user,
        })
        if (status !== 0) throw new Error(`initdb has failed: ${stderr}`)
      },
      answers,
    },
    user,
  )
}
