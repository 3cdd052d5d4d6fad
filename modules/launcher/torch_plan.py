"""Which build of PyTorch this machine gets, and from where. Standard library only.

The general index holds, for Linux on x86, a CUDA build; PyTorch's own indexes hold one build each,
marked in the version (2.13.0+cpu). A marked version is newer to pip than an unmarked one, so naming
the right index as an extra one is enough. An index that does not answer would cost pip minutes of
retries: it is asked first, briefly, and left out when it is silent.
"""

from __future__ import annotations

import shlex
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.launcher.machine import Machine
from modules.launcher.problems import ExitCode, LaunchProblem

TORCH_VERSION = "2.13.0"
TORCHVISION_VERSION = "0.28.0"
PACKAGES = (f"torch=={TORCH_VERSION}", f"torchvision=={TORCHVISION_VERSION}")
INDEX = "https://download.pytorch.org/whl"
ASK_SECONDS = 6.0
_MAX_PAGE = 16 << 20

Ask = Callable[[str, str, Mapping[str, str]], str]

GIB = 1 << 30
CPU_SPACE = 3 * GIB
CUDA_SPACE = 10 * GIB


@dataclass(frozen=True)
class CudaBuild:
    """A CUDA build, the oldest driver it runs with and the oldest compute capability it has code for."""

    name: str
    driver: int
    compute: tuple[int, int]


CUDA_BUILDS: tuple[CudaBuild, ...] = (  # newest first
    CudaBuild("cu130", 580, (7, 5)),
    CudaBuild("cu126", 525, (5, 0)),
)


@dataclass(frozen=True)
class TorchPlan:
    """``words`` follow ``python -m``. ``build`` and ``reason`` are for people; ``space`` is in bytes.

    ``expects_gpu``: after the installation torch must be able to use the GPU.
    """

    words: tuple[str, ...]
    build: str
    reason: str
    space: int = CPU_SPACE
    expects_gpu: bool = False


def plan_torch(
    machine: Machine,
    *,
    torch_command: str | None = None,
    torch_index_url: str | None = None,
    use_ipex: bool = False,
    environ: Mapping[str, str] | None = None,
    ask: Ask | None = None,
) -> TorchPlan:
    """The plan for this machine.

    ``ask(index, version, environ)`` returns why an index is of no use, or an empty text.
    """
    if torch_command:
        return TorchPlan(tuple(_command_words(torch_command)), "your own choice", "TORCH_COMMAND is set")
    asking = ask or ask_index
    variables = environ or {}
    if torch_index_url:
        return _from_given_index(machine, torch_index_url, asking(torch_index_url, "", variables))
    if use_ipex:
        problem = asking(f"{INDEX}/xpu", TORCH_VERSION, variables)
        return _from_index("xpu", "Intel GPU build", "--use-ipex", problem, CUDA_SPACE)
    if machine.has_nvidia:
        return _cuda_plan(machine, asking, variables)
    reason = "no NVIDIA GPU was found"
    if machine.other_gpu:
        reason = f"{machine.other_gpu}: set TORCH_COMMAND for a build that uses it"
    if machine.system == "Darwin":
        return TorchPlan(_install_words(), "macOS build", machine.other_gpu or "no GPU was found")
    if machine.system == "Windows":
        return TorchPlan(_install_words(), "CPU build", reason)
    return _from_index(
        "cpu", "CPU build", reason, asking(f"{INDEX}/cpu", TORCH_VERSION, variables), CPU_SPACE
    )


def _cuda_plan(machine: Machine, ask: Ask, environ: Mapping[str, str]) -> TorchPlan:
    gpu = machine.gpus[0]
    fitting = [
        build
        for build in CUDA_BUILDS
        if (not gpu.driver or gpu.driver[0] >= build.driver)
        and (not gpu.compute or gpu.compute >= build.compute)
    ]
    if not fitting:
        return TorchPlan(
            _install_words(f"{INDEX}/cpu"),
            "CPU build",
            f"no CUDA build runs with {gpu}; a newer driver (525 or later) helps",
        )
    for build in fitting:
        problem = ask(f"{INDEX}/{build.name}", TORCH_VERSION, environ)
        if not problem:
            return TorchPlan(
                _install_words(f"{INDEX}/{build.name}"),
                f"CUDA build {build.name}",
                str(gpu),
                CUDA_SPACE,
                expects_gpu=True,
            )
    reason = f"{gpu}; {INDEX}/{fitting[0].name} {problem}, so the general index decides"
    return TorchPlan(_install_words(), "build of the general index", reason, CUDA_SPACE, expects_gpu=True)


def _from_index(name: str, build: str, reason: str, problem: str, space: int) -> TorchPlan:
    index = f"{INDEX}/{name}"
    if problem:
        told = f"{reason}; {index} {problem}, so the general index decides"
        return TorchPlan(_install_words(), "build of the general index", told, space)
    return TorchPlan(_install_words(index), build, reason, space)


def _from_given_index(machine: Machine, index: str, problem: str) -> TorchPlan:
    space = CUDA_SPACE if machine.has_nvidia else CPU_SPACE
    if problem:
        reason = f"TORCH_INDEX_URL {index} {problem}, so the general index decides"
        return TorchPlan(_install_words(), "build of the general index", reason, space)
    return TorchPlan(_install_words(index), "build of your index", f"TORCH_INDEX_URL is {index}", space)


def _install_words(index: str | None = None) -> tuple[str, ...]:
    extra = ("--extra-index-url", index) if index else ()
    return ("pip", "install", "--only-binary=:all:", *PACKAGES, *extra)


def _command_words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LaunchProblem(
            ExitCode.USAGE,
            f"TORCH_COMMAND cannot be split into words ({error}): {command}",
            remedy=["Close every quote in TORCH_COMMAND, or remove it from webui-user."],
        ) from error
    return words


def ask_index(index: str, version: str, environ: Mapping[str, str]) -> str:
    """Why ``index`` cannot serve ``torch`` in ``version``, as the end of a sentence; '' when it can.

    Never takes longer than ``ASK_SECONDS``, also when the name server is silent.
    """
    if index.startswith("file:"):
        folder = Path(urllib.request.url2pathname(urllib.parse.urlsplit(index).path))
        return "" if folder.is_dir() else "does not exist"
    answer: list[str] = []
    thread = threading.Thread(target=lambda: answer.append(_fetch(index, version, environ)), daemon=True)
    thread.start()
    thread.join(ASK_SECONDS)
    return answer[0] if answer else f"does not answer within {ASK_SECONDS:.0f} s"


def _fetch(index: str, version: str, environ: Mapping[str, str]) -> str:
    address = index.rstrip("/") + "/torch/"
    try:
        with urllib.request.urlopen(address, timeout=ASK_SECONDS, context=_trust(environ)) as page:
            wanted = f"torch-{version}".encode()
            if not version or wanted in page.read(_MAX_PAGE):
                return ""
            return f"does not hold torch {version}"
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except (OSError, ValueError) as error:
        return f"cannot be reached ({getattr(error, 'reason', None) or error})"


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        if (file := environ.get(name)) and Path(file).is_file():
            context.load_verify_locations(file)
    return context
