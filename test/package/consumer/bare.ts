// A user's program without the types of the DOM and of Node: the declarations of the package compile there.
import { type CancellationToken, SimpleToken, TimeoutToken } from 'calloff'

export const token: CancellationToken = new SimpleToken(new TimeoutToken(5))
