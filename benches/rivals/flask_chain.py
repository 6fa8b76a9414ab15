"""One link of the chain as a Flask service, calling the next one with `requests`.

NEXT_URL names the next link (none: this is the last). SESSION=1 keeps one `requests.Session` per thread,
so that connections are reused; without it each call is a plain `requests.post`, as most people write it.
"""

import os
import threading

import requests
from flask import Flask, jsonify, request

NEXT_URL = os.environ.get("NEXT_URL")
SESSION = os.environ.get("SESSION") == "1"

app = Flask(__name__)
local = threading.local()


def http():
    if not SESSION:
        return requests
    if not hasattr(local, "session"):
        local.session = requests.Session()
    return local.session


def ask_next(x):
    answer = http().post(NEXT_URL, json={"x": x}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def link(x):
    return ask_next(x) + 1 if NEXT_URL else x


@app.post("/link")
def call():
    return jsonify(link(**request.get_json()))
