"""The service `serve` of compose.yaml: answers, under the constitution as its limits."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker

ASK = """
import json, sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:8765" + sys.argv[1])
request.data = sys.argv[2].encode() if len(sys.argv) > 2 else None
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
COMPLETION = '{"prompt": "The", "max_tokens": 8, "temperature": 0}'


def test_the_service_answers_within_the_budgets_and_ends_well(
    start: Callable[..., Any], readable_bundle: Path, services: dict[str, Any]
) -> None:
    assert services["serve"]["ports"][0]["host_ip"] == "127.0.0.1"
    volumes = {str(readable_bundle): {"bind": "/data/bundle", "mode": "ro"}}
    container = start("serve", [], volumes=volumes)
    end = time.monotonic() + 60
    while b"listening on" not in container.logs():
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.2)
    code, health = container.exec_run(["python3", "-c", ASK, "/health"])
    assert code == 0, health.decode()
    assert json.loads(health)["status"] == "ok"
    code, answer = container.exec_run(["python3", "-c", ASK, "/v1/completions", COMPLETION])
    assert code == 0, answer.decode()
    assert json.loads(answer)["usage"]["completion_tokens"] == 8
    assert container.exec_run(["id", "-u"]).output.strip() == b"10001"
    container.stop(timeout=20)
    assert container.wait(timeout=30)["StatusCode"] == 0, container.logs().decode()
