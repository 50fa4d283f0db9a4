"""Downloads from a hub on this machine that fails in the ways that hubs and networks fail."""

import hashlib
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from emoticrafter import web
from emoticrafter.weights import hub, unfinished
from emoticrafter.weights.__main__ import main

REPOSITORY = "someone/emotions"
BODY = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()
FILE = hub.HubFile("scale_factor_1.5.pth", len(BODY), SHA256)
BLOCK = 40_000
LISTING = [
    {"type": "directory", "path": "docs", "oid": "0"},
    {"type": "file", "path": "README.md", "size": 10, "oid": "1"},
    {
        "type": "file",
        "path": FILE.path,
        "size": FILE.size,
        "oid": "2",
        "lfs": {"oid": SHA256, "size": FILE.size, "pointerSize": 9},
    },
    {"type": "file", "path": "more/small.safetensors", "size": 5, "oid": "3"},
]


class FakeHub:
    """Serves one file; `faults` are taken one per request for it, then it works."""

    def __init__(self):
        self.faults, self.listing_faults, self.ranges, self.headers = [], [], [], []
        self.over = Event()
        self.body, self.listing, self.knows_ranges = BODY, json.dumps(LISTING).encode(), True

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.path.startswith(f"/api/models/{REPOSITORY}/tree/main"):
            return self.send_listing(request, self.listing_faults.pop(0) if self.listing_faults else None)
        if request.path.startswith(f"/api/models/{REPOSITORY}"):
            return self.send(request, 200, json.dumps({"id": REPOSITORY, "sha": "0" * 40}).encode())
        if request.path == "/elsewhere":
            return self.send_file(request, None)
        if not request.path.startswith(f"/{REPOSITORY}/resolve/main/"):
            return request.send_error(404)
        self.ranges.append(self.headers[-1].get("range"))
        return self.send_file(request, self.faults.pop(0) if self.faults else None)

    def send_listing(self, request, fault) -> None:
        if fault == "trickle":
            request.send_response(200)
            request.end_headers()
            while not self.over.wait(0.01):
                request.wfile.write(b" ")
            return None
        if fault == "cut":
            return self.send(request, 200, self.listing, len(self.listing) // 2)
        return request.send_error(*fault) if fault else self.send(request, 200, self.listing)

    def send_file(self, request, fault) -> None:
        if callable(fault):
            return fault(request)
        if isinstance(fault, int):
            return request.send_error(fault)
        if fault == "redirect":
            return self.send(request, 302, b"", Location="/elsewhere")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers[-1].get("range", ""))
        ranged = asked and self.knows_ranges
        body = self.body[int(asked[1]) : int(asked[2]) + 1] if ranged else self.body
        return self.send(request, 206 if ranged else 200, body, len(body) // 2 if fault == "cut" else len(body))

    def send(self, request, status, body, cut=None, **headers) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[:cut])


@pytest.fixture
def fake(monkeypatch):
    """A hub on 127.0.0.1 that HF_ENDPOINT names."""
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            fake.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(hub, "BLOCK", BLOCK)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between tries
    yield fake
    fake.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(folder, file=FILE):
    return hub.download(REPOSITORY, file, folder, hub.endpoint())


def listed():
    return hub.list_files(REPOSITORY, hub.endpoint())


def complete(folder, name=FILE.path):
    return (folder / name).read_bytes() == BODY and [path.name for path in folder.iterdir()] == [name]


# --- what goes well ----------------------------------------------------------------------------------------


def test_a_file_is_listed_and_downloaded_by_a_redirect_with_progress_and_without_a_token(fake, tmp_path, capsys):
    file, small = listed()
    assert (file, small) == (FILE, hub.HubFile("more/small.safetensors", 5, None))
    folder = tmp_path / "models" / "emoticrafter"
    fake.faults = ["redirect"]
    assert fetch(folder, file) == folder / FILE.path
    assert complete(folder)
    assert "scale_factor_1.5.pth 0.1 of 0.1 MB (100%)" in capsys.readouterr().err
    assert fake.headers and not any("authorization" in headers for headers in fake.headers)


def test_a_complete_file_is_not_fetched_again_and_another_is_replaced(fake, tmp_path):
    (tmp_path / FILE.path).write_bytes(BODY)
    fetch(tmp_path)
    assert fake.ranges == []
    for old in (BODY[:-1] + b"?", BODY[:100]):
        (tmp_path / FILE.path).write_bytes(old)
        fetch(tmp_path)
        assert complete(tmp_path)


# --- what goes wrong and is mended -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", 500, 503, 429, 408])
def test_a_connection_that_is_cut_or_a_hub_that_is_busy_is_asked_again(fake, tmp_path, fault):
    fake.faults, fake.listing_faults = [fault, fault], ["cut" if fault == "cut" else [fault]]
    [file, _] = listed()
    fetch(tmp_path, file)
    assert complete(tmp_path)
    assert fake.ranges[:4] == [f"bytes=0-{BLOCK - 1}"] * 3 + [f"bytes={BLOCK}-{2 * BLOCK - 1}"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(fake, tmp_path):
    (tmp_path / FILE.path).write_bytes(b"the old one")
    fake.faults = [None, *[500] * 9]
    with pytest.raises(OSError, match="stopped at 40,000 of 102,400 bytes") as error:
        fetch(tmp_path)
    assert "What has come is kept; run the same command again to go on" in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / FILE.path).read_bytes() == b"the old one"
    fake.faults, fake.ranges = [], []
    fetch(tmp_path)
    assert complete(tmp_path)
    assert fake.ranges[0] == f"bytes={BLOCK}-{2 * BLOCK - 1}"


def test_what_an_earlier_run_left_is_used_or_started_over(fake, tmp_path):
    part = tmp_path / f"{FILE.path}.part"
    part.write_bytes(BODY)
    fetch(tmp_path)
    assert complete(tmp_path) and fake.ranges == []
    (tmp_path / FILE.path).unlink()
    part.write_bytes(BODY + b"too long")
    fetch(tmp_path)
    assert complete(tmp_path)


# --- what goes wrong for good ------------------------------------------------------------------------------


def test_a_file_with_another_checksum_is_removed_and_the_old_one_stays(fake, tmp_path):
    (tmp_path / FILE.path).write_bytes(b"the old one")
    fake.body = BODY[::-1]
    with pytest.raises(ValueError, match=f"{FILE.path} arrived damaged") as error:
        fetch(tmp_path)
    assert SHA256 in str(error.value) and "Download it again" in str(error.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old one"]


def test_a_file_that_ends_early_and_a_hub_without_ranges_are_refused(fake, tmp_path):
    fake.body = BODY[:1000]
    with pytest.raises(OSError, match="the hub sent 1,000 bytes where 40,000 were asked for"):
        fetch(tmp_path)
    fake.body, fake.knows_ranges = BODY, False
    with pytest.raises(OSError, match="the hub sent 102,400 bytes where 40,000 were asked for"):
        fetch(tmp_path)
    assert not (tmp_path / FILE.path).exists()


@pytest.mark.parametrize("code", [404, 401, 403])
def test_what_is_not_there_is_asked_for_once_and_told_in_one_line(fake, tmp_path, capsys, code):
    fake.faults = [code] * 9
    with pytest.raises(OSError, match=rf"{code}.*Check the network and the names") as error:
        fetch(tmp_path)
    assert str(error.value).isprintable() and len(fake.ranges) == 1
    fake.listing_faults = [[code, "gone \x1b[2J"]] * 9
    assert main(["download", "--repository", REPOSITORY]) == 1
    told = capsys.readouterr().err
    assert re.fullmatch(rf"error: .*/{REPOSITORY} cannot be listed: .*{code}.*HF_ENDPOINT\.\n", told)
    assert told.strip().isprintable()


def test_a_full_disk_is_told_at_once(fake, tmp_path, monkeypatch):
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(hub, "held", lambda part: full)
        with pytest.raises(OSError, match=r"stopped at 0 of 102,400 bytes: .*No space left on device"):
            fetch(tmp_path)
    assert len(fake.ranges) == 1


def test_an_unfinished_file_that_is_another_ones_is_left_alone(fake, tmp_path):
    part, other = tmp_path / f"{FILE.path}.part", tmp_path / "other.bin"
    for make in (lambda: part.symlink_to(other), lambda: part.hardlink_to(other), lambda: os.mkfifo(part)):
        other.write_bytes(BODY[:1000])
        make()
        fetch(tmp_path)
        assert other.read_bytes() == BODY[:1000] and (tmp_path / FILE.path).read_bytes() == BODY
        assert not (tmp_path / FILE.path).is_symlink()
        (tmp_path / FILE.path).unlink()
    part.symlink_to(tmp_path / "nowhere")
    fetch(tmp_path)
    assert not (tmp_path / "nowhere").exists()
    for folder in (part, tmp_path / FILE.path):
        (tmp_path / FILE.path).unlink(missing_ok=True)
        folder.mkdir()
        with pytest.raises(OSError, match="is a folder"):
            fetch(tmp_path)
        folder.rmdir()


def test_two_downloads_of_one_file_do_not_mix(fake, tmp_path, monkeypatch):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fetch(tmp_path), range(8)))
    assert complete(tmp_path)
    (tmp_path / FILE.path).unlink()
    monkeypatch.setattr(unfinished, "WAIT_S", 0.1)
    with unfinished.held(tmp_path / f"{FILE.path}.part"), pytest.raises(OSError, match="Another download is writing"):
        fetch(tmp_path)
    fetch(tmp_path)
    assert complete(tmp_path)


def test_without_a_checksum_nothing_old_is_used_and_all_comes_in_one_piece(fake, tmp_path):
    unchecked = FILE._replace(sha256=None)
    (tmp_path / f"{FILE.path}.part").write_bytes(b"old" * 1000)
    (tmp_path / FILE.path).write_bytes(bytes(len(BODY)))
    fetch(tmp_path, unchecked)
    assert complete(tmp_path) and fake.ranges == [None]
    for body in (BODY[:-1], BODY + b"?"):
        fake.body = body
        with pytest.raises(OSError, match="the hub sent"):
            fetch(tmp_path, unchecked)
        assert (tmp_path / FILE.path).read_bytes() == BODY
    for size, why in ((0, "nothing to download"), (10**9, "names no checksum")):
        with pytest.raises(ValueError, match=why):
            fetch(tmp_path, unchecked._replace(size=size))


def test_another_part_than_was_asked_for_is_refused(fake, tmp_path):
    answers = [
        (206, BODY[:BLOCK], {"Content-Range": f"bytes 1-{BLOCK}/{len(BODY)}"}),
        (206, BODY[:BLOCK], {"Content-Range": f"bytes 0-{BLOCK - 1}/{len(BODY) + 1}"}),
        (206, BODY[:BLOCK], {"Content-Range": "\x1b[2J"}),
        (206, BODY[:BLOCK], {"Content-Encoding": "gzip"}),
        (200, BODY[:BLOCK], {}),
        (206, BODY[: BLOCK - 1], {}),
        (204, b"", {}),
    ]
    for status, body, headers in answers:
        fake.faults = [lambda request, a=(status, body), h=headers: fake.send(request, *a, **h)]
        with pytest.raises(OSError, match=r"the hub sent|HTTP 204") as error:
            fetch(tmp_path)
        assert str(error.value).isprintable()
        assert (tmp_path / f"{FILE.path}.part").read_bytes() == b""


def test_a_file_that_changes_meanwhile_is_not_mixed(fake, tmp_path):
    def change(request):
        fake.body = BODY[::-1]
        fake.send_file(request, None)

    fake.faults = [None, change]
    with pytest.raises(ValueError, match="arrived damaged"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_redirects_that_lead_nowhere_are_told(fake, tmp_path):
    for location in ("http://[::1", "ftp://host/x", "file:///etc/passwd", "", "/someone/emotions/resolve/main/x"):
        fake.faults = [lambda request, to=location: fake.send(request, 302, b"", Location=to)] * 20
        with pytest.raises(OSError, match="the hub redirects") as error:
            fetch(tmp_path)
        assert len(str(error.value)) < 600


def test_from_https_to_http_goes_only_what_a_checksum_guards(fake, monkeypatch, tmp_path):
    class Asked:
        def __init__(self, url, *_):
            self.url = url

        def send(self, seconds):
            headers = Message()
            headers["Location"] = "http://host/x"
            return web.Reply(302 if self.url.startswith("https") else 206, headers, BODY[:10], True)

    monkeypatch.setattr(hub, "Request", Asked)
    file = hub.HubFile("a.pth", 10, hashlib.sha256(BODY[:10]).hexdigest())
    assert hub.download("a/b", file, tmp_path, "https://host").read_bytes() == BODY[:10]
    told = "redirects from https to http"
    with pytest.raises(OSError, match=told):
        hub.list_files("a/b", "https://host")
    with pytest.raises(OSError, match=told):
        hub.download("a/b", file._replace(sha256=None), tmp_path, "https://host")


def test_a_hub_that_cannot_be_reached_is_named(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:9/\S+ cannot be listed: .*mirror in HF_ENDPOINT"):
        listed()


def test_an_answer_that_is_not_a_listing_is_refused(fake):
    entry = {"type": "file", "path": "a.pth", "size": 1, "oid": "1"}
    odd = [
        {"size": None},
        {"size": -1},
        {"size": 10**400},
        {"lfs": "x"},
        {"lfs": {"oid": "\x1b[2J", "size": 1, "pointerSize": 1}},
        {"path": "\x1b[2J.pth"},
        {"path": "n" * 5000 + ".pth"},
        {"path": "\ud800.pth"},
        {"path": 3},
        {"size": True},
        {"lfs": {"oid": 3}},
    ]
    answers = [b"<html>welcome</html>", b'{"error": "nothing"}', b"[1]", b"[null]", b'[{"type": "file"}]']
    answers += [b"[" * 100_000, b"", b"\xff\xfe", *(json.dumps([entry | one]).encode() for one in odd)]
    for fake.listing in answers:
        with pytest.raises(ValueError, match="did not answer with a list of files") as error:
            listed()
        assert str(error.value).isprintable()


def test_a_listing_that_trickles_is_given_up(fake, monkeypatch):
    monkeypatch.setattr(hub, "LISTING_S", 0.2)
    fake.listing_faults = ["trickle"]
    with pytest.raises(OSError, match=r"did not send its listing within 0\.2 s"):
        listed()


def test_a_file_larger_than_the_disk_is_not_begun(fake, tmp_path):
    with pytest.raises(OSError, match=r"needs 1,000,000,000,000,000,000 more bytes, and .* has [\d,]+ free"):
        fetch(tmp_path, FILE._replace(size=10**18))
    assert fake.ranges == []


def test_a_file_stays_inside_the_folder(fake, tmp_path):
    for path in ("../x.pth", "a/../../x.pth", "/etc/x.pth"):
        folder = tmp_path / "deep" / "models"
        with suppress(OSError):  # the fake hub does not know such a path
            assert fetch(folder, FILE._replace(path=path)).parent == folder
        assert [p.name for p in tmp_path.iterdir()] == ["deep"]


def test_a_name_that_could_lead_elsewhere_is_refused(fake, tmp_path):
    for path in ("..\\x.pth", "C:x.pth", "..", "", ".hidden.pth", "a\x00b.pth", "a\nb.pth"):
        with pytest.raises(ValueError, match="cannot be used as a file name") as error:
            fetch(tmp_path, FILE._replace(path=path))
        assert repr(path) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_address_is_hugging_face_or_another_web_address_without_a_login(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub.endpoint() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", " https://mirror.example/hub/ ")
    assert hub.endpoint() == "https://mirror.example/hub"
    for address in (
        "file:///etc",
        "ftp://127.0.0.1",
        "huggingface.co",
        "https://:80",
        "https://[::1",
        "https://host:99999",
    ):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(ValueError, match=f"HF_ENDPOINT is '{re.escape(address)}': expected an address such as"):
            hub.endpoint()
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example?token=secret")
    with pytest.raises(ValueError, match=r"HF_ENDPOINT holds a \? or #: expected an address"):
        hub.endpoint()
    for address in ("https://me:secret@hub.example", "ftp://me:secret@hub", "me:secret@hub"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(ValueError, match="without a login") as error:
            hub.endpoint()
        assert "secret" not in str(error.value)


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_lists_then_downloads(fake, tmp_path, capsys):
    assert main(["download", "--repository", REPOSITORY]) == 0
    assert re.search(r"scale_factor_1\.5\.pth +0\.1 MB", capsys.readouterr().out)
    assert main(["download", FILE.path, "--repository", REPOSITORY, "--to", str(tmp_path)]) == 0
    assert f"convert {tmp_path / FILE.path}" in capsys.readouterr().out
    assert complete(tmp_path)


def test_the_command_names_what_there_is(fake, tmp_path, capsys):
    assert main(["download", "scale_factor_9.pth", "--repository", REPOSITORY, "--to", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "There is no scale_factor_9.pth: the repository has scale_factor_1.5.pth, more/small" in told
    for name in ("emotions", "a/b/c", "a b/c", "?/x", ""):
        assert main(["download", "--repository", name]) == 1
        assert "is not a repository name: expected owner/name" in capsys.readouterr().err


def test_the_command_stops_in_one_line_and_keeps_what_has_come(fake, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "_show", stop)
    assert main(["download", FILE.path, "--repository", REPOSITORY, "--to", str(tmp_path)]) == 130
    assert "What has come is kept; run the same command again to go on." in capsys.readouterr().err
    assert (tmp_path / f"{FILE.path}.part").read_bytes() == BODY[:BLOCK]
