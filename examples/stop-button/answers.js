/** Stands for your database: one file for each answer, in a folder that all servers share. */
import { createHash } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'

const fileOf = (name) => join(process.env.ANSWERS, createHash('sha256').update(name).digest('hex'))

export async function saveAnswer(name, answer) {
  const file = fileOf(name)
  await writeFile(`${file}.new`, JSON.stringify(answer))
  await rename(`${file}.new`, file) // a reader never sees half of it
}

/** Undefined if there is no answer of that name. */
export async function loadAnswer(name) {
  try {
    return JSON.parse(await readFile(fileOf(name), 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}
