"""The peak of resident memory: the kernel's figure, children included."""

import subprocess
import sys
from pathlib import Path

from tinytx.train.memory import high_water, larger, peak_memory


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_memory()
    assert before is not None
    block = bytearray(b"x") * 60_000_000
    held = peak_memory()
    del block
    after = peak_memory()
    assert held is not None and after is not None
    assert after >= held - 1_000_000  # the kernel counts in batches of pages
    assert held >= 60_000_000
    assert after >= before - 1_000_000


def test_a_child_that_is_alive_counts() -> None:
    code = "x = bytearray(b'x') * 50_000_000\nprint('held', flush=True)\ninput()"
    alone = peak_memory()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        together = peak_memory()
        child.communicate("\n")
    assert alone is not None and together is not None
    assert together >= alone + 49_000_000


def test_a_kernel_that_tells_no_peak_gives_none(tmp_path: Path) -> None:
    assert high_water(tmp_path / "status") is None
    for text in ("Name: x\n", "VmHWM:\n", "VmHWM:\tmuch kB\n"):
        (tmp_path / "status").write_text(text)
        assert high_water(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name: x\nVmHWM:\t   12 kB\n")
    assert high_water(tmp_path / "status") == 12 * 1_024


def test_the_larger_of_two_peaks_may_be_the_only_one_known() -> None:
    assert larger(None, None) is None
    assert larger(3, None) == 3
    assert larger(3, 4) == 4


def test_an_eager_run_does_not_load_the_compiler(tmp_path: Path) -> None:
    code = (
        "import sys, torch\n"
        "from tinytx.train.memory import leave_out_compiler\n"
        "leave_out_compiler()\n"
        "leave_out_compiler()  # as for a second job\n"
        "weight = torch.ones(3, requires_grad=True)\n"
        "optimizer = torch.optim.AdamW([weight], lr=0.5, fused=True)\n"
        "weight.sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "assert weight.requires_grad and float(weight[0]) < 0.6\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
