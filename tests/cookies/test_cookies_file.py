"""Cookies in a file: what is written, what is read, and by whom else."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from http.cookiejar import CookieJar, MozillaCookieJar
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Client, RequestError
from restkit.cookies.cookies import Cookies
from restkit.cookies.jar_policy import make_cookie
from restkit.cookies.set_cookie import SetCookie
from support import ScriptedServer, field, response

LATER = 4_000_000_000  # in 2096; a constant, because names of tests contain it


def states(cookies):
    """Return every attribute that the file keeps, of each cookie."""
    return sorted(
        (
            one.domain,
            one.path,
            one.name,
            one.value or "",
            one.secure,
            one.expires,
            one.discard,
            one.has_nonstandard_attr("HttpOnly"),
        )
        for one in cookies.jar
    )


def store(cookies, name, value, *, domain="example.com", path="/", **attributes):
    cookies.jar.set_cookie(make_cookie(SetCookie(name, value, **attributes), domain, path))


def test_a_saved_jar_is_loaded_by_another_client(tmp_path):
    path = tmp_path / "cookies.txt"

    def script(peer):
        peer.next_request()
        peer.send(response(b"", "Set-Cookie: sid=abc; Path=/; HttpOnly"))

    with ScriptedServer(script) as server, Client() as client:
        client.get(server.url())
        client.cookies.save(path)
        port = server.port
    assert path.read_text().splitlines()[-1] == (
        "#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tsid\tabc"
    )
    with ScriptedServer(lambda peer: peer.send(response(peer.next_request()))) as server:
        with Client() as client:
            client.cookies.load(path)
            assert field(client.get(server.url()).body, "cookie") == "sid=abc"
            assert server.port != port


def test_lines_of_the_file_are_those_of_curl(tmp_path):
    cookies = Cookies()
    cookies.set("a", "1", domain="Example.com")
    cookies.set("b", "", domain=".example.com", path="/x y", secure=True)
    cookies.set("c", "3", domain="localhost")
    cookies.set("d", "4", domain="::1")
    store(cookies, "e", "5", expires=LATER, http_only=True)
    cookies.save(tmp_path / "file")
    assert sorted((tmp_path / "file").read_text().splitlines()[3:]) == [
        f"#HttpOnly_example.com\tFALSE\t/\tFALSE\t{LATER}\te\t5",
        ".example.com\tTRUE\t/x%20y\tTRUE\t0\tb\t",
        "::1\tFALSE\t/\tFALSE\t0\td\t4",
        "example.com\tFALSE\t/\tFALSE\t0\ta\t1",
        "localhost\tFALSE\t/\tFALSE\t0\tc\t3",
    ]
    loaded = Cookies()
    loaded.load(tmp_path / "file")
    assert states(loaded) == states(cookies)


NAMES = st.text(st.characters(codec="latin-1", exclude_characters=";=\x7f", min_codepoint=32))
VALUES = st.text(st.characters(codec="latin-1", exclude_characters=";\x7f", min_codepoint=32))
HOSTS = st.sampled_from(["example.com", ".example.com", "a.b.c.example", "localhost.", "10.0.0.1"])
COOKIE = st.tuples(
    NAMES.filter(bool),
    VALUES,
    HOSTS,
    st.sampled_from(["/", "/a/b", "/%C3%A9;x", "/\t\xe9"]),
    st.booleans(),
    st.none() | st.integers(LATER, 253402300799),
    st.booleans(),
)


@given(st.lists(COOKIE, max_size=8))
def test_saved_and_loaded_jars_are_equal(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("jar") / "cookies"
    cookies, loaded = Cookies(), Cookies()
    for name, value, domain, at, secure, expires, http_only in made:
        store(cookies, name, value, domain=domain, path=at, secure=secure, expires=expires,
              http_only=http_only)  # fmt: skip
    cookies.save(path)
    loaded.load(path)
    assert states(loaded) == states(cookies)


def test_session_cookies_are_left_out_by_choice(tmp_path):
    cookies = Cookies()
    cookies.set("session", "1", domain="example.com")
    store(cookies, "lasting", "2", expires=LATER)
    loaded = Cookies()
    cookies.save(tmp_path / "file", session_cookies=False)
    loaded.load(tmp_path / "file")
    assert dict(loaded.items()) == {"lasting": "2"}
    cookies.save(tmp_path / "file")
    loaded.load(tmp_path / "file")
    assert dict(loaded.items()) == {"lasting": "2", "session": "1"}


def test_expired_cookies_are_neither_saved_nor_loaded(tmp_path):
    cookies = Cookies(CookieJar())
    store(cookies, "old", "1", expires=1)
    cookies.save(tmp_path / "file")
    assert "example.com" not in (tmp_path / "file").read_text()
    (tmp_path / "file").write_text("example.com\tFALSE\t/\tFALSE\t1\told\t1\n")
    cookies.load(tmp_path / "file")
    assert "old" not in cookies


@pytest.mark.parametrize("older", [None, 0o644])
def test_file_is_readable_by_its_owner_only(tmp_path, older):
    path = tmp_path / "cookies.txt"
    if older:
        path.write_text("old")
        path.chmod(older)
    Cookies().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["cookies.txt"]


def test_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text("old")
    with path.open() as reader:
        Cookies().save(path)
        assert reader.read() == "old"
    assert path.read_text().startswith("# Netscape HTTP Cookie File\n")


def test_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "cookies.txt"
    path.write_text("old")

    def replace(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="the disk is full"):
        Cookies().save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["cookies.txt"]


def test_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    Cookies().save(link)
    assert link.is_symlink()
    assert target.read_text().startswith("# Netscape")


def test_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        cookies = Cookies()
        cookies.set("a", "1", domain="example.com")
        cookies.save(pipe)
        written = os.read(reader, 10_000)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert written.endswith(b"\nexample.com\tFALSE\t/\tFALSE\t0\ta\t1\n")
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("domain", ["#c", ".#c", "a#b", "a?b", "a\0b", "a\x7fb"])
def test_domain_that_the_file_would_lose_is_an_error_of_set(domain):
    with pytest.raises(RequestError, match="domain must be a host"):
        Cookies().set("a", "1", domain=domain)


@pytest.mark.parametrize("domain", ["#c.example", "a\tb.example"])
def test_domain_of_an_own_jar_that_the_file_would_lose_is_an_error_of_save(tmp_path, domain):
    cookies = Cookies(CookieJar())
    cookies.jar.set_cookie(make_cookie(SetCookie("a", "1"), domain, "/"))
    with pytest.raises(RequestError, match="cookie 'a' cannot be saved: its domain is"):
        cookies.save(tmp_path / "file")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "cookie",
    [
        SetCookie("a", "1\t2"),
        SetCookie("a", "1\n2"),
        SetCookie("a", "1; b=2"),
        SetCookie("a=b", "1"),
        SetCookie("a", "\u0171"),
    ],
)
def test_cookie_that_the_file_cannot_hold_is_an_error(tmp_path, cookie):
    cookies = Cookies(CookieJar())
    cookies.jar.set_cookie(make_cookie(cookie, "example.com", "/"))
    with pytest.raises(RequestError, match="cannot be saved"):
        cookies.save(tmp_path / "file")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hello", "this line has 1"),
        ("e.com\tFALSE\t/\tFALSE\t0\ta\tsecret\tmore", "this line has 8"),
        ("e.com\tno\t/\tFALSE\t0\ta\tsecret", "must be TRUE or FALSE"),
        ("e.com\tFALSE\t/\t\t0\ta\tsecret", "must be TRUE or FALSE"),
        ("e.com\tFALSE\tx\tFALSE\t0\ta\tsecret", "must begin with a slash"),
        ("e.com\tFALSE\t/\tFALSE\tsoon\ta\tsecret", "the fifth field"),
        ("e.com\tFALSE\t/\tFALSE\t1e12\ta\tsecret", "the fifth field"),
        ("e.com\tFALSE\t/\tFALSE\t--1\ta\tsecret", "the fifth field"),
        ("e.com\tFALSE\t/\tFALSE\t\u00b2\ta\tsecret", "the fifth field"),
        ("http://e.com\tFALSE\t/\tFALSE\t0\ta\tsecret", "the first field"),
        ("\tFALSE\t/\tFALSE\t0\ta\tsecret", "the first field"),
        ("e.com\tFALSE\t/\tFALSE\t0\t\tsecret", "not allowed in a cookie"),
        ("e.com\tFALSE\t/\tFALSE\t0\ta\tsecret; b=c", "not allowed in a cookie"),
        ("e.com\tFALSE\t/\tFALSE\t0\ta\tsecret\0", "not allowed in a cookie"),
        ('{"cookies": "secret"}', "this line has 1"),
    ],
)
def test_damaged_file_is_an_error_that_names_the_line(tmp_path, line, reason):
    path = tmp_path / "cookies.txt"
    good = "e.com\tFALSE\t/\tFALSE\t0\tgood\t1\n"
    path.write_bytes(f"# comment\n{good}\n{line}\n".encode("latin-1"))
    cookies = Cookies()
    with pytest.raises(RequestError) as caught:
        cookies.load(path)
    assert f"{str(path)!r}, line 4: " in str(caught.value)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    assert cookies.empty


@given(st.binary(max_size=300))
def test_any_bytes_are_loaded_or_a_request_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("jar") / "cookies"
    path.write_bytes(data)
    cookies = Cookies()
    with suppress(RequestError):
        cookies.load(path)
        cookies.save(path)


def test_missing_file_is_the_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        Cookies().load(tmp_path / "none")


def test_lines_of_other_programs_are_read(tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_bytes(
        b"example.com\tTRUE\t/\tFALSE\t0\tdomain\twithout a dot\r\n"
        b".example.com\tFALSE\t/\tFALSE\t0\thost\twith a dot\n"
        b"example.com\tFALSE\t/\tFALSE\t99999999999999999\tfar\t1\n"
        b"example.com\tFALSE\t/\tFALSE\t\tpython\tno time\n"
        b"example.com\tFALSE\t/\tFALSE\t0\tempty"
    )
    cookies = Cookies()
    cookies.load(path)
    assert [state[:4] + state[5:6] for state in states(cookies)] == [
        (".example.com", "/", "domain", "without a dot", None),
        ("example.com", "/", "empty", "", None),
        ("example.com", "/", "far", "1", 253402300799),
        ("example.com", "/", "host", "with a dot", None),
        ("example.com", "/", "python", "no time", None),
    ]


FILES_OF_OTHERS = [
    ("\ufeff# Netscape HTTP Cookie File\n{}\n", ["a"]),
    ("\ufeff{}\n", ["a"]),
    ("127.0.0.1\tfalse\t/\tFalse\t0\ta\t1\n", ["a"]),
    ("127.0.0.1\tfalse\t/\ttrue\t0\ta\t1\n", ["a"]),
    (f"127.0.0.1\tFALSE\t/\tFALSE\t{LATER}.75\ta\t1\n", ["a"]),
    ("127.0.0.1\tFALSE\t/\tFALSE\t0.5\ta\t1\n", ["a"]),
    (f"127.0.0.1\tFALSE\t/\tFALSE\t+{LATER}\ta\t1\n", ["a"]),
    ("127.0.0.1\tFALSE\t/\tFALSE\t-1\ta\t1\n", []),
    ("127.0.0.1\tFALSE\t/\tFALSE\t1.5\ta\t1\n", []),
]
A_LINE = "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1"


@pytest.mark.parametrize(("text", "names"), FILES_OF_OTHERS)
def test_bom_lower_case_flags_and_odd_times_are_read(tmp_path, text, names):
    path = tmp_path / "cookies.txt"
    path.write_text(text.format(A_LINE), encoding="utf-8")
    cookies = Cookies()
    cookies.load(path)
    assert [(one.domain, one.name) for one in cookies.jar] == [("127.0.0.1", one) for one in names]


# curl 7.88 takes a BOM before a cookie for a part of its domain.
@pytest.mark.parametrize(("text", "names"), [FILES_OF_OTHERS[0], *FILES_OF_OTHERS[2:]])
def test_bom_lower_case_flags_and_odd_times_are_read_as_in_curl(tmp_path, text, names):
    path = tmp_path / "cookies.txt"
    path.write_text(text.format(A_LINE), encoding="utf-8")
    with ScriptedServer(lambda peer: peer.send(response(peer.next_request()))) as server:
        echoed = run_curl("--cookie", str(path), server.url())
    assert (field(echoed, "cookie") == "a=1") == bool(names)


def test_lower_case_true_is_a_secure_cookie_and_one_of_subdomains(tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text(
        f"example.com\ttrue\t/\ttrue\t{LATER}.75\ta\t1\nexample.com\tFALSE\t/\tFALSE\t0.5\tb\t1\n"
    )
    cookies = Cookies()
    cookies.load(path)
    assert [(state[0], *state[4:6]) for state in states(cookies)] == [
        (".example.com", True, LATER),
        ("example.com", False, None),
    ]


def test_the_standard_library_reads_the_file(tmp_path):
    cookies = Cookies()
    cookies.set("a", "1", domain="example.com")
    store(cookies, "b", "2", domain=".example.com", expires=LATER, http_only=True)
    cookies.save(tmp_path / "file")
    jar = MozillaCookieJar(tmp_path / "file")
    jar.load(ignore_discard=True, ignore_expires=True)  # to it, 0 is the year 1970
    assert {(one.domain, one.name, one.value) for one in jar} == {
        ("example.com", "a", "1"),
        (".example.com", "b", "2"),
    }


def run_curl(*arguments):
    if which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("curl is not installed, and in CI no test that needs it is skipped")
        pytest.skip("curl is not installed")
    curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "60", *arguments]
    return subprocess.run(curl, check=True, capture_output=True, timeout=90).stdout


def test_curl_sends_the_cookies_of_the_file(tmp_path):
    cookies = Cookies()
    cookies.set("a", "1 \xe9", domain="127.0.0.1")
    store(cookies, "b", "2", domain="127.0.0.1", path="/deep", expires=LATER, http_only=True)
    cookies.set("c", "3", domain="example.com")
    cookies.save(tmp_path / "file")
    with ScriptedServer(lambda peer: peer.send(response(peer.next_request()))) as server:
        echoed = run_curl("--cookie", str(tmp_path / "file"), server.url("/deep/er"))
    assert field(echoed, "cookie") == "b=2; a=1 \xe9"


def test_the_file_of_curl_is_read(tmp_path):
    def script(peer):
        peer.next_request()
        fields = ("a=1; HttpOnly", "b=2; Path=/x; Max-Age=1000", "c=")
        peer.send(response(b"", *(f"Set-Cookie: {one}" for one in fields)))

    with ScriptedServer(script) as server:
        run_curl("--cookie-jar", str(tmp_path / "file"), server.url())
    cookies = Cookies()
    cookies.load(tmp_path / "file")
    assert [(*state[:5], state[6], state[7]) for state in states(cookies)] == [
        ("127.0.0.1", "/", "a", "1", False, True, True),
        ("127.0.0.1", "/", "c", "", False, True, False),
        ("127.0.0.1", "/x", "b", "2", False, False, False),
    ]
