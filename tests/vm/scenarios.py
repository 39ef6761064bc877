"""What a container cannot show, tried on the virtual machine. Each function is one scenario; it
returns what was seen, in a line, and raises AssertionError where it is not as it should be."""

import json
import time

from device import INPUT, ONLY_SIZE, SHORT, STILL, Device

WHEELS = f"--wheels {INPUT}/wheels"
CMDLINE = "/boot/firmware/cmdline.txt"
"""The kernel's parameters on a Raspberry Pi; here this file is read by the tests only."""
STOCK = "console=tty1 cgroup_disable=memory"
BITE = (
    "systemd-run --quiet --wait --collect -p MemoryMax=30M -p MemorySwapMax=0 "
    "python3 -c 'b\"x\" * 100_000_000'"
)
"""Ends well only where a limit is ignored."""
SERVICE = "tinytx-serve.service"
NOW = (
    "cd /etc/systemd/system && mkdir -p tinytx-pull.timer.d && printf '[Timer]\\nOnBootSec=\\n"
    "OnActiveSec=1s\\nOnUnitInactiveSec=30s\\nRandomizedDelaySec=0\\nAccuracySec=1s\\n' "
    ">tinytx-pull.timer.d/now.conf && "
    "systemctl daemon-reload && systemctl restart tinytx-pull.timer"
)


def prepared_by_its_script_twice(device: Device) -> str:
    """The second time nothing is changed. What was on the disk before is remembered for the end."""
    device.send_input()
    device.ssh(
        f"mkdir -p /boot/firmware && printf '{STOCK}\\n' >{CMDLINE} && "
        f"python3 {INPUT}/inside.py disk >{INPUT}/before.json"
    )
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
    """Golden tokens that no machine reproduces: the proof refuses them, the old one is served.
    Where the machine is too slow to try them, which is INVALID and allowed here, the service does.
    """
    before = device.settled()["current"]
    ended = device.deploy("bad")
    refused = "the golden tokens of it do not fit its model"
    late = ended.returncode == 10 and f"the service refused it: {refused}" in ended.stdout
    assert ended.returncode in (7, 8, 9) or late, ended.stdout + ended.stderr
    after = device.settled()
    assert after["current"] == before == device.serves()
    (line,) = (one for one in after["releases"] if one["id"] == device.id("bad"))
    assert line["state"] == "rolled-back", line
    return f"exit {ended.returncode}: {line['why']}"


def connections_outlive_a_restart(device: Device) -> str:
    """Three restarts under load lose nothing; clients wait at the socket, and are answered before,
    between and after."""
    said = device.ssh(
        f"rm -f /run/stop; python3 {INPUT}/inside.py ask 600 /run/stop >/run/asked & sleep 15; "
        f"for i in 1 2 3; do cut -d' ' -f1 /proc/uptime; systemctl restart {SERVICE}; "
        "cut -d' ' -f1 /proc/uptime; sleep 15; done; touch /run/stop; wait; cat /run/asked",
        timeout=900,
    ).stdout.splitlines()
    asked, times = json.loads(said[-1]), [float(line) for line in said[:-1]]
    assert asked["failed"] == [], asked
    whiles = list(zip([0.0, *times[1::2]], [*times[::2], 1e9], strict=True))
    counts = [sum(begin < at <= end for at in asked["answered"]) for begin, end in whiles]
    assert min(counts) > 0, (counts, times, asked)
    took = ", ".join(
        f"{end - begin:.1f}" for begin, end in zip(times[::2], times[1::2], strict=True)
    )
    return (
        f"{len(asked['answered'])} answered (before, between, after: {counts}), none failed, the "
        f"longest wait {asked['longest']} s; a restart takes {took} s"
    )


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
        while "oom" not in (
            log := device.ssh(f"journalctl -b -o cat -u {SERVICE} | grep -i oom | tail -3",
                              check=False).stdout.lower()
        ):  # fmt: skip
            device.inside("ask", "1", "/run/never")
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
    proves it (by its size: an emulated machine proves no speed) and has it committed. One that was
    never here: what was taken back is not pulled again."""
    before = device.settled()["current"]
    with device.channel("three") as address:
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
        assert told["current"] == device.id("three") == device.serves()
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
    return device.ssh("journalctl -b -o cat -t tinytx -u tinytx-pull.service").stdout.strip()


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
    """A stock Raspberry Pi: limits are ignored, and everything that should says so. With the
    parameters that ``prepare.sh`` writes it starts anew, and the limit holds."""
    assert device.ssh(BITE, check=False).returncode != 0, "no limit holds to begin with"
    device.machine.stop()
    device.machine.start(parameters(STOCK))
    served = device.serves()
    group = f"/sys/fs/cgroup/system.slice/{SERVICE}"
    device.ssh(f"test ! -e {group}/memory.max")
    device.ssh(BITE)
    notes = " ".join(device.status()["notes"])
    assert "MemoryMax is ignored" in notes, notes
    assert "cannot be proven" in memory_row(device)
    said = device.prepare(WHEELS, "--ssh-user carrier")
    assert "has no memory controller: MemoryMax" in said, said
    assert "--kernel-parameters turns it on" in said, said
    said = device.prepare(WHEELS, "--ssh-user carrier --kernel-parameters")
    assert "RESTART the machine" in said, said
    line = device.ssh(f"cat {CMDLINE}").stdout
    assert line == "console=tty1 cgroup_enable=memory cgroup_memory=1\n", line
    device.machine.stop()
    device.machine.start(parameters(line))
    assert device.serves() == served
    assert "cgroup_enable=memory cgroup_memory=1" in device.ssh("cat /proc/cmdline").stdout
    limit = device.ssh(f"cat {group}/memory.max").stdout.strip()
    assert 511_995_904 <= int(limit) <= 512_000_000, limit
    assert device.ssh(BITE, check=False).returncode != 0, "the limit does not bite"
    assert "MemoryMax" not in " ".join(device.status()["notes"])
    assert "cannot be proven" not in memory_row(device)
    return (
        f"without: serves {served[:12]}, 100 MB fit into a limit of 30 MB, and prepare.sh, doctor "
        f"and status say it; started with {line.strip()!r}: memory.max {limit}, the same is killed"
    )


def parameters(line: str) -> str:
    """Of a line as it stands in cmdline.txt, what is not about the console."""
    return " ".join(word for word in line.split() if not word.startswith("console="))


def memory_row(device: Device) -> str:
    """What ``tinytx doctor`` there says about the memory limit."""
    doctor = device.ssh("/opt/tinytx/bin/tinytx doctor", timeout=300, check=False)
    lines = (doctor.stdout + doctor.stderr).splitlines()
    (row,) = (line for line in lines if "memory limit" in line)
    return row


def taken_away(device: Device) -> str:
    """``--undo`` leaves the store, ``--undo --purge`` nothing, and both can be repeated. Every
    other file of the disk is what it was before the first preparation."""
    served = device.settled()["current"]
    said = device.prepare("--undo")
    assert "leaves /var/lib/tinytx" in said, said
    kept = device.ssh("ls /var/lib/tinytx/releases").stdout.split()
    assert served in kept, (served, kept)
    device.prepare("--undo --purge")
    left = device.ssh(
        "ls -d /opt/tinytx* /etc/tinytx /var/lib/tinytx /etc/systemd/system/tinytx* "
        "/etc/sudoers.d/tinytx; getent passwd tinytx; systemctl list-units --all 'tinytx*' -q; "
        "pgrep -a tinytx",
        check=False,
    ).stdout
    assert left == "", left
    assert "nothing to change" in device.prepare("--undo")
    before = json.loads(device.ssh(f"cat {INPUT}/before.json").stdout)
    now = device.inside("disk")
    differing = {
        path: (before.get(path), now.get(path))
        for path in before.keys() | now.keys()
        if before.get(path) != now.get(path)
    }
    assert differing == {}, differing
    return f"nothing is left; {len(before)} files and folders are what they were before"


def prepared_over_ssh(device: Device) -> str:
    """`tinytx deploy --prepare` on a bare machine without a way to an index, wheels fetched for it
    here; a deployment, and `tinytx devices`."""
    device.ssh("ip route del default")
    assert device.ssh("ip route get 192.0.2.1", check=False).returncode != 0, "a way out"
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
    (deployed,) = json.loads(ended.stdout)["devices"]
    assert device.serves() == device.id("one")
    ended = device.tinytx("devices", "pi", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (standing,) = json.loads(ended.stdout)["devices"]
    assert standing["status"]["current"] == device.id("one"), standing
    row = next(line for line in ended.stderr.splitlines() if "committed" in line)
    return (
        f"prepared in {took:.0f} s; committed in {deployed['seconds']:.0f} s; devices: "
        + " ".join(row.replace("│", " ").split())
    )


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
