"""The snippets of "Streaming", the document that asked for chains, forms and zips, made blocking.

Letter for letter, but that nothing is awaited, that names come from restkit, and that URLs are
replaced as the snippet is run.
"""

from __future__ import annotations

import email
import io
import textwrap
import zipfile
from pathlib import Path

import pytest

from restkit.streaming import ZipStreamFile
from support import ScriptedServer, body_of, chunked_response, field, payload_of, response

pytestmark = pytest.mark.smoke

PRINTING = """
from restkit import Client


http = Client()


with http.get('get_url') as response:
    payload_stream = response.payload_stream
    if (payload_stream is not None):
        for chunk in payload_stream:
            print(chunk)
"""

SENDING = """
from restkit import Client


def stream_data():
    yield b'hello\\n'
    yield b'there\\n'


http = Client()


http.post('post_url', data = stream_data())
"""

CHAINING = """
from restkit import Client


def stream_data_from_get_request(http, url):
    response = http.get(url)
    payload_stream = response.payload_stream
    if (payload_stream is not None):
        for chunk in payload_stream:
            yield chunk


http = Client()


http.post('post_url', data = stream_data_from_get_request(http, 'get_url'))
"""

REUSABLE = """
from restkit import Client
from restkit.streaming import ResourceStreamFunction


@ResourceStreamFunction
def create_get_request_stream_resource(http, url):
    response = http.get(url)
    payload_stream = response.payload_stream
    if (payload_stream is not None):
        for chunk in payload_stream:
            yield chunk


http = Client()
"""

RETRYING = """

for retry in range(5):
    with http.post('post_url', data = create_get_request_stream_resource(http, 'get_url')) as response:

        # Repeat on internal server error up to 4 more times
        if response.status < 500:
            break
"""  # noqa: E501  # as it stands

FORM = """
from restkit import FormData


form = FormData()
form.add_field(
    f'files[0]',
    create_get_request_stream_resource(http, 'get_url_0'),
    file_name = 'sister.txt',
    content_type = 'application/octet-stream',
)
form.add_field(
    f'files[1]',
    create_get_request_stream_resource(http, 'get_url_1'),
    file_name = 'love.txt',
    content_type = 'application/octet-stream',
)

for retry in range(5):
    with http.post('post_url', data = form) as response:

        # Repeat on internal server error up to 4 more times
        if response.status < 500:
            break
"""

ZIP = """
from restkit.streaming import ZipStreamFile, create_zip_stream_resource


data = create_zip_stream_resource([
    ZipStreamFile(
        'sister.txt',
        create_get_request_stream_resource(http, 'get_url_0'),
    ),
    ZipStreamFile(
        'love.txt',
        create_get_request_stream_resource(http, 'get_url_1'),
    ),
])

for retry in range(5):
    with http.post('post_url', data = data) as response:

        # Repeat on internal server error up to 4 more times
        if response.status < 500:
            break
"""

OF_ZIPS = """
from restkit.streaming import create_zip_stream_resource
"""

DUPLICATES = """
zip_stream = create_zip_stream_resource(files, name_deduplicator = None)
"""

TILDES = """
from re import compile as re_compile
from restkit.streaming import name_deduplicator_default

NAME_REGEX = re_compile('((?:.*/)?.*?)(?:~(\\\\d+))?(?:\\\\.(.*?))?')

def name_reconstructor(path, index, extension):
    name_parts = [path]

    if index:
        name_parts.append('~')
        name_parts.append(str(index))

    if (extension is not None):
        name_parts.append('.')
        name_parts.append(extension)

    return ''.join(name_parts)


zip_stream = create_zip_stream_resource(
    files,
    name_deduplicator = name_deduplicator_default(NAME_REGEX, name_reconstructor),
)
"""

POSTFIXES = """
from itertools import count
from re import compile as re_compile


NAME_REGEX = re_compile('((?:.*/)?.*?)(?:\\\\.(.*?))?')


def name_reconstructor(path, index, extension):
    name_parts = [path, '_', str(index).rjust(4, '0')]

    if (extension is not None):
        name_parts.append('.')
        name_parts.append(extension)

    return ''.join(name_parts)


def name_deduplicator_postfixed():
    name = yield

    for index in count():
        match = NAME_REGEX.fullmatch(name)
        if match is None:
            path = name
            extension = None
        else:
            path, extension = match.groups()

        name = yield name_reconstructor(path, index, extension)


zip_stream = create_zip_stream_resource(
    files,
    name_deduplicator = name_deduplicator_postfixed(),
)
"""

TEXTS = {"/": b"hello there", "/0": b"she is my sister\n" * 5000, "/1": b"love, in chunks\n" * 5000}


def texts():
    """A server of TEXTS: one by its length, the others in chunks, under the names of the seed."""

    def script(peer):
        while request := peer.next_request():
            path = request.split()[1].decode()
            text = TEXTS[path]
            peer.send(response(text) if path == "/" else chunked_response(text[:99], text[99:]))

    return ScriptedServer(script)


def failing(count):
    """A server that fails so many times before it takes what it is sent."""
    errors = [response(b"no", status="500 Internal Server Error")] * count
    return ScriptedServer.serving(*errors, response(b"thanks"))


def run(snippet, get="", post="", names=None):
    """The names that the snippet leaves, as a program of its own or after another."""
    code = snippet
    for number in "01":
        code = code.replace(f"'get_url_{number}'", repr(f"{get}{number}"))
    code = code.replace("'get_url'", repr(get)).replace("'post_url'", repr(post))
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(code, "<seed>", "exec"), names)
    return names


def test_the_stream_of_a_response_is_printed(capsys):
    with texts() as source:
        run(PRINTING, source.url())["http"].close()
    assert "".join(capsys.readouterr().out.split("'")[1::2]) == "hello there"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_S02_there_is_no_stream_where_there_is_no_body(status, capsys):
    answer = f"HTTP/1.1 {status}\r\n\r\n".encode()
    with ScriptedServer.serving(answer) as source:
        run(PRINTING, source.url())["http"].close()
    assert capsys.readouterr().out == ""


def test_S03_a_generator_is_sent_in_chunks():
    with ScriptedServer.serving(response(b"")) as sink:
        run(SENDING, post=sink.url())["http"].close()
    assert field(sink.request, "content-type") == "application/octet-stream"
    assert field(sink.request, "content-length") is None
    assert body_of(sink.request) == b"6\r\nhello\n\r\n6\r\nthere\n\r\n0\r\n\r\n"


def test_S05_the_stream_of_a_response_is_sent_on():
    with texts() as source, ScriptedServer.serving(response(b"")) as sink:
        run(CHAINING, source.url(), sink.url())["http"].close()
    assert field(sink.request, "transfer-encoding") == "chunked"
    assert payload_of(sink.request) == b"hello there"


@pytest.mark.parametrize("errors", [0, 2, 4, 5])
def test_S11_the_stream_is_made_again_for_each_try(errors):
    with texts() as source, failing(errors) as sink:
        names = run(REUSABLE + RETRYING, source.url(), sink.url())
        names["http"].close()
    tries = min(errors + 1, 5)
    assert [payload_of(each) for each in sink.requests] == [b"hello there"] * tries
    assert len(source.requests) == tries
    assert names["response"].status == (500 if errors == 5 else 200)


def test_S14_a_form_of_two_streams_is_sent_again_with_both():
    with texts() as source, failing(1) as sink:
        names = run(REUSABLE)
        run(FORM, source.url(), sink.url(), names)
        names["http"].close()
    assert len(sink.requests) == 2
    for request in sink.requests:
        assert field(request, "transfer-encoding") == "chunked"
        kind = field(request, "content-type")
        message = email.message_from_bytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + payload_of(request)
        )
        first, second = message.get_payload()
        assert first["content-disposition"] == 'form-data; name="files[0]"; filename="sister.txt"'
        assert second["content-disposition"] == 'form-data; name="files[1]"; filename="love.txt"'
        assert first.get_payload(decode=True) == TEXTS["/0"]
        assert second.get_payload(decode=True) == TEXTS["/1"]
        boundary = message.get_boundary().encode()
        assert payload_of(request).endswith(b"\r\n--" + boundary + b"--\r\n")


def test_S23_a_zip_of_two_streams_is_sent_again_with_both():
    with texts() as source, failing(1) as sink:
        names = run(REUSABLE)
        run(ZIP, source.url(), sink.url(), names)
        names["http"].close()
    first, second = (payload_of(request) for request in sink.requests)
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["sister.txt", "love.txt"]
        assert [archive.read(name) for name in archive.namelist()] == [TEXTS["/0"], TEXTS["/1"]]


TAKEN = ["a.txt", "a.txt", "a~5.txt", "a~5.txt", "a (1).txt", "a (1).txt"]
TWICE = ["sister.txt", "sister.txt"]


@pytest.mark.parametrize(
    ("snippet", "given", "named"),
    [
        (DUPLICATES, TWICE, TWICE),
        (
            TILDES,
            TAKEN,
            ["a.txt", "a~1.txt", "a~5.txt", "a~2.txt", "a (1).txt", "a (1)~1.txt"],
        ),
        (POSTFIXES, TWICE, ["sister_0000.txt", "sister_0001.txt"]),
    ],
    ids=["None", "the default otherwise", "one of the caller's own"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_S27_names_in_a_zip_are_told_apart_as_the_caller_wants(snippet, given, named):
    files = [ZipStreamFile(name, b"text of it") for name in given]
    stream = run(OF_ZIPS + snippet, names={"files": files})["zip_stream"]
    for _ in range(2):  # S1.41: a deduplicator that is a generator serves every pass
        with zipfile.ZipFile(io.BytesIO(b"".join(map(bytes, stream)))) as archive:
            assert archive.namelist() == named


@pytest.mark.parametrize("snippet", [PRINTING, SENDING, CHAINING, REUSABLE + RETRYING])
def test_the_documentation_shows_what_runs_here(snippet):
    shown = (Path(__file__).parents[2] / "docs" / "streaming.rst").read_text()
    assert textwrap.indent(snippet.strip("\n"), "    ") in shown
