"""Downloads against a hub on this machine that fails in the ways that hubs and networks fail."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from emoticrafter.weights import hub
from emoticrafter.weights.__main__ import main

REPOSITORY = "someone/emotions"
BODY = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()
FILE = hub.HubFile("scale_factor_1.5.pth", len(BODY), SHA256)
LISTING = [
    {"type": "directory", "path": "docs", "size": 0},
    {"type": "file", "path": "README.md", "size": 10, "lfs": None},
    {"type": "file", "path": FILE.path, "size": FILE.size, "lfs": {"oid": SHA256}},
    {"type": "file", "path": "more/small.safetensors", "size": 5},
]


class FakeHub:
    """Serves one file; `faults` are taken one per request for it, then it works."""

    def __init__(self):
        self.faults, self.listing_faults, self.ranges = [], [], []
        self.body, self.listing, self.knows_ranges = BODY, json.dumps(LISTING).encode(), True
        self.elsewhere = "/elsewhere"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith(f"/api/models/{REPOSITORY}/tree/main"):
            fault = self.listing_faults.pop(0) if self.listing_faults else None
            if fault in ("endless", "trickle"):
                return self.send_without_end(request, slow=fault == "trickle")
            if fault == "cut":
                return self.send(request, 200, self.listing, len(self.listing) // 2)
            return request.send_error(*fault) if fault else self.send(request, 200, self.listing)
        if request.path == "/elsewhere":
            return self.send_file(request, None)
        if not request.path.startswith(f"/{REPOSITORY}/resolve/main/"):
            return request.send_error(404)
        self.ranges.append(request.headers.get("Range"))
        return self.send_file(request, self.faults.pop(0) if self.faults else None)

    def send_file(self, request, fault) -> None:
        if isinstance(fault, int):
            return request.send_error(fault)
        if fault == "redirect":
            return self.send(request, 302, b"", Location=self.elsewhere)
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.knows_ranges else 0
        body = self.body[start:]
        cut = len(body) // 2 if fault == "cut" else len(body)
        return self.send(request, 206 if asked and self.knows_ranges else 200, body, cut)

    def send_without_end(self, request, slow) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not (slow and Event().wait(0.01)):
                request.wfile.write(b" " if slow else b" " * 100_000)
        except ConnectionError:
            pass  # the client has hung up, as it should

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
    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(folder, file=FILE):
    return hub.download(REPOSITORY, file, folder, hub.endpoint())


def complete(folder, name=FILE.path):
    return (folder / name).read_bytes() == BODY and [path.name for path in folder.iterdir()] == [name]


# --- what goes well ----------------------------------------------------------------------------------------


def test_the_weights_of_a_repository_are_listed(fake):
    files = hub.list_files(REPOSITORY, hub.endpoint())
    assert files == [FILE, hub.HubFile("more/small.safetensors", 5, None)]


def test_a_file_is_downloaded_with_progress(fake, tmp_path, capsys):
    folder = tmp_path / "models" / "emoticrafter"
    assert fetch(folder) == folder / FILE.path
    assert complete(folder)
    assert "scale_factor_1.5.pth 0.1 of 0.1 MB (100%)" in capsys.readouterr().err


def test_a_redirect_is_followed(fake, tmp_path):
    fake.faults = ["redirect"]
    fetch(tmp_path)
    assert complete(tmp_path)


def test_a_complete_file_is_not_fetched_again(fake, tmp_path):
    (tmp_path / FILE.path).write_bytes(BODY)
    fetch(tmp_path)
    assert fake.ranges == []


@pytest.mark.parametrize("old", [BODY[:-1] + b"?", BODY[:100]])
def test_a_file_that_differs_is_replaced(fake, tmp_path, old):
    (tmp_path / FILE.path).write_bytes(old)
    fetch(tmp_path)
    assert complete(tmp_path)


# --- what goes wrong and is mended -------------------------------------------------------------------------


def test_a_cut_connection_goes_on_where_it_stopped(fake, tmp_path):
    fake.faults = ["cut", "cut"]
    fetch(tmp_path)
    assert complete(tmp_path)
    half = len(BODY) // 2
    assert fake.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_cut_listing_is_asked_for_again(fake):
    fake.listing_faults = ["cut"]
    assert FILE in hub.list_files(REPOSITORY, hub.endpoint())


def test_a_later_run_goes_on_where_an_earlier_one_stopped(fake, tmp_path):
    fake.faults = ["cut"] * hub.RETRIES
    with pytest.raises(OSError, match="stopped at 96,000 of 102,400 bytes") as error:
        fetch(tmp_path)
    assert "What has come is kept; run the same command again to go on" in str(error.value)
    assert not (tmp_path / FILE.path).exists()
    fetch(tmp_path)
    assert complete(tmp_path)
    assert fake.ranges[-1] == "bytes=96000-"


def test_a_hub_that_cannot_resume_sends_the_whole_file_again(fake, tmp_path):
    fake.knows_ranges, fake.faults = False, ["cut"]
    fetch(tmp_path)
    assert complete(tmp_path)


@pytest.mark.parametrize("fault", [500, 503, 429, 408])
def test_a_hub_that_is_busy_is_asked_again(fake, tmp_path, fault):
    fake.faults, fake.listing_faults = [fault, fault], [[fault]]
    [file, _] = hub.list_files(REPOSITORY, hub.endpoint())
    fetch(tmp_path, file)
    assert complete(tmp_path)


def test_a_remainder_that_is_too_long_is_started_over(fake, tmp_path):
    (tmp_path / f"{FILE.path}.part").write_bytes(BODY + b"?")
    fetch(tmp_path)
    assert complete(tmp_path)


def test_a_finished_remainder_is_only_moved(fake, tmp_path):
    (tmp_path / f"{FILE.path}.part").write_bytes(BODY)
    fetch(tmp_path)
    assert complete(tmp_path)
    assert fake.ranges == []


# --- what goes wrong for good ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [BODY[::-1], BODY + b"more", BODY * 100])
def test_a_file_that_is_not_what_the_hub_promised_is_removed(fake, tmp_path, body):
    fake.body = body
    with pytest.raises(ValueError, match=f"{FILE.path} arrived damaged") as error:
        fetch(tmp_path)
    assert SHA256 in str(error.value)
    assert "Download it again" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_download_leaves_the_old_file(fake, tmp_path):
    (tmp_path / FILE.path).write_bytes(b"the old one")
    fake.body = BODY[::-1]
    with pytest.raises(ValueError, match="arrived damaged"):
        fetch(tmp_path)
    assert (tmp_path / FILE.path).read_bytes() == b"the old one"


def test_a_file_that_ends_early_is_not_taken(fake, tmp_path):
    fake.body = BODY[:1000]
    with pytest.raises(OSError, match="stopped at 1,000 of 102,400 bytes"):
        fetch(tmp_path)
    assert not (tmp_path / FILE.path).exists()


@pytest.mark.parametrize("code", [404, 401, 403])
def test_a_file_that_is_not_there_is_asked_for_once(fake, tmp_path, code):
    fake.faults = [code] * 9
    with pytest.raises(OSError, match=f"HTTP Error {code}") as error:
        fetch(tmp_path)
    assert f"{REPOSITORY}/resolve/main/{FILE.path}; check the names and HF_ENDPOINT" in str(error.value)
    assert len(fake.ranges) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_stays_down_ends_with_its_answer(fake, tmp_path):
    fake.faults = [500] * 9
    with pytest.raises(OSError, match="stopped at 0 of 102,400 bytes: HTTP Error 500"):
        fetch(tmp_path)
    assert len(fake.ranges) == hub.RETRIES


def test_a_full_disk_is_told_at_once(fake, tmp_path, monkeypatch):
    real_open, opened = hub.Path.open, []

    def full(self, mode="r", *args, **kwargs):
        file = real_open(self, mode, *args, **kwargs)
        if self.suffix == ".part":
            opened.append(mode)
            file.close()
            file = real_open(hub.Path("/dev/full"), "wb", buffering=0)
        return file

    monkeypatch.setattr(hub.Path, "open", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        fetch(tmp_path)
    assert "What has come is kept" in str(error.value)
    assert opened == ["wb"]


def test_a_hub_that_cannot_be_reached_is_named(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:9/\S+ cannot be reached") as error:
        hub.list_files(REPOSITORY, hub.endpoint())
    assert "Check the network, or name a mirror in HF_ENDPOINT" in str(error.value)


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>welcome</html>",
        b'{"error": "nothing"}',
        b"[1]",
        b"[null]",
        b'[{"type": "file"}]',
        b'[{"type": "file", "path": "a.pth", "size": null}]',
        b'[{"type": "file", "path": "a.pth", "size": 1e999}]',
        b'[{"type": "file", "path": "a.pth", "size": -1}]',
        b'[{"type": "file", "path": "a.pth", "size": 1' + b"0" * 400 + b"}]",
        b'[{"type": "file", "path": "a.pth", "size": 1, "lfs": "x"}]',
        b'[{"type": "file", "path": "a.pth", "size": 1, "lfs": {"oid": "\\u001b[2J"}}]',
        b"[" * 100_000,
        b"",
        b"\xff\xfe",
    ],
)
def test_an_answer_that_is_no_listing_is_refused(fake, listing):
    fake.listing = listing
    with pytest.raises(ValueError, match="did not answer with a list of files"):
        hub.list_files(REPOSITORY, hub.endpoint())


def test_a_listing_without_end_is_refused(fake):
    fake.listing_faults = ["endless"]
    with pytest.raises(ValueError, match="answered with more than the 4,194,304 bytes of a listing"):
        hub.list_files(REPOSITORY, hub.endpoint())


def test_a_listing_that_trickles_is_given_up(fake, monkeypatch):
    monkeypatch.setattr(hub, "LISTING_S", 0.1)
    fake.listing_faults = ["trickle"]
    with pytest.raises(ValueError, match=r"did not send its listing within 0\.1 s"):
        hub.list_files(REPOSITORY, hub.endpoint())


def test_a_name_that_steers_the_terminal_is_refused(fake):
    fake.listing = json.dumps([{"type": "file", "path": "\x1b[2J.pth", "size": 1}]).encode()
    with pytest.raises(ValueError, match="lists a name with control characters") as error:
        hub.list_files(REPOSITORY, hub.endpoint())
    assert str(error.value).isprintable()


def test_an_answer_that_steers_the_terminal_is_escaped(fake):
    fake.listing_faults = [[404, "gone \x1b[2J"]]
    with pytest.raises(OSError, match=r"HTTP Error 404: 'gone \\x1b\[2J'") as error:
        hub.list_files(REPOSITORY, hub.endpoint())
    assert str(error.value).isprintable()


def test_a_redirect_away_from_the_web_is_refused(fake, tmp_path):
    fake.faults, fake.elsewhere = ["redirect"], "ftp://127.0.0.1/x"
    with pytest.raises(OSError, match="redirect from http to ftp refused"):
        fetch(tmp_path)
    assert len(fake.ranges) == 1


def test_a_redirect_never_leaves_https():
    request = hub.urllib.request.Request("https://hub.example/a")
    follow = hub._WebRedirects().redirect_request
    with pytest.raises(OSError, match="redirect from https to http refused"):
        follow(request, None, 302, "Found", {}, "http://hub.example/b")
    assert follow(request, None, 302, "Found", {}, "https://cdn.example/b").host == "cdn.example"


def test_a_file_larger_than_the_disk_is_not_begun(fake, tmp_path):
    with pytest.raises(OSError, match=r"needs 1,000,000,000,000,000,000 more bytes, and .* has [\d,]+ free"):
        fetch(tmp_path, FILE._replace(size=10**18))
    assert fake.ranges == []


@pytest.mark.parametrize("path", ["../x.pth", "a/../../x.pth", "/etc/x.pth", "../../x.safetensors"])
def test_a_file_stays_inside_the_folder(fake, tmp_path, path):
    folder = tmp_path / "deep" / "models"
    got = fetch(folder, FILE._replace(path=path))
    assert got.parent == folder
    assert complete(folder, got.name)
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("path", ["..\\x.pth", "C:x.pth", "..", "", ".hidden.pth", "a\x00b.pth", "a\nb.pth"])
def test_a_name_that_could_lead_elsewhere_is_refused(fake, tmp_path, path):
    with pytest.raises(ValueError, match="is no name that can be saved") as error:
        fetch(tmp_path, FILE._replace(path=path))
    assert repr(path) in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1", "huggingface.co", "https://:80"])
def test_an_address_that_is_no_hub_is_refused(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ValueError, match="HF_ENDPOINT is") as error:
        hub.endpoint()
    assert f"{address!r}: expected an address such as https://huggingface.co" in str(error.value)


@pytest.mark.parametrize("address", ["https://me:secret@hub.example", "ftp://me:secret@hub", "me:secret@hub"])
def test_a_password_in_the_address_is_refused_and_not_shown(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ValueError, match="without a login") as error:
        hub.endpoint()
    assert "secret" not in str(error.value)


def test_the_hub_is_hugging_face_unless_another_is_named(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub.endpoint() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", " https://mirror.example/hub/ ")
    assert hub.endpoint() == "https://mirror.example/hub"


@pytest.mark.parametrize("name", ["emotions", "a/b/c", "a b/c", "?/x", ""])
def test_a_name_that_is_no_repository_is_refused(fake, name):
    with pytest.raises(ValueError, match="is no repository name: expected owner/name"):
        hub.list_files(name, hub.endpoint())


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
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [404, 401])
def test_the_command_ends_in_one_line_for_a_repository_that_is_not_there(fake, capsys, code):
    fake.listing_faults = [[code]]
    assert main(["download", "--repository", REPOSITORY]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: HTTP Error {code}")
    assert "check the names and HF_ENDPOINT" in told


def test_the_command_stops_in_one_line_and_keeps_what_has_come(fake, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "_show", stop)
    assert main(["download", FILE.path, "--repository", REPOSITORY, "--to", str(tmp_path)]) == 130
    assert "What has come is kept; run the same command again to go on." in capsys.readouterr().err
    assert (tmp_path / f"{FILE.path}.part").read_bytes() == BODY
