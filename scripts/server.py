"""A real ComfyUI server in a folder of its own, driven over HTTP: what the tests and the demo stand on.

    with Server(base) as server:
        result = server.queue(prompt)      # a prompt in the API's format; see workflow.py
        result.images, result.executed, result.cached

The process has this pack and the untrained stand-ins (stand_ins.py) as its only custom nodes, listens on
127.0.0.1 alone and ends with the one that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from scripts.installation import ROOT, SetupError, comfyui_folder, comfyui_python

PACK_NAME = "emoticrafter-comfyui"  # as people's folders are named: hyphens do not matter
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "output", "data", "runs", "dist", "build")
COPY_MARK = ".copied-by-emoticrafter"  # in a copy that may be deleted, and in nothing else
# On a busy machine torch's threads otherwise burn many times their work in waiting for each other.
CALM = {"OMP_WAIT_POLICY": "PASSIVE"}
# A proxy of the environment cannot reach this computer's own servers.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
START_SECONDS = 180.0
QUEUE_SECONDS = 300.0


class ServerError(SetupError):
    """The server did not start, or is gone; the message ends with the last lines of its log."""


class PromptError(RuntimeError):
    """The server refused a prompt (`node_errors`), or a node failed while it ran (`node_id`)."""

    def __init__(self, message: str, node_errors: dict | None = None, node_id: str | None = None):
        super().__init__(message)
        self.node_errors = node_errors or {}
        self.node_id = node_id


@dataclass
class Result:
    """What one prompt gave. Node ids are strings, as in the prompt."""

    prompt_id: str
    executed: list[str] = field(default_factory=list)
    """Nodes that ran, in their order."""
    cached: list[str] = field(default_factory=list)
    """Nodes whose earlier result was used."""
    outputs: dict[str, dict] = field(default_factory=dict)
    """What output nodes showed, by node id, as /history has it."""
    images: list[bytes] = field(default_factory=list)
    """The files of all saved and previewed pictures, by node id, then in their order."""
    failure: PromptError | None = None
    """What `Server.queue` raises at the prompt's end."""


# ---- the folder and the process --------------------------------------------------------------------


def prepare_base(base: Path, stand_ins: bool = True) -> Path:
    """Lay out the folder that a server works in; what is there already stays. Gives `base` back."""
    for name in ("custom_nodes", "input", "output", "temp", "user", "models/loras", "models/emoticrafter"):
        (base / name).mkdir(parents=True, exist_ok=True)
    _link(ROOT, base / "custom_nodes" / PACK_NAME)
    if stand_ins:
        _link(ROOT / "scripts" / "tiny_sdxl", base / "custom_nodes" / "tiny-sdxl")
        _link(ROOT / "scripts" / "small_families", base / "custom_nodes" / "small-families")
    return base


def _link(source: Path, link: Path) -> None:
    """Make `link` show `source`: a symbolic link, or a copy where links are not allowed (Windows).

    Raises SetupError where another folder or file has that name: it may be somebody's only checkout.
    """
    if link.resolve() == source.resolve():
        return
    if link.is_symlink():
        link.unlink()
    elif (link / COPY_MARK).is_file():
        shutil.rmtree(link)
    elif link.exists():
        raise SetupError(
            f"{link} is there already and is not what this script put there, so it stays as it is.\n"
            f"Give another --base, or move it away: {source} is to be used in its place."
        )
    try:
        link.symlink_to(source, target_is_directory=True)
    except OSError:
        link.mkdir()
        (link / COPY_MARK).write_text(f"A copy of {source}, made anew at every start.\n", encoding="utf-8")
        shutil.copytree(source, link, ignore=NOT_COPIED, dirs_exist_ok=True)


def server_command(base: Path, port: int, arguments: list[str]) -> list[str]:
    """The command line of a server in `base`, on 127.0.0.1:`port`, that writes nothing outside `base`.

    It ends when its standard input does: start it with a pipe there (see launch_comfyui.py).
    """
    launcher = ROOT / "scripts" / "launch_comfyui.py"
    database = (base / "user" / "comfyui.db").as_posix()
    return [
        *(str(comfyui_python()), str(launcher), str(comfyui_folder() / "main.py")),
        *("--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch", "--disable-api-nodes"),
        *("--base-directory", str(base), "--database-url", f"sqlite:///{database}"),
        *arguments,
    ]


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_port(port: int) -> None:
    """Raise ServerError if somebody listens on `port` already."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(
                f"Port {port} is taken by another program (a ComfyUI that is running?).\n"
                "End that one, or give another --port."
            )


class Server:
    """A ComfyUI server on the CPU.

    Args:
        base: the folder for its models, input, output and settings; made if missing.
        port: its port on 127.0.0.1; by default a free one.
        arguments: further arguments for ComfyUI's main.py.
        nodes: folders of further custom nodes to link in.
    """

    def __init__(
        self, base: Path, port: int | None = None, arguments: tuple[str, ...] = (), nodes: tuple[Path, ...] = ()
    ):
        self.base = prepare_base(Path(base).resolve())
        self.models, self.input, self.output = base / "models", base / "input", base / "output"
        for folder in nodes:
            _link(Path(folder).resolve(), self.base / "custom_nodes" / Path(folder).name)
        self.port = port
        self.arguments = arguments
        self.log_file = self.base / "server.log"
        self.process: subprocess.Popen | None = None
        self._object_info: dict = {}

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it answers. Raises ServerError."""
        if not comfyui_python().is_file() or not (comfyui_folder() / "main.py").is_file():
            raise SetupError("ComfyUI is not installed yet: run `python scripts/comfyui.py install`.")
        if self.port is None:
            self.port = free_port()
        check_port(self.port)
        # Without metadata the same picture is the same file, whatever graph made it.
        arguments = ["--cpu", "--disable-metadata", *self.arguments]
        command = server_command(self.base, self.port, arguments)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=os.environ | CALM
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self._failure(f"ComfyUI ended while it started, with code {self.process.returncode}")
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise self._failure(f"ComfyUI did not answer within {START_SECONDS:.0f} s")

    def _failure(self, what: str) -> ServerError:
        tail = "\n".join(self.log().splitlines()[-25:])
        return ServerError(f"{what}. The end of its log, {self.log_file}:\n{tail}")

    def stop(self) -> None:
        """End the process; nothing happens if it is not running."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process = None

    # ---- requests --------------------------------------------------------------------------------

    def get(self, path: str):
        """GET `path`: the decoded answer if it is JSON, else its bytes. Raises urllib.error.HTTPError."""
        return self._request(urllib.request.Request(self.address + path))

    def post(self, path: str, content: dict):
        """POST `content` as JSON to `path`; see `get`."""
        headers = {"Content-Type": "application/json"}
        return self._request(urllib.request.Request(self.address + path, json.dumps(content).encode(), headers))

    def _request(self, request: urllib.request.Request):
        with DIRECT.open(request, timeout=30) as answer:
            body = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
        return json.loads(body) if is_json and body else body

    def object_info(self) -> dict:
        """All nodes of the server by class name (asked once)."""
        if not self._object_info:
            self._object_info = self.get("/object_info")
        return self._object_info

    def free(self) -> None:
        """Unload all models and drop all cached results, as the interface's buttons do, and wait for it."""
        self.post("/free", {"unload_models": True, "free_memory": True})
        # The worker looks at the request when it is woken, and before it takes its next prompt.
        time.sleep(0.5)

    def memory(self) -> int:
        """Resident memory of the server process, in bytes."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss

    def log(self) -> str:
        """Everything that the server printed so far."""
        return self.log_file.read_text(errors="replace")

    # ---- the queue -------------------------------------------------------------------------------

    def queue(
        self, prompt: dict, on_message: Callable[[str, dict], None] | None = None, seconds: float = QUEUE_SECONDS
    ) -> Result:
        """Run a prompt (API format) and wait for its end.

        Args:
            prompt: class_type and inputs by node id.
            on_message: called with (type, data) of every message about this prompt, such as "progress".
            seconds: how long it may take.

        Raises:
            PromptError: it was refused, or a node failed.
            ServerError: the server ended, or did not finish in time.
        """
        # In a thread of its own, since the caller's may have a running event loop (Playwright's, a notebook's).
        thread = ThreadPoolExecutor(1)
        try:
            result = thread.submit(asyncio.run, asyncio.wait_for(self._queue(prompt, on_message), seconds)).result()
        except asyncio.TimeoutError:
            raise self._failure(f"The prompt was not finished after {seconds:.0f} s") from None
        finally:
            thread.shutdown(wait=False)  # an interrupted caller stops the server, which ends the thread
        if result.failure:
            raise result.failure
        history = self.get(f"/history/{result.prompt_id}")[result.prompt_id]
        result.outputs = history["outputs"]
        result.images = [self._image(image) for image in _images(result.outputs)]
        return result

    async def _queue(self, prompt: dict, on_message: Callable[[str, dict], None] | None) -> Result:
        import aiohttp

        client = uuid.uuid4().hex
        address = f"{self.address}/ws?clientId={client}"
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket_:
            result = Result(self._submit(prompt, client))
            async for message in socket_:
                if message.type != aiohttp.WSMsgType.TEXT:
                    continue
                event = json.loads(message.data)
                kind, data = event["type"], event.get("data", {})
                if data.get("prompt_id") != result.prompt_id:
                    continue
                if on_message:
                    on_message(kind, data)
                if _take(result, kind, data):
                    return result
        raise self._failure("The server closed the connection while a prompt ran")

    def _submit(self, prompt: dict, client: str) -> str:
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": client})["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            answer = json.loads(error.read())
        raise PromptError(_refusal(answer), node_errors=answer.get("node_errors"))

    def _image(self, image: dict) -> bytes:
        return self.get(f"/view?{urlencode(image)}")


def _take(result: Result, kind: str, data: dict) -> bool:
    """Note one message of the server in `result`; True at the prompt's end, also after a failure."""
    if kind == "execution_cached":
        result.cached = list(data["nodes"])
    elif kind == "executing" and data["node"] is None:
        return True
    elif kind == "executing" and data["node"] not in result.executed:
        result.executed.append(data["node"])
    elif kind == "execution_error":
        result.failure = PromptError(
            f"Node {data['node_id']} ({data['node_type']}) failed: {data['exception_message'].strip()}\n"
            + "".join(data["traceback"][-3:]),
            node_id=data["node_id"],
        )
    elif kind == "execution_interrupted":
        result.failure = PromptError("The prompt was interrupted.", node_id=data.get("node_id"))
    return False


def _refusal(answer: dict) -> str:
    """The message of a refused prompt, with every node's complaint."""
    lines = [f"{answer['error']['message']} {answer['error'].get('details', '')}".strip()]
    for node_id, node in (answer.get("node_errors") or {}).items():
        for error in node["errors"]:
            lines.append(f"node {node_id} ({node['class_type']}): {error['message']}: {error['details']}")
    return "The server refused the prompt: " + "\n".join(lines)


def _images(outputs: dict[str, dict]) -> list[dict]:
    shown = [outputs[node_id].get("images", []) for node_id in sorted(outputs)]
    return [image for images in shown for image in images if "filename" in image]
