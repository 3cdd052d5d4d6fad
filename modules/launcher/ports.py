"""Takes the port before anything heavy is loaded. Standard library only."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

from modules.launcher.problems import ExitCode, LaunchProblem

PAGE_PORT = 7860
API_PORT = 7861
_BACKLOG = 2048


def bind_port(host: str, port: int | None, default: int = PAGE_PORT, search: int = 100) -> socket.socket:
    """A listening socket on ``host``; the caller hands it to the web server.

    ``port`` None means the first free one of ``search`` ports from ``default`` (``search`` 1: that one
    only); 0 means any. The socket listens at once: a bound socket that does not listen yet could be
    taken over by another program. Clients that connect early wait until the server answers.
    Raises ``LaunchProblem`` (code 17) naming the port, its owner where known, and the remedy.
    """
    if port is not None and not 0 <= port <= 65535:
        raise LaunchProblem(
            ExitCode.PORT,
            f"--port {port} is not a port.",
            remedy=["Give a number from 1 to 65535, for instance --port 7860."],
        )
    if port is not None:
        return _bind(host, port, explicit=True)
    for candidate in range(default, min(default + search, 65536)):
        try:
            return _bind(host, candidate, explicit=search == 1)
        except LaunchProblem as problem:
            if search == 1 or not isinstance(problem, _PortTaken):
                raise
    last = min(default + search, 65536) - 1
    raise LaunchProblem(
        ExitCode.PORT,
        f"Every port from {default} to {last} on {host} is taken.",
        remedy=["Give a free one, for instance --port 8888."],
    )


class _PortTaken(LaunchProblem):
    pass


def _bind(host: str, port: int, explicit: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _bad_host(host, str(error)) from error
    listener = socket.socket(family, kind, protocol)
    try:
        _own_address(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.set_inheritable(False)
        return listener
    except OSError as error:
        listener.close()
        raise _explain(error, host, port, explicit) from error


def _own_address(listener: socket.socket) -> None:
    if os.name == "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined]
    else:
        # Lets a restart take the port of connections that are still fading; a listening owner is refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _explain(error: OSError, host: str, port: int, explicit: bool) -> LaunchProblem:
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None)):
        owner = port_owner(port) if explicit else ""
        return _PortTaken(
            ExitCode.PORT,
            f"Port {port} on {host} is taken{f' by {owner}' if owner else ''}.",
            remedy=[
                "End that program, or choose another port, for instance "
                f"--port {port + 1 if port < 65535 else 7860}.",
                "If it is another Easel: open its page instead.",
            ],
        )
    if error.errno == errno.EACCES:
        return LaunchProblem(
            ExitCode.PORT,
            f"Port {port} on {host} may not be used by this user.",
            remedy=["Ports below 1024 belong to the system: choose a higher one, for instance --port 7860."],
        )
    return _bad_host(host, error.strerror or str(error))


def _bad_host(host: str, reason: str) -> LaunchProblem:
    return LaunchProblem(
        ExitCode.PORT,
        f"This machine cannot serve on {host!r}: {reason}.",
        remedy=[
            "Use --listen for every address of this machine, or --server-name with one of its addresses."
        ],
    )


def port_owner(port: int) -> str:
    """``name (process 123)`` of the program that listens on the port, or an empty text when unknown."""
    if sys.platform.startswith("linux"):
        return _owner_from_proc(port)
    if sys.platform == "darwin":
        return _owner_from_lsof(port)
    return ""


def _owner_from_proc(port: int) -> str:
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # ended meanwhile, or another user's
    return ""


def _listening_inodes(port: int) -> set[str]:
    # Fields: 1 the local address with the port in hexadecimal, 3 the state (0A is LISTEN), 9 the inode.
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _owner_from_lsof(port: int) -> str:
    try:
        answer = subprocess.run(
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    fields = {line[0]: line[1:] for line in answer if line}
    return f"{fields.get('c', 'a program')} (process {fields['p']})" if "p" in fields else ""
