// The words that the two threads of responder.mjs and answer.mjs share, before a number for the moment.
/** How many times the other thread was about to listen, and how many times it has heard. */
export const READY = 0
export const ANSWER = 1
/** For comparing the clocks. */
export const PING = 2
export const PONG = 3
export const WORDS = 4
