/**
 * The token hub over Redis.
 *
 * @module
 */
export type { IoRedisClient, NodeRedisClient } from './clients.js'
export { redisEngine, type RedisEngineOptions } from './engine.js'
