# Events of a multiprocessing SyncManager between two processes, told what to do by lines of JSON: see lines.mjs.
import json
import sys
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from time import perf_counter_ns

context = get_context('fork')


def until_set(event, way):
    if way == 'wait':
        event.wait()
    else:
        while not event.is_set():
            pass


def answer(pairs, way):
    for ping, pong in pairs:
        until_set(ping, way)
        pong.set()


def main(way):
    manager = SyncManager(ctx=context)
    manager.start()
    pairs = []
    for line in sys.stdin:
        order = json.loads(line)
        said = {}
        if order['do'] == 'prepare':
            pairs = [(manager.Event(), manager.Event()) for _ in range(order['count'])]
            context.Process(target=answer, args=(pairs, way), daemon=True).start()
            at = 0
        else:
            ping, pong = pairs[at]
            at += 1
            begin = perf_counter_ns()
            ping.set()
            until_set(pong, way)
            said['ns'] = perf_counter_ns() - begin
        print(json.dumps(said), flush=True)
    manager.shutdown()


main(sys.argv[1])
