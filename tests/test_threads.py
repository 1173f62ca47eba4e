"""Threads: as many as affinity, control groups and the user leave, told to the libraries before they load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from atonce import threads
from atonce.errors import UserError
from tests.systems import needs_processes_listed

LIBRARY_VARIABLES = (
    "ATONCE_THREADS",
    "OMP_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "LOCAL_WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIBRARY_VARIABLES:
        # Set first: what a test sets is then taken back, too.
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    monkeypatch.setattr(threads, "_chosen_here", None)


@pytest.fixture
def sixty_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: set(range(64)))


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder that stands for the root of a file system."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def v2(path: str, mounted: str = "/", mount_point: str = "/sys/fs/cgroup") -> dict[str, str]:
    return {
        "proc/self/cgroup": f"0::{path}",
        "proc/self/mountinfo": f"25 1 0:22 / /proc rw - proc proc rw\n31 23 0:28 {mounted} {mount_point} rw,nosuid "
        "shared:9 - cgroup2 cgroup2 rw,nsdelegate",
    }


def v1(path: str, mounted: str = "/") -> dict[str, str]:
    return {
        "proc/self/cgroup": f"12:cpuset:/elsewhere\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}",
        "proc/self/mountinfo": f"33 31 0:30 {mounted} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        f"34 31 0:31 {mounted} /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset",
    }


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        # docker --cpus=2 with a namespace of its own, as is usual with version 2
        (v2("/") | {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        # half a core, and one and a half: rounded up
        (v2("/") | {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (v2("/") | {"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        (v2("/") | {"sys/fs/cgroup/cpu.max": "400000"}, 4),
        # no limit
        (v2("/") | {"sys/fs/cgroup/cpu.max": "max 100000"}, 64),
        (v2("/"), 64),
        ({}, 64),
        # nested: the tightest of the groups above counts
        (
            v2("/user.slice/job.scope/step")
            | {
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/user.slice/job.scope/cpu.max": "1000000 100000",
                "sys/fs/cgroup/user.slice/job.scope/step/cpu.max": "max 100000",
            },
            3,
        ),
        # the group of another
        (v2("/mine") | {"sys/fs/cgroup/theirs/cpu.max": "100000 100000"}, 64),
        # a container that sees the path of the host, with its own group mounted
        (v2("/docker/abc", mounted="/docker/abc") | {"sys/fs/cgroup/cpu.max": "500000 100000"}, 5),
        (
            v2("/docker/abc/inner", mounted="/docker/abc")
            | {"sys/fs/cgroup/cpu.max": "500000 100000", "sys/fs/cgroup/inner/cpu.max": "400000 100000"},
            4,
        ),
        # a path that leads out of what can be seen
        (v2("/../other") | {"sys/fs/cgroup/cpu.max": "700000 100000"}, 7),
        # mounted elsewhere, under a name with a blank
        (v2("/", mount_point="/my\\040groups") | {"my groups/cpu.max": "600000 100000"}, 6),
        # version 1
        (
            v1("/")
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            v1("/")
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            64,
        ),
        (
            v1("/docker/abc", mounted="/docker/abc")
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000",
            },
            5,
        ),
        (
            v1("/slurm/job_7/step_0")
            | {
                "sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us": "800000",
                "sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/slurm/job_7/step_0/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/slurm/job_7/step_0/cpu.cfs_period_us": "100000",
            },
            8,
        ),
        # damaged
        (v2("/") | {"sys/fs/cgroup/cpu.max": "many 0"}, 64),
        ({"proc/self/cgroup": "what", "proc/self/mountinfo": "is - this"}, 64),
    ],
)
def test_the_quota_of_control_groups_limits_the_cores(
    files: dict[str, str], cores: int, tmp_path: Path, sixty_four_cores: None
) -> None:
    assert threads.usable_cores(tree(tmp_path, files)) == cores


def test_a_quota_above_the_affinity_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: {3, 5})
    assert threads.usable_cores(tree(tmp_path, v2("/") | {"sys/fs/cgroup/cpu.max": "800000 100000"})) == 2


def test_logical_cores_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: {0, 1, 4})
    siblings = {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}
    files = {f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": text for i, text in siblings.items()}
    assert threads.physical_cores(tree(tmp_path / "laptop", files)) == 2
    assert threads.physical_cores(tmp_path / "unknown") == 3


def test_this_machine_is_read_as_the_system_has_it() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("the system has no affinity")
    assert 1 <= threads.usable_cores() <= len(os.sched_getaffinity(0))


def test_processes_of_torchrun_share_the_cores(monkeypatch: pytest.MonkeyPatch, sixty_four_cores: None) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 64)
    monkeypatch.setattr(threads, "physical_cores", lambda: 32)
    assert threads.threads_per_process() == 32
    assert threads.decoding_threads() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert threads.threads_per_process() == 4
    assert threads.decoding_threads() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100")
    assert threads.threads_per_process() == 1


def test_the_user_s_number_is_everyone_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: seen.append(count))
    seen: list[int] = []
    threads.set_threads(3)
    assert threads.fixed_threads() == 3
    assert seen == [3]
    assert os.environ["OMP_NUM_THREADS"] == os.environ["RAYON_NUM_THREADS"] == "3"
    assert [threads.at_most(count) for count in (1, 4)] == [1, 3]
    assert threads.decoding_threads() == 3


def test_without_one_decoders_are_as_many_as_asked_for() -> None:
    assert threads.at_most(4) == 4
    assert threads.fixed_threads() is None


@pytest.mark.parametrize(("value", "count"), [("2", 2), ("4,2", 4), ("0", None), ("many", None)])
def test_openmp_s_own_variable_is_the_user_s_number(
    value: str, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    threads.prepare()
    assert os.environ["OMP_NUM_THREADS"] == value
    assert threads.fixed_threads() == count
    # It says nothing of decoding.
    assert threads.at_most(8) == 8


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_number_that_is_none_is_refused_in_a_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_THREADS", value)
    threads.prepare()
    with pytest.raises(UserError, match=f"ATONCE_THREADS is '{value}'; expected a number of threads, 1 or more"):
        threads.fixed_threads()
    with pytest.raises(UserError, match="0 threads; expected 1 or more"):
        threads.set_threads(0)


def test_processes_that_share_the_work_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads_per_process", lambda: 16)
    assert "ATONCE_THREADS" not in threads.shared_environment(1)
    assert threads.shared_environment(4)["ATONCE_THREADS"] == "4"
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert threads.shared_environment(4)["ATONCE_THREADS"] == "1"


AFTER_IMPORT = """
import json, os, sys
if {torch_first}: import torch
import atonce
import torch
from atonce import threads
found = {{name: os.environ.get(name) for name in {names}}}
print(json.dumps(found | {{"threads": torch.get_num_threads(), "spins": threads.spins_while_waiting()}}))
"""


def after_import(*, torch_first: bool = False, **environment: str) -> dict[str, object]:
    """Import atonce in a new process and say what torch and the environment have come to."""
    clean = {name: value for name, value in os.environ.items() if name not in LIBRARY_VARIABLES}
    code = AFTER_IMPORT.format(names=LIBRARY_VARIABLES, torch_first=torch_first)
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=clean | environment, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_importing_atonce_first_lets_threads_wait_without_spinning() -> None:
    found = after_import()
    assert (found["GOMP_SPINCOUNT"], found["KMP_BLOCKTIME"], found["OMP_WAIT_POLICY"]) == ("1000", "1", None)
    assert not found["spins"]


def test_after_torch_the_waiting_cannot_be_changed_but_the_number_can() -> None:
    found = after_import(torch_first=True, ATONCE_THREADS="3")
    assert found["GOMP_SPINCOUNT"] is None
    assert found["spins"]
    assert found["threads"] == 3


def test_a_user_s_waiting_is_left_alone() -> None:
    found = after_import(OMP_WAIT_POLICY="active", ATONCE_THREADS="1")
    assert (found["GOMP_SPINCOUNT"], found["OMP_WAIT_POLICY"], found["threads"]) == (None, "active", 1)


@needs_processes_listed
def test_torchrun_s_one_thread_is_not_the_user_s(tmp_path: Path) -> None:
    """torchrun sets OMP_NUM_THREADS=1 for its processes unless it is set; each is to have its share of the cores."""
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import os, subprocess, sys\n"
        "os.environ.update(OMP_NUM_THREADS='1', TORCHELASTIC_RUN_ID='x', LOCAL_WORLD_SIZE='1')\n"
        "code = 'from atonce import threads; threads.prepare(); print(threads.fixed_threads())'\n"
        "sys.exit(subprocess.run([sys.executable, '-c', code]).returncode)\n"
    )
    clean = {name: value for name, value in os.environ.items() if name not in LIBRARY_VARIABLES}
    for own, told in (({}, "None"), ({"OMP_NUM_THREADS": "1"}, "1")):
        words = [sys.executable, str(launcher)]
        done = subprocess.run(words, env=clean | own, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == told
