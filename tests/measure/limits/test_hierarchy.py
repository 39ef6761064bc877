"""Recorded machines of every kind: where a group could be made, or why nowhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure.limits.groups import Place
from tinytx.measure.limits.hierarchy import find_place
from tinytx.measure.limits.parameters import Obstacle

Tree = Callable[..., Path]

V1 = {
    "proc/self/cgroup": "9:name=systemd:/\n4:memory:/job/7\n0::/\n",
    "proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t9\t1\n",
    "sys/fs/cgroup/memory/job/7/memory.limit_in_bytes": "9223372036854771712\n",
}
V2 = {
    "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "sys/fs/cgroup/cgroup.subtree_control": "cpu memory pids\n",
    "sys/fs/cgroup/cgroup.procs": "",
    "sys/fs/cgroup/user.slice/cgroup.controllers": "cpu memory pids\n",
    "sys/fs/cgroup/user.slice/cgroup.subtree_control": "cpu memory pids\n",
    "sys/fs/cgroup/user.slice/cgroup.procs": "",
    "sys/fs/cgroup/user.slice/session-1.scope/cgroup.controllers": "cpu memory pids\n",
    "sys/fs/cgroup/user.slice/session-1.scope/cgroup.subtree_control": "",
    "sys/fs/cgroup/user.slice/session-1.scope/cgroup.procs": "1\n",
}
DELEGATED = {
    "proc/self/cgroup": "0::/mine\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/mine/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/mine/cgroup.subtree_control": "",
    "sys/fs/cgroup/mine/cgroup.procs": "1\n",
}
PI_CMDLINE = (
    "coherent_pool=1M cgroup_disable=memory vc_mem.mem_size=0x3fc00000  "
    "console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait"
)
PI = {  # Raspberry Pi OS 12: version 2 only, and a kernel without the old memory controller
    "proc/self/cgroup": "0::/user.slice\n",
    "proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t70\t1\npids\t0\t7\t1\n",
    "proc/cmdline": PI_CMDLINE,
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n",
}


def obstacle(root: Path) -> Obstacle:
    with find_place(root) as place:
        assert isinstance(place, Obstacle)
        return place


def test_version_1_makes_groups_below_this_process_s_own(tree: Tree, kernel: None) -> None:
    root = tree("vm", V1)
    with find_place(root) as place:
        assert place == Place(1, root / "sys/fs/cgroup/memory/job/7")


def test_in_a_container_the_mounted_folder_is_its_own_group(tree: Tree, kernel: None) -> None:
    files = {
        "proc/self/cgroup": "4:hugetlb,memory:/docker/abc\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1\n",
    }
    root = tree("vm", files)
    with find_place(root) as place:
        assert place == Place(1, root / "sys/fs/cgroup/memory")


def test_version_2_takes_the_nearest_group_that_passes_the_controller_on(
    tree: Tree, kernel: None
) -> None:
    root = tree("vm", V2)
    with find_place(root) as place:
        assert place == Place(2, root / "sys/fs/cgroup/user.slice")
    assert not list(root.rglob("tinytx-*"))


def test_a_kernel_that_leaves_memory_out_of_proc_cgroups_may_have_it_all_the_same(
    tree: Tree, kernel: None
) -> None:
    root = tree("vm", {**V2, "proc/cgroups": PI["proc/cgroups"]})
    with find_place(root) as place:
        assert isinstance(place, Place)


def test_in_a_delegated_group_this_process_steps_aside_and_comes_back(
    tree: Tree, kernel: None
) -> None:
    root = tree("vm", DELEGATED)
    mine = root / "sys/fs/cgroup/mine"
    with find_place(root) as place:
        assert place == Place(2, mine)
        assert (mine / "cgroup.subtree_control").read_text() == "+memory"
        aside = mine / f"tinytx-{os.getpid()}-self"
        assert (aside / "cgroup.procs").read_text() == str(os.getpid())
    assert (mine / "cgroup.subtree_control").read_text() == "-memory"
    assert (mine / "cgroup.procs").read_text() == str(os.getpid())
    assert not aside.exists()


def test_a_stock_raspberry_pi_is_told_the_two_parameters_and_their_file(tree: Tree) -> None:
    found = obstacle(tree("pi4", PI))
    assert "memory controller is off, as Raspberry Pi OS starts its kernel" in found.reason
    assert "`docker run --memory` is ignored" in found.reason
    assert found.remedy == (
        "add cgroup_enable=memory cgroup_memory=1 to the end of the one line in "
        "/boot/firmware/cmdline.txt and reboot"
    )


@pytest.mark.parametrize(
    ("changes", "reason", "remedy"),
    [
        (
            {"boot/firmware/cmdline.txt": None, "boot/cmdline.txt": "rootwait\n"},
            "is off",
            "in /boot/cmdline.txt and reboot",
        ),
        (
            {"boot/firmware/cmdline.txt": "rootwait cgroup_enable=memory\n"},
            "/boot/firmware/cmdline.txt has cgroup_enable=memory already",
            "reboot",
        ),
        (
            {"proc/cmdline": f"{PI_CMDLINE} cgroup_enable=memory"},
            "this kernel ignores cgroup_enable=memory",
            "update the kernel",
        ),
        (  # Raspberry Pi OS 11: the old version, and the controller switched off inside the kernel
            {
                "proc/cmdline": "rootwait",
                "proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t70\t0\n",
            },
            "is off",
            "cgroup_enable=memory",
        ),
    ],
)
def test_the_other_states_of_a_raspberry_pi(
    tree: Tree, changes: dict[str, str | None], reason: str, remedy: str
) -> None:
    found = obstacle(tree("pi4", {**PI, **changes}))
    assert reason in found.reason
    assert remedy in found.remedy


BOTH = "rootwait cgroup_enable=memory cgroup_memory=1 cgroup_disable=memory"
FILE = "boot/firmware/cmdline.txt"


@pytest.mark.parametrize(
    ("changes", "reason", "remedy"),
    [
        (  # the last one wins, whoever wrote it
            {"proc/cmdline": f"{PI_CMDLINE} {BOTH}", FILE: f"{BOTH}\n"},
            f"/{FILE} has cgroup_disable=memory, after cgroup_enable=memory, and the last one wins",
            f"take cgroup_disable=memory out of /{FILE} and reboot",
        ),
        (
            {"proc/cmdline": f"cgroup_enable=memory {PI_CMDLINE}"},
            "cgroup_disable=memory comes after cgroup_enable=memory",
            f"put cgroup_enable=memory at the end of the one line in /{FILE}",
        ),
        (
            {FILE: "rootwait\ncgroup_enable=memory cgroup_memory=1\n"},
            "on a line of its own, and only the first line is read",
            f"put cgroup_enable=memory at the end of the first line of /{FILE} and reboot",
        ),
        (
            {FILE: "rootwait cgroup_enable=cpuset,memory\n", "proc/stat": "cpu 1\nbtime 1\n"},
            "has cgroup_enable=memory already, which counts from the next start",
            "reboot",
        ),
        (
            {FILE: "rootwait cgroup_enable=memory\n", "proc/stat": "cpu 1\nbtime 99999999999\n"},
            "the kernel was started after that was written and was not given it",
            "look for `cmdline=` or `os_prefix=` in config.txt",
        ),
    ],
)
def test_advice_that_did_not_help_is_not_given_again(
    tree: Tree, changes: dict[str, str | None], reason: str, remedy: str
) -> None:
    found = obstacle(tree("pi4", {**PI, **changes}))
    assert reason in found.reason
    assert found.remedy.startswith(remedy)


def test_a_pi_in_a_container_is_known_and_advised_to_go_to_the_host(tree: Tree) -> None:
    hidden = {".dockerenv": "", FILE: None, "proc/device-tree/model": None}
    found = obstacle(tree("pi4", {**PI, **hidden}))
    assert "as Raspberry Pi OS starts its kernel" in found.reason
    assert found.remedy.startswith("on the host, not in this container: add cgroup_enable=memory")


@pytest.mark.parametrize("files", [V1, V2, DELEGATED])
def test_in_a_container_nobody_is_sent_to_systemd(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    root = tree("vm", {**files, "run/.containerenv": ""})

    def forbidden(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "tinytx bench --container" in obstacle(root).remedy


@pytest.mark.parametrize(
    ("files", "reason", "remedy"),
    [
        (
            {"proc/cmdline": "quiet cgroup_enable=memory cgroup_disable=memory"},
            "cgroup_disable=memory, and cgroup_enable=memory beside it did not help",
            "take cgroup_disable=memory out",
        ),
        (
            {"proc/cmdline": "cgroup_enable=memory", "proc/cgroups": "memory\t0\t1\t0\n"},
            "which ignores cgroup_enable=memory",
            "use another kernel",
        ),
        (
            {
                "etc/default/grub": 'GRUB_CMDLINE_LINUX="cgroup_enable=memory"\n',
                "proc/cgroups": "memory\t0\t1\t0\n",
            },
            "/etc/default/grub has cgroup_enable=memory already",
            "sudo update-grub",
        ),
        ({"proc/cmdline": "quiet cgroup_disable=memory"}, "cgroup_disable=memory", "take"),
        (
            {
                "proc/cgroups": "memory\t0\t1\t1\n",
                "proc/device-tree/chosen/bootargs": "cgroup_disable=memory rootwait\0",
            },
            "started with cgroup_disable=memory",
            "take",
        ),
        ({"proc/cgroups": "cpu\t0\t1\t1\nmemory\t0\t1\t0\n"}, "is off in this kernel", "enable"),
        ({"proc/cgroups": "cpu\t0\t1\t1\n"}, "there is no memory controller in", "version 2"),
        ({"proc/cgroups": None, "proc/cmdline": None}, "no control groups", "CONFIG_MEMCG"),
    ],
)
def test_other_machines_without_the_controller(
    tree: Tree, files: dict[str, str | None], reason: str, remedy: str
) -> None:
    found = obstacle(tree("vm", {"proc/cmdline": "quiet", **files}))
    assert reason in found.reason
    assert remedy in found.remedy


@pytest.mark.parametrize("files", [V1, V2, DELEGATED])
def test_without_permission_the_remedy_is_root_or_delegation(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    root = tree("vm", files)

    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    found = obstacle(root)
    assert "no permission" in found.reason or "Permission denied" in found.reason
    assert "systemd-run --user --scope -p Delegate=yes" in found.remedy


def test_a_container_with_its_groups_read_only_says_so(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("vm", {**DELEGATED, "proc/self/cgroup": "0::/\n"})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "mounted read-only, as in a container" in obstacle(root).reason


def test_a_controller_that_cannot_be_passed_on_is_an_obstacle_and_nothing_stays(
    tree: Tree, kernel: None
) -> None:
    root = tree("vm", DELEGATED)
    control = root / "sys/fs/cgroup/mine/cgroup.subtree_control"
    control.unlink()
    control.mkdir()  # any error of the kernel: strangers in the group give EBUSY
    found = obstacle(root)
    assert "cannot be passed on" in found.reason
    assert not list(root.rglob("tinytx-*"))
