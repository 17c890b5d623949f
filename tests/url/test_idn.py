"""Host names with non-ASCII characters: with the package idna, and without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from restkit import Client, Cookies, InvalidUrl, RequestError, parse_url
from restkit.cookies.set_cookie import accept_cookie, parse_set_cookie
from restkit.network.env_proxies import EnvironmentProxies
from restkit.network.proxy import Proxy
from restkit.url.idn import encode_name
from support.scripted import ScriptedServer

pytestmark = pytest.mark.lowest

STRASSE = "xn--strae-oqa.de"

# The names that browsers send (UTS 46, nontransitional). Both ways of encoding have the first ones.
EVERYWHERE = [
    ("m\u00fcnchen.example", "xn--mnchen-3ya.example"),
    ("M\u00dcNCHEN.Example.", "xn--mnchen-3ya.example."),
    ("\u4f8b\u3048\u3002\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"),
    ("\uff57\uff57\uff57.example", "www.example"),
    ("\U0001f4a9.la", "xn--ls8h.la"),
    ("b\u00fccher.\u5927", "xn--bcher-kva.xn--pss"),
]
WITH_IDNA = [
    ("stra\u00dfe.de", STRASSE),
    ("STRA\u1e9eE.de", STRASSE),
    ("fa\u00df.de", "xn--fa-hia.de"),
    ("\u03b2\u03cc\u03bb\u03bf\u03c2.com", "xn--nxasmm1c.com"),
    ("\u0dc1\u0dca\u200d\u0dbb\u0dd3.com", "xn--10cl1a0b660p.com"),
    ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "xn--mgba3gch31f060k.com"),
]
NEVER = [
    "a\u05d0b",
    "\u0300a.de",
    "a\u200db.de",
    "a\u200cb.de",
    "xn--\u00fc",
    "a\U000e0fffb.de",
    "a\u2024b",
    "\u2024",
    "a\u2026b",
    "\u2488b",
    "a\u0660",
    "\u0e33a",
]
# With idna these are other hosts than the codec alone makes of them.
DROPPED_OR_CORRECTED = ["a\u115fb", "a\U000e0100b", "a\u2064b", "\U0002f868", "a\u17b4"]


@pytest.mark.parametrize(("name", "encoded"), EVERYWHERE + WITH_IDNA)
def test_name_is_encoded_as_in_browsers(name: str, encoded: str) -> None:
    assert encode_name(name) == encoded
    assert parse_url(f"https://{name}/").host == encoded


@pytest.mark.parametrize("name", NEVER)
def test_name_that_is_not_valid_raises(name: str) -> None:
    with pytest.raises(InvalidUrl, match="characters that are not allowed in a name"):
        parse_url(f"https://{name}/")


def test_encoded_name_stays_unchanged() -> None:
    assert parse_url(f"https://{STRASSE}/").host == STRASSE


WITHOUT_IDNA = """if True:
    import json, sys
    sys.modules['idna'] = None  # import idna raises ImportError
    from restkit.url.idn import encode_name
    results = []
    for name in json.load(sys.stdin):
        try:
            results.append(encode_name(name))
        except ValueError as exc:
            results.append(str(exc))
    json.dump(results, sys.stdout)
"""


def encode_without_idna(*names: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IDNA],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    results: list[str] = json.loads(done.stdout)
    return results


def test_without_idna_a_name_has_the_same_encoding_or_the_error_names_the_extra() -> None:
    encoded = encode_without_idna(*(name for name, _ in EVERYWHERE))
    assert encoded == [name for _, name in EVERYWHERE]
    for message in encode_without_idna(
        *(name for name, _ in WITH_IDNA), *NEVER, *DROPPED_OR_CORRECTED
    ):
        assert "install restkit[idna]" in message
        assert "or write the name in its xn-- form" in message


def test_without_idna_an_accepted_name_is_the_same_host_for_every_character() -> None:
    points = [*range(0x80, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x11000)]
    points += [*range(0x1D000, 0x1E000), *range(0x1F000, 0x20000), *range(0x2F800, 0x2FA20)]
    characters = [chr(point) for point in points if not 0xD800 <= point < 0xE000]
    names = [name for each in characters for name in (each, f"a{each}b", f"\u05d0{each}\u05d0")]
    encoded = encode_without_idna(*names)
    results = zip(names, encoded, strict=True)
    accepted = [(name, host) for name, host in results if "idna]" not in host]
    assert len(accepted) > 10_000
    for name, host in accepted:
        if host.strip("."):
            assert (name, encode_name(name)) == (name, host)


def test_without_idna_the_error_of_a_request_names_the_url_and_the_extra() -> None:
    program = """if True:
        import sys
        sys.modules['idna'] = None
        import restkit
        try:
            restkit.get('https://stra\u00dfe.de/')
        except restkit.InvalidUrl as exc:
            print(ascii(str(exc)))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "https://stra\\xdfe.de/" in done.stdout
    assert "without the package idna" in done.stdout
    assert "install restkit[idna]" in done.stdout


# The same function encodes the host everywhere


def test_redirect_to_a_non_ascii_host_is_followed() -> None:
    answers = [
        "HTTP/1.1 302 X\r\nLocation: http://stra\u00dfe.de/\u00fc\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]
    with ScriptedServer.serving(*(answer.encode() for answer in answers)) as server:
        proxy = server.origin
        with Client(proxy=proxy, trust_env=False) as client:
            response = client.get("http://faß.de/")
            assert str(response.request.url) == f"http://{STRASSE}/%C3%BC"
    assert [request.split(b"\r\n")[0] for request in server.requests] == [
        b"GET http://xn--fa-hia.de/ HTTP/1.1",
        b"GET http://xn--strae-oqa.de/%C3%BC HTTP/1.1",
    ]


def test_proxy_and_no_proxy_may_have_non_ascii_hosts() -> None:
    assert Proxy("http://stra\u00dfe.de:3128").host == STRASSE
    for no_proxy in ("stra\u00dfe.de", "*.STRA\u1e9eE.de", STRASSE):
        find = EnvironmentProxies({"http_proxy": "http://p:1", "no_proxy": no_proxy})
        assert find(parse_url("http://a.stra\u00dfe.de/")) is None
        assert find(parse_url("http://strasse.de/")) is not None


@pytest.mark.parametrize("text", ["stra\u00dfe.de", ".stra\u00dfe.de", "STRA\u1e9eE.de", STRASSE])
def test_cookie_domain_may_be_non_ascii(text: str) -> None:
    field = f"a=b; Domain={text}".encode().decode("latin-1")
    cookie = parse_set_cookie(field, now=0)
    assert cookie is not None
    assert cookie.domain == STRASSE
    cookies = Cookies()
    cookies.set("a", "b", domain=text)
    assert [each.domain.lstrip(".") for each in cookies.jar] == [STRASSE]
    cookies.delete("a", domain=text)
    assert not list(cookies.jar)


def test_cookie_domain_that_is_not_valid_is_rejected() -> None:
    cookie = parse_set_cookie("a=b; Domain=a\xffb.de", now=0)
    assert cookie is not None
    assert accept_cookie(cookie, parse_url("http://x.ab.de/")) is None
    with pytest.raises(RequestError, match=r"domain='a.* not allowed in a name"):
        Cookies().set("a", "b", domain="a\u200db.de")
