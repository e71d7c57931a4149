from __future__ import annotations

import numpy as np

from edgeup.runtime.memory import Memory, forget_peak, memory


def test_memory_is_what_the_kernel_says(tmp_path):
    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n")
    assert memory(tmp_path) == Memory(resident=1 << 20, peak=2 << 20)
    forget_peak(tmp_path)
    assert (tmp_path / "proc/self/clear_refs").read_text() == "5"


def test_where_the_kernel_says_nothing_there_is_none(tmp_path):
    assert memory(tmp_path) is None
    forget_peak(tmp_path)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tx\n")
    assert memory(tmp_path) is None


def test_a_large_array_shows_in_this_process():
    before = memory()
    held = np.ones(64 << 20, np.uint8)
    after = memory()
    assert held.sum() == 64 << 20
    assert before is not None
    assert after is not None
    assert after.peak - before.resident >= 50 << 20
