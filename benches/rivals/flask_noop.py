"""The no-op as a Flask service."""

from flask import Flask, jsonify, request

app = Flask(__name__)


def noop(x=None):
    return x


@app.post("/noop")
def call():
    return jsonify(noop(**request.get_json()))
