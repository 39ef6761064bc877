"""deploy/prepare.sh on machines that lack something: one sentence, exit code 1, nothing changed.

A machine that lacks nothing is a virtual one: tests/vm.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
BASE, RUNTIME = "debian:bookworm-slim", "tinytx:runtime"


def shell(code: str, image: str = BASE, user: str = "0") -> tuple[int, str]:
    """Shell code in a container without a network, deploy/ at /deploy; exit code and words."""
    ended = subprocess.run(
        [
            "docker", "run", "--rm", "--network", "none", "--user", user, "--entrypoint", "sh",
            "--volume", f"{ROOT}/deploy:/deploy:ro", image, "-euc", code,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("code", "image", "user", "said"),
    [
        ("", BASE, "1000", "needs root: sudo sh"),
        ("", BASE, "0", "there is no python3: sudo apt install python3"),
        ("rm /etc/debian_version; ", BASE, "0", "this is no Debian"),
        ("set -- --ssh-user nobody2; ", BASE, "0", "there is no user nobody2 here"),
        ("set -- --way compose; ", BASE, "0", "there is no docker"),
        ("", RUNTIME, "0", "sudo apt install python3-venv"),
    ],
)
def test_what_a_machine_lacks_is_told_in_one_sentence(
    engine: Any, code: str, image: str, user: str, said: str
) -> None:
    status, out = shell(f'{code}exec sh /deploy/prepare.sh "$@"', image, user)
    assert status == 1
    assert said in out
    assert out.count("\n") == 1


def test_what_was_refused_left_nothing_and_undoing_nothing_is_no_fault(engine: Any) -> None:
    code = (
        "sh /deploy/prepare.sh || true; sh /deploy/prepare.sh --undo --purge; "
        "ls -d /opt/tinytx* /etc/tinytx /var/lib/tinytx || true; getent passwd tinytx || true"
    )
    status, out = shell(code)
    assert status == 0
    assert "nothing to change" in out
    assert out.count("No such file") == 3


def test_what_was_installed_is_gone_when_it_is_undone(engine: Any) -> None:
    code = (
        "mkdir -p /opt/tinytx.d/1/bin; ln -s /opt/tinytx.d/1 /opt/tinytx; "
        "sh /deploy/prepare.sh --undo; find /opt -name 'tinytx*'; sh /deploy/prepare.sh --undo"
    )
    status, out = shell(code)
    assert status == 0
    assert out.splitlines() == [
        "prepare: removes /opt/tinytx", "prepare: removes /opt/tinytx.d", "prepare: done",
        "prepare: nothing to change: all is as it should be", "prepare: done",
    ]  # fmt: skip


def test_the_device_of_compose_has_the_limits_of_the_repositorys_own() -> None:
    def services(*words: str) -> dict[str, Any]:
        command = ["docker", "compose", *words, "config", "--format", "json"]
        found = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return dict(json.loads(found.stdout)["services"])

    ours = services("--file", "deploy/compose.yaml")
    wanted = services("--profile", "*")["bench"]
    assert set(ours) == {"serve", "watch"}
    limits = ("mem_limit", "memswap_limit", "cpus", "pids_limit", "read_only", "cap_drop")
    for name, service in ours.items():
        assert {key: service[key] for key in limits} == {key: wanted[key] for key in limits}
        assert service["security_opt"] == wanted["security_opt"]
        assert service["user"] == "10001:10001"
        assert service["restart"] == "unless-stopped"
        assert service["container_name"] == f"tinytx-{name}"
        assert service["environment"]["ORT_DISABLE_TELEMETRY"] == "1"
        assert service["network_mode"] == "host"
        (store,) = service["volumes"]
        assert (store["source"], store["target"]) == ("/var/lib/tinytx", "/var/lib/tinytx")
