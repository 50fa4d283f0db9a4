"""A key is blanked however a server spells it, and where a text was cut."""

import base64
import json
from urllib.parse import quote

import pytest

from emoticrafter.language.chat import ChatSettings, FatalError, Server, ServerError
from emoticrafter.language.secret import Secret
from tests.library.chat_server import serving, status

KEY = "sk-secret/01+234=56789"


def test_a_key_is_blanked_however_it_is_spelled():
    escaped = "".join(f"\\u{ord(mark):04X}" for mark in KEY)
    spelled = [KEY, json.dumps(KEY)[1:-1].replace("/", "\\/"), escaped, escaped.replace("\\", "\\\\"), KEY + KEY]
    spelled += [quote(KEY, safe=""), quote(quote(KEY, safe="")), "".join(f"%{ord(mark):02x}" for mark in KEY)]
    spelled += ["".join(f"&#{ord(mark)};" for mark in KEY), "".join(f"&#x{ord(mark):x};" for mark in KEY)]
    for text in spelled:
        assert Secret(KEY).blanked(f"key={text}&x") == "key=***&x"
    for before in ("", "u:", "me:", "Bearer "):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found = Secret(KEY).blanked(encode(f"{before}{KEY}".encode()).decode())
            assert "***" in found and len(found) < 20


def test_a_part_of_a_key_is_blanked_in_an_excerpt_alone():
    for text in (f"no {KEY[:9]} here", f"no {KEY[3:14]} here", f"no {KEY[9:]} here"):
        assert Secret(KEY).blanked(text, parts=True) == "no *** here"
        assert Secret(KEY).blanked(text) == text
    assert Secret(KEY).blanked(f"no {KEY[:4]}", parts=True) == "no ***"


def test_a_key_that_hides_nothing_blanks_nothing():
    assert Secret("x").blanked("an axe") == Secret("").blanked("an axe") == "an axe"
    assert Secret("ollama").blanked("an ollama") == "an ***"


def test_an_error_that_is_cut_inside_the_key_shows_no_part_of_it():
    for shown in range(1, len(KEY)):
        for size in (120, 300, 2000, 20_000):
            for blank in (" ", "x"):
                body = blank * (size - shown) + KEY
                with serving(status(500, body)) as server:
                    chat = Server(ChatSettings(server.url, "tester", key=KEY, tries=1))
                    with pytest.raises(ServerError) as caught:
                        chat.chat([])
                assert KEY[:4] not in str(caught.value), (shown, size)


def test_an_address_with_a_key_in_it_is_refused_without_showing_it():
    for url in (f"https://host/v1?api_key={KEY}", f"https://host/v1#{KEY}", f"https://me:{KEY}@host/v1"):
        [problem] = ChatSettings(url, "tester").problems()
        assert "take" in problem and KEY[:5] not in problem


def test_control_characters_of_a_server_are_spelled_out():
    for body in ("\x1b[2Jno\x07", "no\u202e", "no\x9b"):
        with serving(status(401, body)) as server, pytest.raises(FatalError) as caught:
            Server(ChatSettings(server.url, "tester", key=KEY)).chat([])
        assert str(caught.value).isprintable() and "\\" in str(caught.value)
