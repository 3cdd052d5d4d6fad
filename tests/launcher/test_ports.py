"""Real sockets: taken, free, fading, forbidden, nonsense."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modules.launcher.ports import bind_port, port_owner
from modules.launcher.problems import ExitCode, LaunchProblem
from tests.paths import ROOT

HOST = "127.0.0.1"


def free_run(length: int) -> int:
    """The first of ``length`` ports in a row that are free."""
    for start in range(24000, 30000, length):
        try:
            for port in range(start, start + length):
                with socket.socket() as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return start
    raise AssertionError("no free ports")


def test_socket_listens_at_once() -> None:
    with bind_port(HOST, 0) as listener:
        with socket.create_connection(listener.getsockname()):
            pass
        assert not listener.get_inheritable()


def test_taken_port_is_named_with_its_owner_and_a_remedy() -> None:
    with bind_port(HOST, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(LaunchProblem) as caught:
            bind_port(HOST, port)
    problem = caught.value
    assert problem.code == ExitCode.PORT
    assert f"Port {port} on {HOST} is taken" in problem.message
    assert f"--port {port + 1}" in problem.screen()
    if sys.platform.startswith("linux"):
        assert f"(process {os.getpid()})" in problem.message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_owner_is_another_process() -> None:
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        assert port_owner(port).endswith(f"(process {other.pid})")
        other.communicate("\n")
    assert port_owner(port) == ""


def test_without_a_wish_the_next_free_port_is_taken() -> None:
    start = free_run(3)
    with bind_port(HOST, None, start) as first, bind_port(HOST, None, start) as second:
        assert [s.getsockname()[1] for s in (first, second)] == [start, start + 1]
        with pytest.raises(LaunchProblem, match=f"Port {start} "):
            bind_port(HOST, None, start, search=1)
        with pytest.raises(LaunchProblem, match=f"Every port from {start} to {start + 1}"):
            bind_port(HOST, None, start, search=2)


def test_wished_port_never_moves() -> None:
    start = free_run(2)
    with bind_port(HOST, start), pytest.raises(LaunchProblem):
        bind_port(HOST, start)


def test_restart_takes_the_port_of_fading_connections() -> None:
    with bind_port(HOST, 0) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection((HOST, port))
        served, _ = listener.accept()
        served.close()  # the server closes first: its side fades for a minute
        client.close()
    with bind_port(HOST, port) as again:
        assert again.getsockname()[1] == port


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "x" * 300])
def test_foreign_host_is_explained(host: str) -> None:
    with pytest.raises(LaunchProblem, match="cannot serve on") as caught:
        bind_port(host, 0)
    assert "--server-name" in caught.value.screen()


@pytest.mark.parametrize("port", [-1, 65536, 8_000_000])
def test_number_that_is_no_port(port: int) -> None:
    with pytest.raises(LaunchProblem, match="is not a port"):
        bind_port(HOST, port)


def test_port_of_the_system_is_explained() -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not limit.exists() or int(limit.read_text()) <= 81:
        pytest.skip("every port is open to every user here")
    code = (
        "import encodings.idna, os, sys\n"
        "from modules.launcher.ports import bind_port\n"
        "from modules.launcher.problems import guarded\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "sys.exit(guarded(lambda: bind_port('127.0.0.1', 81) and 0))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert finished.returncode == 17, finished.stderr
    assert "may not be used by this user" in finished.stderr


def test_ipv6() -> None:
    try:
        listener = bind_port("::1", 0)
    except LaunchProblem:
        pytest.skip("no IPv6 here")
    with listener:
        assert listener.family == socket.AF_INET6
