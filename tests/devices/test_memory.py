"""The report of memory, on any machine."""

from __future__ import annotations

import torch

from modules.devices.memory import cuda_figures, free_bytes, memory_report


def test_ram_adds_up_and_sees_a_large_tensor() -> None:
    before = memory_report()["ram"]
    assert before["free"] + before["used"] == before["total"]
    assert before["total"] > 2**28
    kept = torch.ones(2**25)
    after = memory_report()["ram"]
    assert after["used"] - before["used"] > 0.8 * kept.numel() * 4


def test_cuda_is_a_reason_where_there_is_no_card() -> None:
    report = memory_report()["cuda"]
    if torch.cuda.is_available():
        assert report.keys() == {"system", "active", "allocated", "reserved", "inactive", "events"}
    else:
        assert report == {"error": "unavailable"}


def test_cuda_figures_have_the_shape_of_the_interface() -> None:
    stats = {
        "active_bytes.all.current": 1,
        "active_bytes.all.peak": 2,
        "allocated_bytes.all.current": 3,
        "allocated_bytes.all.peak": 4,
        "reserved_bytes.all.current": 5,
        "reserved_bytes.all.peak": 6,
        "inactive_split_bytes.all.current": 7,
        "inactive_split_bytes.all.peak": 8,
        "num_alloc_retries": 9,
        "num_ooms": 10,
    }
    assert cuda_figures(30, 100, stats) == {
        "system": {"free": 30, "used": 70, "total": 100},
        "active": {"current": 1, "peak": 2},
        "allocated": {"current": 3, "peak": 4},
        "reserved": {"current": 5, "peak": 6},
        "inactive": {"current": 7, "peak": 8},
        "events": {"retries": 9, "oom": 10},
    }


def test_free_bytes_of_the_machine() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < memory_report()["ram"]["total"]
