"""What a container cannot show, tried on the virtual machine. Each function is one scenario; it
returns what was seen, in a line, and raises AssertionError where it is not as it should be."""

import json
import time

from device import INPUT, Device

WHEELS = f"--wheels {INPUT}/wheels"
SERVICE = "tinytx-serve.service"
STILL = "sed -i '/_seconds/d' /var/lib/tinytx/device.toml && "
SHORT = STILL + (
    "printf 'watch_seconds = 5\\ndeadline_seconds = 300\\n' >>/var/lib/tinytx/device.toml"
)

ONLY_SIZE = (
    "cd /var/lib/tinytx && sed -i '/^budgets/d' device.toml && "
    "printf 'budgets = \"/var/lib/tinytx/size.toml\"\\n' >>device.toml && printf 'schema = 1\\n"
    '[budget.model_size]\\nat_most = 10\\nunit = "MB"\\n\' >size.toml && chmod 644 size.toml'
)
NOW = (
    "cd /etc/systemd/system && mkdir -p tinytx-pull.timer.d && printf '[Timer]\\nOnBootSec=\\n"
    "OnActiveSec=1s\\nRandomizedDelaySec=0\\nAccuracySec=1s\\n' >tinytx-pull.timer.d/now.conf && "
    "systemctl daemon-reload && systemctl restart tinytx-pull.timer"
)


def prepared_by_its_script_twice(device: Device) -> str:
    """The second time nothing is changed."""
    device.send_input()
    dry = device.prepare(WHEELS, "--ssh-user carrier --class pi-4 --dry-run")
    assert "would: makes the user tinytx" in dry
    assert device.ssh("getent passwd tinytx", check=False).returncode != 0, "--dry-run did it"
    began = time.monotonic()
    first = device.prepare(WHEELS, "--ssh-user carrier --class pi-4")
    took = time.monotonic() - began
    second = device.prepare(WHEELS, "--ssh-user carrier --class pi-4")
    assert "the service answers: empty" in first
    assert "nothing to change" in second, second
    device.ssh(SHORT)
    return f"{took:.0f} s the first time, {len(first.splitlines())} lines"


def hardened_and_limited(device: Device) -> str:
    """The exposure that systemd computes for the running units, and the limits in force."""
    told = []
    for unit in ("serve", "watch", "pull"):
        said = device.ssh(f"systemd-analyze security tinytx-{unit}.service | tail -1").stdout
        figure = float(said.partition("service: ")[2].split()[0])
        assert figure <= 3.0, said
        told.append(f"{unit} {figure}")
    group = "/sys/fs/cgroup/system.slice/tinytx-serve.service"
    said = device.ssh(f"cat {group}/memory.max {group}/memory.swap.max {group}/pids.max").stdout
    assert said.split()[1:] == ["0", "128"], said
    assert 511_995_904 <= int(said.split()[0]) <= 512_000_000, said  # whole pages
    return "exposure " + ", ".join(told)


def who_may_do_what(device: Device) -> str:
    """``carrier`` may run the device half as tinytx, and nothing else by sudo."""
    assert device.status()["store"] == "/var/lib/tinytx"
    for words in (
        "sudo -n id",
        "sudo -n -u tinytx id",
        "sudo -n /opt/tinytx/bin/tinytx release status",
        "sudo -n -u tinytx /opt/tinytx/bin/tinytx serve --store /var/lib/tinytx",
        "cat /var/lib/tinytx/device.toml",
    ):
        assert device.ssh(words, "carrier", check=False).returncode != 0, words
    return "five other commands refused"


def deployed_and_rolled_back(device: Device) -> str:
    """The first release, a second, the same again, and back."""
    told = []
    for name in ("one", "two", "two"):
        began = time.monotonic()
        ended = device.deploy(name)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        answer = json.loads(ended.stdout)["devices"][0]
        told.append(f"{answer['files_sent']} files in {time.monotonic() - began:.0f} s")
        assert device.settled()["current"] == device.id(name)
        assert device.serves() == device.id(name)
    ended = device.tinytx("rollback", "vm")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    until = time.monotonic() + 60
    while device.serves() != device.id("one"):
        assert time.monotonic() < until
    return "; ".join(told) + "; back to the first"


def a_bad_release_stays_out(device: Device) -> str:
    """Golden tokens that no machine reproduces: the proof refuses them, the old one is served."""
    before = device.settled()["current"]
    ended = device.deploy("bad")
    assert ended.returncode in (7, 8, 9), ended.stdout + ended.stderr
    after = device.settled()
    assert after["current"] == before == device.serves()
    (line,) = (one for one in after["releases"] if one["id"] == device.id("bad"))
    assert line["state"] == "rolled-back", line
    return f"exit {ended.returncode}: {line['why']}"


def connections_outlive_a_restart(device: Device) -> str:
    """Three restarts under load lose nothing; clients wait at the socket."""
    began = device.ssh(
        f"python3 {INPUT}/inside.py ask 40 >/run/asked & "
        f"for i in 1 2 3; do sleep 8; systemctl restart {SERVICE}; done; wait; cat /run/asked"
    )
    said = json.loads(began.stdout)
    assert said["failed"] == [] and said["answered"] > 3, said
    return f"{said['answered']} answered, none failed, the longest wait {said['longest']} s"


def no_start_limit_locks_the_way_back(device: Device) -> str:
    """Nine kills in a row: a default unit refuses the sixth start and closes its socket."""
    for _ in range(9):
        device.ssh(f"systemctl kill -s KILL {SERVICE}; sleep 0.3", check=False)
        device.ssh(f"systemctl start --no-block {SERVICE}", check=False)
    served = device.serves()
    state = device.ssh(f"systemctl is-active {SERVICE} tinytx-serve.socket").stdout.split()
    assert state == ["active", "active"], state
    restarts = device.ssh(f"systemctl show -P NRestarts {SERVICE}").stdout.strip()
    return f"serves {served[:12]} after 9 kills; restarts by itself: {restarts}"


def a_release_that_exhausts_memory_is_taken_back(device: Device) -> str:
    """The limit shrinks beneath the service while a new release is on trial."""
    before = device.settled()["current"]
    new = "two" if before == device.id("one") else "one"
    device.ssh(STILL + "printf 'watch_seconds = 200\\ndeadline_seconds = 400\\n' >>"
               "/var/lib/tinytx/device.toml")  # fmt: skip
    process = device.begun(*device.deploy_words(new))
    try:
        until = time.monotonic() + 400
        while device.inside("health", "60").get("release") != device.id(new):
            assert time.monotonic() < until, "the new release was never served"
            time.sleep(1)
        device.ssh(f"systemctl set-property --runtime {SERVICE} MemoryMax=20M")
        until = time.monotonic() + 120
        while "oom-kill" not in (
            log := device.ssh(f"journalctl -b -o cat -u {SERVICE} | grep -i oom | tail -3",
                              check=False).stdout
        ):  # fmt: skip
            device.inside("ask", "1")
            assert time.monotonic() < until, f"no oom-kill: {log}"
    finally:
        device.ssh(f"systemctl set-property --runtime {SERVICE} MemoryMax=512000000", check=False)
    assert device.serves() == before
    out, err = process.communicate(timeout=600)
    after = device.settled()
    assert after["current"] == before, after
    assert process.returncode != 0, out + err
    (line,) = (one for one in after["releases"] if one["id"] == device.id(new))
    assert "the kernel killed the service for want of memory" in line["why"], line
    device.ssh(SHORT)
    return f"{log.splitlines()[-1]}; {line['state']}: {line['why']}; deploy: {process.returncode}"


def pulled_by_the_timer(device: Device) -> str:
    """The unit that the timer starts fetches a signed release from a web server of the workstation,
    proves it (by its size: an emulated machine proves no speed) and has it committed."""
    before = device.settled()["current"]
    new = "two" if before == device.id("one") else "one"
    with device.channel(new) as address:
        said = device.prepare(WHEELS, f"--ssh-user carrier --pull {address}")
        assert "tinytx-pull.timer" in said, said
        device.ssh(ONLY_SIZE)
        began = time.monotonic()
        device.ssh(NOW)
        while device.settled()["current"] == before:
            assert time.monotonic() - began < 600, pull_log(device)
            time.sleep(3)
        took = time.monotonic() - began
        told = device.settled()
        assert told["current"] == device.id(new) == device.serves()
        assert told["trust"] == "signatures"
        device.ssh("systemctl start tinytx-pull.service")  # nothing new: it says so and ends well
        again = pull_log(device).splitlines()[-1]
    device.ssh(
        "systemctl disable --now tinytx-pull.timer; rm -rf /etc/systemd/system/tinytx-pull.timer.d "
        "/etc/tinytx/pull.env /var/lib/tinytx/allowed_signers; systemctl daemon-reload; "
        "sed -i '/^budgets/d' /var/lib/tinytx/device.toml"
    )
    return f"committed {took:.0f} s after the timer began; again: {again}"


def pull_log(device: Device) -> str:
    return device.ssh("journalctl -b -o cat -u tinytx-pull.service").stdout.strip()


def a_clock_of_the_past(device: Device) -> str:
    """Set back by decades: what is served goes on, and a release still arrives."""
    before = device.settled()["current"]
    new = "two" if before == device.id("one") else "one"
    device.ssh("date -s 2001-09-09")
    said = device.prepare(WHEELS, "--ssh-user carrier")
    assert "the clock says 2001-09-09" in said, said
    ended = device.deploy(new)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert device.settled()["current"] == device.id(new) == device.serves()
    device.ssh(f"date -s @{int(time.time())}")
    return "prepare.sh says it; a deployment ends committed"


def a_kernel_without_the_memory_controller(device: Device) -> str:
    """A stock Raspberry Pi: limits are ignored, and everything that should says so."""
    device.machine.stop()
    device.machine.start("cgroup_disable=memory")
    served = device.serves()
    device.ssh(f"test ! -e /sys/fs/cgroup/system.slice/{SERVICE}/memory.max")
    notes = " ".join(device.status()["notes"])
    assert "MemoryMax is ignored" in notes, notes
    doctor = device.ssh("/opt/tinytx/bin/tinytx doctor", timeout=300, check=False)
    (row,) = (
        line for line in (doctor.stdout + doctor.stderr).splitlines() if "memory limit" in line
    )
    assert "cannot be proven" in row, row
    said = device.prepare(WHEELS, "--ssh-user carrier")
    assert "has no memory controller: MemoryMax" in said, said
    device.ssh("printf 'console=tty1 root=/dev/vda\\n' >/run/cmdline.txt")
    said = device.ssh(
        f"TINYTX_CMDLINE=/run/cmdline.txt sh {INPUT}/deploy/prepare.sh {WHEELS} --kernel-parameters"
    ).stdout
    assert "RESTART the machine" in said, said
    line = device.ssh("cat /run/cmdline.txt").stdout
    assert line == "console=tty1 root=/dev/vda cgroup_enable=memory cgroup_memory=1\n", line
    device.machine.stop()
    device.machine.start()
    device.serves()
    return f"serves {served[:12]}; prepare.sh, doctor and status say it"


def taken_away(device: Device) -> str:
    """``--undo`` leaves the store, ``--undo --purge`` nothing, and both can be repeated."""
    said = device.prepare("--undo")
    assert "leaves /var/lib/tinytx" in said, said
    device.prepare("--undo --purge")
    left = device.ssh(
        "ls -d /opt/tinytx* /etc/tinytx /var/lib/tinytx /etc/systemd/system/tinytx* "
        "/etc/sudoers.d/tinytx; getent passwd tinytx; systemctl list-units --all 'tinytx*' -q",
        check=False,
    ).stdout
    assert left == "", left
    assert "nothing to change" in device.prepare("--undo")
    return "nothing is left"


def prepared_over_ssh(device: Device) -> str:
    """`tinytx deploy --prepare` on a bare machine, wheels fetched for it here, and a deployment."""
    began = time.monotonic()
    ended = device.tinytx("deploy", "--prepare", "pi", timeout=1800)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    took = time.monotonic() - began
    assert "the service answers: empty" in ended.stderr, ended.stderr
    again = device.tinytx("deploy", "--prepare", "pi", timeout=1800)
    assert "nothing to change" in again.stderr, again.stderr
    device.ssh(SHORT)
    ended = device.tinytx(*device.deploy_words("one", "pi"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert device.serves() == device.id("one")
    return f"prepared in {took:.0f} s; a deployment ends committed"


BEFORE = (
    prepared_by_its_script_twice,
    hardened_and_limited,
    who_may_do_what,
    deployed_and_rolled_back,
    a_bad_release_stays_out,
    connections_outlive_a_restart,
    no_start_limit_locks_the_way_back,
    a_release_that_exhausts_memory_is_taken_back,
    pulled_by_the_timer,
    a_clock_of_the_past,
    a_kernel_without_the_memory_controller,
)
LAST = (taken_away, prepared_over_ssh)
