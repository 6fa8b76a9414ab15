"""What a WSGI server has read, as JSON."""

import json


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    seen = {
        "method": environ["REQUEST_METHOD"],
        "target": environ.get("RAW_URI", ""),
        "body": body.decode("latin-1"),
        "host": environ.get("HTTP_HOST"),
        "x": environ.get("HTTP_X_MINE"),
        "for": environ.get("HTTP_X_FORWARDED_FOR"),
    }
    text = json.dumps(seen).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(text)))])
    return [text]
