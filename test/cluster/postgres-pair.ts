/** A PostgreSQL with a standby that has everything before a commit is acknowledged, and takes over when it is lost. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import { answers, binary, postgresServer, settingsOf, urlOf } from '../remote/postgres/server.js'
import { asNobody, type Server, serve } from '../remote/servers.js'

export interface PostgresPair {
  /** Makes a client of the one that is the primary now. */
  client(): Client
  /** Kills the primary, and makes the standby the primary. */
  failOver(): Promise<void>
  end(): Promise<void>
}

const small = ['shared_buffers=16MB', 'max_connections=30', 'fsync=off', 'max_wal_senders=3', 'wal_level=replica']

export async function postgresPair(): Promise<PostgresPair> {
  const servers: Server[] = []
  const end = async () => {
    await Promise.all(servers.map((server) => server.end()))
  }
  const ask = async (port: number, text: string) => {
    const client = new Client({ connectionString: urlOf(port) })
    client.on('error', () => {})
    await client.connect()
    try {
      const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
      return rows
    } finally {
      await client.end()
    }
  }
  const until = async (isSo: () => Promise<boolean>, what: string) => {
    for (let i = 0; !(await isSo().catch(() => false)); i++) {
      if (i === 600) throw new Error(`${what} did not happen in time`)
      await pause(50)
    }
  }
  try {
    const primary = await postgresServer(...small)
    servers.push(primary)
    const user = asNobody()
    const standby = await serve(
      {
        command: binary('postgres'),
        arguments: settingsOf(...small),
        prepare: (folder) => {
          const source = ['-h', '127.0.0.1', '-p', String(primary.port), '-U', 'calloff', '-D', join(folder, 'data')]
          const options = { cwd: folder, encoding: 'utf8', ...user } as const
          const { status, stderr } = spawnSync(binary('pg_basebackup'), [...source, '-R', '-c', 'fast', '-N'], options)
          if (status !== 0) throw new Error(`pg_basebackup has failed: ${stderr}`)
        },
        answers,
      },
      user,
    )
    servers.push(standby)
    await ask(primary.port, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await ask(primary.port, 'SELECT pg_reload_conf()')
    const isInSync = async () => {
      const [row] = await ask(primary.port, "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
      return row?.[0] === 'sync'
    }
    await until(isInSync, 'the standby follows')
    let current = primary
    return {
      client: () => new Client({ connectionString: urlOf(current.port) }),
      async failOver() {
        await primary.kill()
        current = standby
        await until(async () => {
          const [row] = await ask(standby.port, 'SELECT pg_promote(true, 30)')
          return row?.[0] === true
        }, 'the standby takes over')
      },
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}
