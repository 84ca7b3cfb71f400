/**
 * For engines of your own: the contract of an engine, and the common part of the links of all engines.
 *
 * @module
 */
export {
  type Acquired,
  ACKNOWLEDGED,
  type Engine,
  FINISHED,
  FORGOTTEN_PER_TOPIC,
  type HolderRecord,
  type HolderReport,
  LEASE_REMEMBERED_FOR,
  type LeaseRecord,
  type Link,
  type LinkEvents,
  MARK_TTL,
  type MarkRecord,
  OPEN,
  ROLES,
  type Session,
  SILENT_FOR,
  type Topic,
  type TopicReport,
  type TopicState,
} from '../contract/engine.js'
export { HubError, type HubErrorCode } from '../contract/errors.js'
export type { Failure, FailureRules } from './failures.js'
export { LinkBase } from './link-base.js'
export { type Opening, openLink } from './open-link.js'
export { markOfText, textOfMark } from './stored-fields.js'
