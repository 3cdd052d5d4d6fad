"""Whole starts through webui.sh: first, second, failing, restarted, in odd places."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.launcher.copies import Copy, make_copy, program, run, screen

pytestmark = pytest.mark.skipif(os.name == "nt", reason="webui.sh needs bash")


def test_first_start_installs_everything(ready: Copy) -> None:
    shown = (ready.folder.parent / "first.txt").read_text()
    for expected in (
        "GPU ",
        "PyTorch   your own choice; TORCH_COMMAND is set",
        "Cloning k-diffusion",
        "is ready",
    ):
        assert expected in shown
    installed = {path.name.partition("-")[0] for path in ready.site.glob("*.dist-info")}
    assert installed == {"torch", "torchvision", "tiny", "bare"}
    assert (ready.folder / "repositories" / "k-diffusion" / "k_diffusion" / "sampling.py").exists()


def test_second_start_starts_nothing_and_connects_to_nothing(ready: Copy, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    finished = ready.start("--exit", WITNESS=str(witness), PATH=ready.environ["PATH"])
    assert finished.returncode == 0
    assert "Everything is installed" in finished.stdout
    assert not witness.exists() or not witness.read_text()
    proof = ready.start("--exit", "--update-check", WITNESS=str(witness))
    assert proof.returncode == 0
    (ready.site / "tiny-1.0.dist-info").rename(tmp_path / "kept")
    try:
        ready.start("--exit", WITNESS=str(witness))
        assert "subprocess.Popen" in witness.read_text()  # the witness does see pip
    finally:
        shutil.rmtree(ready.site / "tiny-1.0.dist-info", ignore_errors=True)
        (tmp_path / "kept").rename(ready.site / "tiny-1.0.dist-info")


def test_program_runs_inside_the_environment_with_its_words(ready: Copy) -> None:
    told = program(ready.start("--port", "8895", "a b", COMMANDLINE_ARGS="--listen"))
    assert told["argv"] == ["--port", "8895", "a b"]
    assert Path(told["prefix"]) == ready.folder / "venv"
    assert Path(told["cwd"]) == ready.folder
    assert told["timer"]
    environ = told["environ"]
    assert environ["COMMANDLINE_ARGS"] == "--listen"
    assert environ["SD_WEBUI_RESTART"] == "tmp/restart"
    assert environ["VIRTUAL_ENV"] == str(ready.folder / "venv")
    assert environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert (environ["ERROR_REPORTING"], environ["PIP_IGNORE_INSTALLED"]) == ("FALSE", "0")
    assert "SD_WEBUI_RESTARTING" not in environ


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"},
        {"HOME": ""},
        {"CDPATH": "/:/tmp"},
    ],
    ids=str,
)
def test_any_locale_and_no_home(ready: Copy, variables: dict[str, str]) -> None:
    assert Path(program(ready.start(**variables))["cwd"]) == ready.folder


def test_through_links_and_relative_paths(ready: Copy, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "absolute").symlink_to(ready.folder / "webui.sh")
    (tmp_path / "relative").symlink_to("deep/absolute")
    told = program(run(["bash", "./relative"], ready.environ, cwd=str(tmp_path)))
    assert Path(told["cwd"]) == ready.folder
    told = program(run(["sh", "webui.sh"], ready.environ, cwd=str(ready.folder)))
    assert Path(told["cwd"]) == ready.folder
    told = program(run([str(ready.folder / "webui.sh")], ready.environ))
    assert Path(told["cwd"]) == ready.folder


def test_settings_of_the_user(ready: Copy) -> None:
    file = ready.folder / "webui-user.sh"
    shipped = file.read_text()
    assert all(line.startswith("#") or not line for line in shipped.splitlines())
    other = ready.folder / "other.py"
    other.write_text(
        "import os; print('OTHER', os.environ['COMMANDLINE_ARGS'], os.environ['GIT_PYTHON_GIT_EXECUTABLE'])"
    )
    file.write_text('COMMANDLINE_ARGS="--listen --theme dark"\nLAUNCH_SCRIPT=other.py\nGIT=/usr/bin/git\n')
    try:
        assert "OTHER --listen --theme dark /usr/bin/git" in ready.start().stdout
    finally:
        file.write_text(shipped)
        other.unlink()


def test_presets_of_macos_can_be_changed_by_the_user(ready: Copy, tmp_path: Path) -> None:
    tool = tmp_path / "uname"
    tool.write_text("#!/bin/sh\necho Darwin\n")
    tool.chmod(0o755)
    path = f"{tmp_path}:{ready.environ['PATH']}"
    environ = program(ready.start(PATH=path))["environ"]
    assert "--upcast-sampling" in environ["COMMANDLINE_ARGS"]
    assert environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    file = ready.folder / "webui-user.sh"
    shipped = file.read_text()
    file.write_text("COMMANDLINE_ARGS=--api\n")
    try:
        assert program(ready.start(PATH=path))["environ"]["COMMANDLINE_ARGS"] == "--api"
    finally:
        file.write_text(shipped)


def test_running_as_root_is_a_warning_and_f_is_accepted(ready: Copy) -> None:
    finished = ready.start("-f")
    assert program(finished)["argv"] == ["-f"]
    warned = [line for line in finished.stderr.splitlines() if "root" in line]
    assert len(warned) == (1 if os.geteuid() == 0 else 0)


def test_exit_code_of_the_program_is_ours(ready: Copy) -> None:
    (ready.folder / "three.py").write_text("raise SystemExit(3)")
    assert ready.start(LAUNCH_SCRIPT="three.py").returncode == 3
    original = (ready.folder / "webui.py").read_text()
    for text, code in (
        ("import sys; sys.exit('sorry')", 1),
        ("raise SystemExit", 0),
        ("import os; os._exit(9)", 9),
    ):
        (ready.folder / "webui.py").write_text(text)
        assert ready.start().returncode == code
    (ready.folder / "webui.py").write_text(
        "from modules.launcher.problems import ExitCode, LaunchProblem\n"
        "raise LaunchProblem(ExitCode.PORT, 'Port 1 is taken.', remedy=['x'])"
    )
    screen(ready.start(), 17)
    (ready.folder / "webui.py").write_text(original)


def test_it_starts_again_as_long_as_the_marker_is_left(ready: Copy) -> None:
    script = ready.folder / "again.py"
    script.write_text(
        "import os, pathlib, sys\n"
        "print('RUN', os.environ.get('SD_WEBUI_RESTARTING'), flush=True)\n"
        "count = pathlib.Path('count'); n = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(n + 1))\n"
        "if n < 2: pathlib.Path('tmp').mkdir(exist_ok=True); pathlib.Path('tmp/restart').touch()\n"
        "os._exit(n)\n"
    )
    finished = ready.start(LAUNCH_SCRIPT="again.py")
    assert [line for line in finished.stdout.splitlines() if line.startswith("RUN")] == [
        "RUN None",
        "RUN 1",
        "RUN 1",
    ]
    assert finished.returncode == 2
    assert not (ready.folder / "tmp" / "restart").exists()


def test_marker_of_a_crashed_run_is_removed_by_the_launcher(ready: Copy) -> None:
    (ready.folder / "tmp").mkdir(exist_ok=True)
    (ready.folder / "tmp" / "restart").touch()
    assert program(ready.start())["environ"]["SD_WEBUI_RESTARTING"] == "1"
    assert not (ready.folder / "tmp" / "restart").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_reach_the_program(ready: Copy, number: signal.Signals, tmp_path: Path) -> None:
    script = ready.folder / "waits.py"
    script.write_text(
        "import signal, sys, time\n"
        "def end(number, frame): print('GOT', number, flush=True); time.sleep(0.3); sys.exit(40)\n"
        f"signal.signal({int(number)}, end)\n"
        "print('READY', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    process = subprocess.Popen(
        ["bash", str(ready.folder / "webui.sh")],
        env=ready.environ | {"LAUNCH_SCRIPT": "waits.py"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline().strip() == "READY"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    rest = process.communicate(timeout=20)[0]
    assert f"GOT {int(number)}" in rest
    assert process.returncode == 40


def test_closed_standard_input(ready: Copy) -> None:
    command = f"bash '{ready.folder}/webui.sh' <&-"
    assert program(run(["bash", "-c", command], ready.environ))["argv"] == []


def test_no_environment_is_made_when_there_is_one(ready: Copy, tmp_path: Path) -> None:
    told = program(ready.start(VIRTUAL_ENV=str(ready.folder / "venv"), venv_dir=str(tmp_path / "unused")))
    assert Path(told["prefix"]) == ready.folder / "venv"
    assert not (tmp_path / "unused").exists()
    told = program(
        ready.start("--skip-prepare-environment", "--skip-install", venv_dir="-", PYTHONPATH=str(ready.site))
    )
    assert Path(told["prefix"]) != ready.folder / "venv"
    assert not (ready.folder / "-").exists()


def test_accelerate(ready: Copy, tmp_path: Path) -> None:
    plain = ready.start(ACCELERATE="True")
    assert "accelerate is not installed" in plain.stderr
    assert program(plain)["argv"] == []
    tool = tmp_path / "accelerate"
    tool.write_text('#!/bin/sh\necho ACCELERATE "$@"\n')
    tool.chmod(0o755)
    finished = ready.start("--api", ACCELERATE="True", PATH=f"{tmp_path}:{ready.environ['PATH']}")
    assert "ACCELERATE launch --num_cpu_threads_per_process=6 launch.py --api" in finished.stdout


def test_allocator_is_preloaded_only_where_it_loads(ready: Copy, tmp_path: Path) -> None:
    listing = tmp_path / "ldconfig"
    listing.write_text(
        '#!/bin/sh\necho "	libtcmalloc_minimal.so.4 (libc6,x86-64) => /no/such/libtcmalloc.so"\n'
    )
    listing.chmod(0o755)
    broken = ready.start(PATH=f"{tmp_path}:{ready.environ['PATH']}")
    assert "LD_PRELOAD" not in program(broken)["environ"]
    libraries = sorted(Path("/usr/lib").glob("*/libm.so.6")) or sorted(Path("/lib64").glob("libm.so.6"))
    listing.write_text(f'#!/bin/sh\necho "	libtcmalloc.so.4 (libc6,x86-64) => {libraries[0]}"\n')
    path = f"{tmp_path}:{ready.environ['PATH']}"
    script = (
        (ready.folder / "webui.sh").read_text().replace('PATH="/usr/sbin:/sbin:$PATH" ldconfig', "ldconfig")
    )
    (ready.folder / "webui-test.sh").write_text(script)
    command = ["bash", str(ready.folder / "webui-test.sh")]
    assert program(run(command, ready.environ | {"PATH": path}))["environ"]["LD_PRELOAD"] == str(libraries[0])
    for off in ({"NO_TCMALLOC": "True"}, {"LD_PRELOAD": ""}):
        told = program(run(command, ready.environ | {"PATH": path} | off))
        assert (told["environ"].get("LD_PRELOAD") == str(libraries[0])) is ("LD_PRELOAD" in off)


def test_sysinfo(ready: Copy) -> None:
    finished = ready.start(
        "--dump-sysinfo", "--api-auth", "me:secret", INDEX_URL="https://me:secret@host/simple"
    )
    assert finished.returncode == 0, finished.stderr
    path = Path(finished.stdout.splitlines()[-1].partition(": ")[2])
    assert path.parent == ready.folder
    text = path.read_text()
    assert "secret" not in text
    assert "torch==2.13.0" in json.loads(text)["Packages"]


def test_extensions_are_installed(ready: Copy, tmp_path: Path) -> None:
    for name, code in (
        ("good", "import launch; print('GOOD', launch.is_installed('tiny'))"),
        ("bad", "1/0"),
        ("off", ""),
    ):
        (tmp_path / "extensions" / name).mkdir(parents=True)
        (tmp_path / "extensions" / name / "install.py").write_text(code)
    (tmp_path / "config.json").write_text(json.dumps({"disabled_extensions": ["off"]}))
    finished = ready.start("--exit", "--data-dir", str(tmp_path))
    assert finished.returncode == 0
    assert "GOOD True" in finished.stdout
    assert "Extension bad: install.py failed: ZeroDivisionError: division by zero" in finished.stdout
    assert "Extension off" not in finished.stdout
    skipped = ready.start("--exit", "--data-dir", str(tmp_path), "--disable-extra-extensions")
    assert "Extension" not in skipped.stdout


@pytest.mark.install
def test_clone_that_fails_is_replaced_by_the_package_once(fresh: Copy) -> None:
    first = fresh.start("--exit", K_DIFFUSION_REPO="file:///no/such/repository.git")
    assert first.returncode == 0, first.stdout + first.stderr
    told = [line for line in first.stdout.splitlines() if "cannot clone" in line]
    assert len(told) == 1
    assert "taking the package k-diffusion==0.1.1.post1 instead" in first.stdout
    assert list(fresh.site.glob("k_diffusion-*.dist-info"))
    assert not list((fresh.folder / "repositories").iterdir())
    second = fresh.start("--exit", K_DIFFUSION_REPO="file:///no/such/repository.git")
    assert "Cloning" not in second.stdout
    assert "--update-check tries again" in second.stdout
    third = fresh.start("--exit")
    assert "Cloning" in third.stdout
    assert (fresh.folder / "repositories" / "k-diffusion").is_dir()


@pytest.mark.install
def test_reinstallation_and_named_packages(fresh: Copy) -> None:
    fresh.start("--exit")
    witness = fresh.folder.parent / "witness"
    again = fresh.start("--exit", "--reinstall-torch", WITNESS=str(witness))
    assert again.returncode == 0, again.stderr
    assert "--force-reinstall" in witness.read_text()
    package = fresh.wheels / "tiny-1.0-py3-none-any.whl"
    named = fresh.start("--exit", CLIP_PACKAGE=str(package))
    assert f"Installing {package}" in named.stdout
    assert "Installing" not in fresh.start("--exit", CLIP_PACKAGE=str(package)).stdout


def test_xformers_where_it_cannot_run_is_one_line(ready: Copy) -> None:
    finished = ready.start("--exit", "--xformers")
    lines = [line for line in finished.stdout.splitlines() if "xformers" in line]
    if "none was found" in finished.stdout:
        assert lines == [
            "xformers: it needs an NVIDIA GPU, and none was found; PyTorch's own attention is used."
        ]
    assert finished.returncode == 0


def test_read_only_folder_starts(ready: Copy) -> None:
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("read-only mounts need privileges")
    folder = ready.folder
    script = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" 2>/dev/null && '
        'bash "$1/webui.sh"'
    )
    finished = run(["unshare", "-m", "bash", "-c", script, "-", str(folder)], ready.environ)
    assert program(finished)["cwd"] == str(folder)


@pytest.mark.install
def test_two_starts_at_once_do_not_disturb_each_other(fresh: Copy) -> None:
    command = ["bash", str(fresh.folder / "webui.sh"), "--exit"]
    both = [
        subprocess.Popen(
            command, env=fresh.environ, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    ]
    time.sleep(0.05)
    both.append(
        subprocess.Popen(
            command, env=fresh.environ, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    )
    for process in both:
        process.communicate(timeout=100)
    settled = fresh.start("--exit")
    assert settled.returncode == 0, settled.stdout + settled.stderr
    assert [path.name for path in (fresh.folder / "repositories").iterdir()] == ["k-diffusion"]


@pytest.mark.install
def test_from_a_bare_python(tmp_path: Path) -> None:
    copy = make_copy(tmp_path / "bare 素", tmp_path, environment=False)
    first = copy.start("--exit", timeout=300)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making the environment" in first.stdout
    assert list(copy.site.glob("tiny-*.dist-info"))
    moved = tmp_path / "moved"
    copy.folder.rename(moved)
    told = run(["bash", str(moved / "webui.sh")], copy.environ)
    assert program(told)["prefix"] == str(moved / "venv")
    (moved / "venv" / "bin" / "python").unlink()
    (moved / "venv" / "bin" / "python").symlink_to("/no/such/python")
    again = run(["bash", str(moved / "webui.sh"), "--exit"], copy.environ, timeout=300)
    assert "making it anew" in again.stdout
    assert again.returncode == 0
