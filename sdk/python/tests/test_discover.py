"""Discovery, and the signatures that it finds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_hub import SERVICES, SRC


@pytest.fixture
def discover(tmp_path):
    def run(*modules, path=SERVICES):
        out = tmp_path / "out.json"
        environment = {**os.environ, "PYTHONPATH": f"{SRC}{os.pathsep}{path}"}
        command = [sys.executable, "-m", "msx._discover", "--out", str(out), *modules]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text()), done.stdout

    return run


def test_services(discover, tmp_path):
    (tmp_path / "shop.py").write_text(
        "from dataclasses import dataclass\n"
        "from basic import add  # not a service of this module\n"
        "from msx import microservice\n"
        "print('hello')\n"
        "@dataclass\n"
        "class Item:\n"
        "    name: str\n"
        "    price: float = 0.0\n"
        "@microservice(threads=4)\n"
        "def buy(item: Item, /, count: int = 1, *rest, fast: 'bool', **more) -> list[Item]:\n"
        "    '''Buys it.\n\n    Details.'''\n"
        "@microservice\n"
        "async def browse(x, y=object()): ...\n"
    )
    found, printed = discover("shop", "basic", path=f"{tmp_path}{os.pathsep}{SERVICES}")
    assert printed == "hello\n"
    assert found["errors"] == []
    buy, browse = (service for service in found["services"] if service["module"] == "shop")
    signature = buy.pop("signature")
    assert buy == {
        "name": "shop.buy",
        "module": "shop",
        "function": "buy",
        "kind": "def",
        "file": str(tmp_path / "shop.py"),
        "line": 9,
        "options": {"threads": 4},
    }
    assert signature["text"].startswith("(item: shop.Item, /, count: int = 1, *rest, fast:")
    assert signature["doc"] == "Buys it."
    assert signature["returns"] == "list[shop.Item]"
    kinds = [(p["name"], p["kind"], p["annotation"], p["required"]) for p in signature["params"]]
    assert kinds == [
        ("item", "positional_only", "shop.Item", True),
        ("count", "positional_or_keyword", "int", False),
        ("rest", "var_positional", None, False),
        ("fast", "keyword_only", "bool", True),
        ("more", "var_keyword", None, False),
    ]
    schemas = [p["schema"] for p in signature["params"]]
    assert schemas[1:] == [{"type": "integer"}, None, {"type": "boolean"}, None]
    assert schemas[0]["$defs"]["Item"]["required"] == ["name"]
    assert (browse["kind"], browse["signature"]["returns"]) == ("async", None)
    assert {service["name"] for service in found["services"]} >= {"basic.add", "basic.fib"}
    assert sum(service["name"] == "basic.add" for service in found["services"]) == 1


@pytest.mark.parametrize(
    ("module", "file", "line", "message"),
    [
        ("syntax", "syntax.py", 2, "SyntaxError: "),
        ("missing_import", "missing_import.py", 3, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("broken", "broken.py", 3, "json.decoder.JSONDecodeError: Expecting property name"),
        ("exits", "exits.py", 1, "SystemExit: no config"),
        (
            "calls_at_import",
            "calls_at_import.py",
            3,
            "msx.NoCallContext: a service was called while its module",
        ),
        ("absent", None, None, "ModuleNotFoundError: No module named 'absent'"),
    ],
)
def test_errors(discover, module, file, line, message):
    found, _ = discover(module, "life")
    (error,) = found["errors"]
    assert error["module"] == module
    assert error["file"] == (file and str(Path(SERVICES) / file))
    assert error["line"] == line
    assert error["message"].startswith(message)
    assert "importlib" not in error["traceback"]
    assert "msx/_discover" not in error["traceback"]
    assert any(service["name"] == "life.echo" for service in found["services"])
