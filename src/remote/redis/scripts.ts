/**
 * The scripts that run in Redis, in Lua. Each script is atomic. docs/guides/remote-redis.md describes the keys.
 *
 * Invariants
 * RL1. All keys begin with the root, KEYS[1], which is a hash tag, so a hub is in one slot of a cluster. No key has the
 *     name KEYS[1] or KEYS[2]. While a slot moves from one node to another, its keys are on both nodes, and a script
 *     would miss some of its data. If a command names two missing keys, each node refers to the other or asks to try
 *     again. So no script runs on half of the data, and all scripts wait until the slot has moved.
 * RL2. A topic is in `topics` whenever it has a mark, a lease or a holder. A script that finds a topic without them
 *     removes it. `ends` says which topics may expire, and when.
 * RL3. `holds` of a session and `held` of the topics change together, so each leads to the other.
 * RL4. A session exists exactly while its own hash exists. Its holders may exist a little longer; they do not count
 *     then.
 * RL5. Each script begins with a write that changes nothing. So a replica, or a master that may not write at the
 *     moment, gives no answer instead of a stale one (E6).
 * RL6. Times are times of the server, in milliseconds with a fraction of microseconds.
 */
import { createHash } from 'node:crypto'
import { LEASE_REMEMBERED_FOR, SILENT_FOR } from '../contract/engine.js'

/** A script and its hash, by which the server knows it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/** The number of holders or topics that one script removes. */
const SWEPT = 250

/** Returns KEYS: see RL1. */
export function keysOf(root: string): readonly [string, string] {
  return [root, `${root}:whole`]
}

const time = `
local root = KEYS[1]
redis.call('DEL', root)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
`

/** Functions that read the state of topics and notify their holders. */
const states = `
-- Returns the state of a topic, as texts: the topic, its mark, and the fence, the time left and the last lost term of
-- its lease.
local function stateOf(topic, lease)
  local mark = redis.call('GET', root .. ':mark:' .. topic) or ''
  if not lease then return { topic, mark, '', '', '' } end
  local left = '0'
  if lease.ends > 0 then left = string.format('%.3f', math.max(0.001, lease.ends - now)) end
  return { topic, mark, lease.fence, left, lease.lost }
end

-- Notifies every session that holds the topic, over the channel of that session (E4).
local function announce(topic, lease)
  local told, message = {}, nil
  for _, place in ipairs(redis.call('HKEYS', root .. ':held:' .. topic)) do
    local session = string.match(place, '^%d+ (.*)$')
    if not told[session] then
      told[session] = true
      message = message or cjson.encode(stateOf(topic, lease))
      redis.call('PUBLISH', root .. ':heard:' .. session, message)
    end
  end
end

-- Returns the lease of a topic. Redis has no timers, so the first script that finds the lease expired records its loss
-- and notifies the holders.
local function leaseOf(topic)
  local key = root .. ':lease:' .. topic
  local found = redis.call('HMGET', key, 'fence', 'ends', 'lost', 'owner')
  if not found[1] then return nil end
  local lease = { fence = found[1], ends = tonumber(found[2]), lost = found[3], owner = found[4] }
  if lease.ends > 0 and lease.ends <= now then
    lease.ends, lease.lost = 0, lease.fence
    redis.call('HSET', key, 'ends', 0, 'lost', lease.fence)
    announce(topic, lease)
  end
  return lease
end
`

/** Functions that add and remove topics (RL2). */
const topics = `
local function addTopic(topic, ms)
  redis.call('ZADD', root .. ':topics', 0, topic)
  if ms then redis.call('ZADD', root .. ':ends', now + ms, topic) end
end

-- Removes the topic unless it has a mark, a lease or a holder. Returns whether it has one.
local function removeIfEmpty(topic)
  if redis.call('EXISTS', root .. ':mark:' .. topic, root .. ':lease:' .. topic, root .. ':held:' .. topic) > 0 then
    return true
  end
  redis.call('ZREM', root .. ':topics', topic)
  redis.call('ZREM', root .. ':ends', topic)
  return false
end
`

const holders = `
-- Removes a holder (RL3).
local function removeHolder(session, id)
  local topic = redis.call('HGET', root .. ':holds:' .. session, id)
  if not topic then return end
  redis.call('HDEL', root .. ':holds:' .. session, id)
  redis.call('HDEL', root .. ':held:' .. topic, id .. ' ' .. session)
  removeIfEmpty(topic)
end

-- Removes some holders of a session that has ended (RL4). Returns false if there are more.
local function removeHolders(session)
  redis.call('DEL', root .. ':session:' .. session)
  local holds = root .. ':holds:' .. session
  local some = redis.call('HSCAN', holds, 0, 'COUNT', ${SWEPT})[2]
  for i = 1, #some, 2 do removeHolder(session, some[i]) end
  if redis.call('EXISTS', holds) > 0 then return false end
  redis.call('ZREM', root .. ':sessions', session)
  return true
end
`

const reports = `
local sessions = {}
local function sessionOf(id)
  local session = sessions[id]
  if session == nil then
    local found = redis.call('HMGET', root .. ':session:' .. id, 'number', 'host', 'pid')
    local score = redis.call('ZSCORE', root .. ':sessions', id)
    session = false
    if found[1] and score then
      session = { found[1], found[2], found[3], tonumber(score) - ${SILENT_FOR} < now and '1' or '0' }
    end
    sessions[id] = session
  end
  return session
end

-- Returns a topic as one flat list: its state, then eight fields for each holder. Returns nil if there is nothing.
local function reportOf(topic)
  local report = stateOf(topic, leaseOf(topic))
  local held = redis.call('HGETALL', root .. ':held:' .. topic)
  for i = 1, #held, 2 do
    local id, session = string.match(held[i], '^(%d+) (.*)$')
    local info = sessionOf(session)
    if info then
      local state, role, since = string.match(held[i + 1], '^(%S+) (%S+) (%S+)$')
      for _, field in ipairs({ info[1], info[2], info[3], info[4], id, state, role, since }) do
        report[#report + 1] = field
      end
    end
  end
  if #report > 5 or report[2] ~= '' or report[3] ~= '' then return report end
  removeIfEmpty(topic)
  return nil
end
`

/** Returns the report of the server about its memory, or nothing if that is not allowed. */
const memory = `
local said = redis.pcall('INFO', 'memory')
return type(said) == 'string' and said or ''
`

/** ARGV: session, host, pid, ttl. Returns whether the session was known, and whether there is more to remove. */
const beat = `
local session = ARGV[1]
local key = root .. ':session:' .. session
local existed = redis.call('EXISTS', key)
if existed == 0 then
  redis.call('HSET', key, 'host', ARGV[2], 'pid', ARGV[3], 'ttl', ARGV[4], 'number', redis.call('INCR', root .. ':count'))
end
redis.call('ZADD', root .. ':sessions', now + ARGV[4] + ${SILENT_FOR}, session)
-- An echo, by which the session knows that its channel works.
redis.call('PUBLISH', root .. ':heard:' .. session, '')

local more = 0
local dead = redis.call('ZRANGEBYSCORE', root .. ':sessions', '-inf', now, 'LIMIT', 0, 1)[1]
if dead then
  removeHolders(dead)
  more = 1
end
local expired = redis.call('ZRANGEBYSCORE', root .. ':ends', '-inf', now, 'LIMIT', 0, ${SWEPT})
if #expired == ${SWEPT} then more = 1 end
for _, topic in ipairs(expired) do
  if removeIfEmpty(topic) then
    local left = math.max(redis.call('PTTL', root .. ':mark:' .. topic), redis.call('PTTL', root .. ':lease:' .. topic))
    if left < 0 then redis.call('ZREM', root .. ':ends', topic) else addTopic(topic, left + 1) end
  end
end
return { existed, more }
`

/**
 * ARGV: session, ttl, then id, topic, state, role and since of each holder. Returns nothing if the session has ended.
 */
const enter = `
local session = ARGV[1]
if redis.call('EXISTS', root .. ':session:' .. session) == 0 then return false end
redis.call('ZADD', root .. ':sessions', now + ARGV[2] + ${SILENT_FOR}, session)
local holds = root .. ':holds:' .. session
local seen, states = {}, {}
for i = 3, #ARGV, 5 do
  local id, topic, state = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local held, place = root .. ':held:' .. topic, id .. ' ' .. session
  local holding = redis.call('HGET', holds, id)
  if holding and holding ~= topic then return redis.error_reply('ERR holder ' .. id .. ' holds another token') end
  local before = holding and redis.call('HGET', held, place)
  -- A state only goes up (E9).
  if not before or tonumber(string.match(before, '^%d+')) < tonumber(state) then
    redis.call('HSET', held, place, state .. ' ' .. ARGV[i + 3] .. ' ' .. ARGV[i + 4])
  end
  if not holding then
    redis.call('HSET', holds, id, topic)
    addTopic(topic)
  end
  if not seen[topic] then
    seen[topic] = true
    states[#states + 1] = topic
  end
end
for i, topic in ipairs(states) do states[i] = stateOf(topic, leaseOf(topic)) end
return states
`

/** ARGV: session, then ids. */
const leave = `
for i = 2, #ARGV do removeHolder(ARGV[1], ARGV[i]) end
return 1
`

/** ARGV: topics. */
const read = `
local states = {}
for i, topic in ipairs(ARGV) do states[i] = stateOf(topic, leaseOf(topic)) end
return states
`

/**
 * ARGV: topic, mark, ttl, id of the mark. Returns the mark that is stored (E2). The mark is stored before it is
 * announced (E3).
 */
const mark = `
local topic = ARGV[1]
local key = root .. ':mark:' .. topic
local stored = redis.call('GET', key)
if stored then return stored end
if ARGV[4] ~= '' and redis.call('EXISTS', root .. ':forgotten:' .. ARGV[4]) == 1 then return ARGV[2] end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
addTopic(topic, tonumber(ARGV[3]) + 1)
announce(topic, leaseOf(topic))
return ARGV[2]
`

/** ARGV: topic. */
const report = `
return reportOf(ARGV[1]) or {}
`

/**
 * ARGV: prefix, the last topic of the page before (or nothing), the size of the page. Returns the last topic that was
 * read, then reports.
 */
const list = `
local prefix, last = ARGV[1], ARGV[2]
local from = last ~= '' and '(' .. last or prefix ~= '' and '[' .. prefix or '-'
-- No byte of UTF-8 is as high as this one.
local to = prefix ~= '' and '(' .. prefix .. '\\255' or '+'
local found = redis.call('ZRANGEBYLEX', root .. ':topics', from, to, 'LIMIT', 0, ARGV[3])
local page = { #found == tonumber(ARGV[3]) and found[#found] or '' }
for _, topic in ipairs(found) do page[#page + 1] = reportOf(topic) end
return page
`

/** ARGV: topic. */
const forget = `
local topic = ARGV[1]
local key = root .. ':mark:' .. topic
local stored, left = redis.call('GET', key), redis.call('PTTL', key)
if stored and left > 0 then
  -- A client that did not learn that the mark was stored offers it again. It must not be stored again (E2).
  local ok, mark = pcall(cjson.decode, stored)
  if ok and type(mark) == 'table' and type(mark.id) == 'string' and mark.id ~= '' then
    redis.call('SET', root .. ':forgotten:' .. mark.id, '', 'PX', left)
  end
end
redis.call('DEL', key)
local lease = leaseOf(topic)
if lease and lease.ends == 0 then redis.call('DEL', root .. ':lease:' .. topic) end
removeIfEmpty(topic)
return 1
`

/** Lets the lease of `topic` run for `ttl` from now, and keeps its loss for a while after that. */
const extendLease = `
local function extendLease(topic, ttl)
  local key = root .. ':lease:' .. topic
  redis.call('HSET', key, 'ends', string.format('%.3f', now + ttl))
  redis.call('PEXPIRE', key, math.ceil(ttl) + ${LEASE_REMEMBERED_FOR})
end
`

/**
 * ARGV: topic, owner, ttl. Returns whether the owner has the lease, and the fence, or the time left of another owner.
 */
const acquire = `
local topic, owner, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lease = leaseOf(topic)
if lease and lease.ends > 0 then
  if lease.owner ~= owner then return { 0, string.format('%.3f', lease.ends - now) } end
  extendLease(topic, ttl)
  return { 1, lease.fence }
end
-- Higher than every earlier fence, even if the server has lost its data (E10).
local before = tonumber(redis.call('GET', root .. ':fence') or '0')
local fence = string.format('%.0f', math.max(before + 1, math.floor(now)))
redis.call('SET', root .. ':fence', fence)
local lost = lease and lease.lost or '0'
redis.call('HSET', root .. ':lease:' .. topic, 'owner', owner, 'fence', fence, 'lost', lost)
extendLease(topic, ttl)
addTopic(topic, ttl + ${LEASE_REMEMBERED_FOR} + 1)
announce(topic, leaseOf(topic))
return { 1, fence }
`

/** ARGV: topic, fence, ttl. */
const renew = `
local lease = leaseOf(ARGV[1])
if not lease or lease.ends == 0 or lease.fence ~= ARGV[2] then return 0 end
extendLease(ARGV[1], tonumber(ARGV[3]))
return 1
`

/** ARGV: topic, fence. */
const release = `
local topic = ARGV[1]
local key = root .. ':lease:' .. topic
local lease = leaseOf(topic)
if not lease or lease.ends == 0 or lease.fence ~= ARGV[2] then return 0 end
if lease.lost == '0' then
  redis.call('DEL', key)
  lease = nil
else
  redis.call('HSET', key, 'ends', 0)
  redis.call('PEXPIRE', key, ${LEASE_REMEMBERED_FOR})
  lease.ends = 0
end
announce(topic, lease)
removeIfEmpty(topic)
return 1
`

/** ARGV: session. Returns whether everything is removed. */
const bye = `
return removeHolders(ARGV[1]) and 1 or 0
`

function script(...parts: string[]): Script {
  const text = [time, ...parts].join('')
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

export const scripts = {
  memory: script(memory),
  beat: script(topics, holders, beat),
  enter: script(states, topics, enter),
  leave: script(topics, holders, leave),
  read: script(states, read),
  mark: script(states, topics, mark),
  report: script(states, topics, reports, report),
  list: script(states, topics, reports, list),
  forget: script(states, topics, forget),
  acquire: script(states, topics, extendLease, acquire),
  renew: script(states, extendLease, renew),
  release: script(states, topics, release),
  bye: script(topics, holders, bye),
} as const satisfies Readonly<Record<string, Script>>
