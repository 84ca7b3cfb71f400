"""A token of a calloff hub, held over HTTP. It needs Python 3.8 or newer, and nothing but its standard library.

    with Token(url, "report-7", bearer=secret) as token:
        for row in rows:
            token.check()          # raises Cancelled
            work(row)

The process is a holder of the name, and the receipt of a cancel counts it: as acknowledged when `cancelled` is true here, and as
finished when the `with` block has ended. docs/reference/http.md describes the API.
"""

import http.client
import json
import random
import threading
import urllib.error
import urllib.parse
import urllib.request


class Cancelled(Exception):
    """The name was cancelled. `mark` is a dict that says by which process, and why: see docs/reference/http.md."""

    def __init__(self, mark):
        who = mark["who"]
        why = f": {mark['text']}" if mark["text"] else ""
        super().__init__(f"cancelled by process {who['pid']} on {who['host']}{why}")
        self.mark = mark


class Refused(Exception):
    """The server has refused the hold, and would refuse it again."""


class Token:
    """A name at a hub. Times are in seconds."""

    def __init__(self, url, name, *, bearer=None, run_id="", ttl=30.0, silence=45.0):
        """Does not connect yet: `with` does.

        `ttl`: how long the server keeps the hold while the connection is broken, from 1 to 300.
        `silence`: after how long without a byte the connection counts as broken. The server sends some every 15 seconds.
        """
        self._url = url.rstrip("/")
        self._query = {"name": name, "runId": run_id, "ttl": str(int(ttl * 1000))}
        self._headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        self._silence = silence
        self._hold = None
        self._mark = None
        self._error = None
        self._ready = threading.Event()
        self._over = threading.Event()
        self._cancelled = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"calloff {name}", daemon=True)

    # ---- For the task

    @property
    def cancelled(self):
        """Whether to stop. It reads local memory, so it may be read in a tight loop."""
        return self._cancelled.is_set()

    @property
    def mark(self):
        """Which process cancelled the name, and why, as the server sent it; None while it is live."""
        return self._mark

    def check(self):
        """Raises Cancelled if the name is cancelled."""
        if self.cancelled:
            raise Cancelled(self._mark)

    def wait(self, seconds=None):
        """Sleeps until the name is cancelled or the time has passed. Returns whether it is cancelled."""
        return self._cancelled.wait(seconds)

    def __enter__(self):
        """Opens the token, and reads its stream in a thread. Returns when the state of the hub is known, with an earlier cancel.

        Waits as long as the server cannot be reached. Raises Refused if the server refuses the hold.
        """
        self._reader.start()
        self._ready.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(self, *_):
        """Tells the server that this holder has finished. Waits for the answer, for about 10 seconds."""
        self._over.set()
        self._tell("finish")

    # ---- The stream

    def _read(self):
        failures = 0
        while not self._over.is_set():
            try:
                for event, data in self._events():
                    failures = 0
                    self._apply(event, data)
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    return self._fail(Refused(f"{error.code} {error.read(2000).decode(errors='replace')}"))
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                pass  # the connection is lost, or what came is not an event
            # The longer it fails, the longer the pause, at most 5 seconds; a random part keeps many clients apart.
            self._over.wait(min(5.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0))
            failures += 1

    def _events(self):
        headers = dict(self._headers, Accept="text/event-stream")
        if self._hold:
            headers["Last-Event-ID"] = self._hold
        request = urllib.request.Request(f"{self._url}/v1/hold?{urllib.parse.urlencode(self._query)}", headers=headers)
        with urllib.request.urlopen(request, timeout=self._silence) as response:
            event, data = "", ""
            for line in response:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    event = value
                elif field == "data":
                    data = value
                elif not field and event:
                    yield event, json.loads(data)
                    event, data = "", ""

    def _apply(self, event, data):
        if event == "open":
            self._hold = data["hold"]
        elif event == "ready":
            self._ready.set()
        elif event == "cancelled":
            self._mark = self._mark or data
            self._cancelled.set()
            self._tell("acknowledge")

    def _tell(self, what):
        if not self._hold:
            return
        query = urllib.parse.urlencode({"hold": self._hold})
        request = urllib.request.Request(f"{self._url}/v1/holds/{what}?{query}", method="POST", headers=self._headers)
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except (OSError, http.client.HTTPException):
            pass  # the server closes the hold when the stream has been broken for the ttl

    def _fail(self, error):
        self._error = error
        self._ready.set()
