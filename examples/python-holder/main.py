"""A job in Python that calloff can stop: python3 main.py URL NAME

The environment variable CALLOFF_TOKEN is the token of the server: `calloff serve --http 127.0.0.1:4748` prints a link
that ends with it.
"""

import os
import sys

from calloff_http import Cancelled, Token


def main(url, name):
    try:
        with Token(url, name, bearer=os.environ.get("CALLOFF_TOKEN")) as token:
            print("started", flush=True)
            done = 0
            while True:
                token.check()
                done += sum(range(10_000))  # a part of the job
    except Cancelled as error:
        print(error, flush=True)
        return 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
