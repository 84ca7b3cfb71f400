/**
 * The token hub over NATS JetStream.
 *
 * @module
 */
export { natsEngine, type NatsEngineOptions } from './engine.js'
