"""The snippets of the document "Streaming" on chains, forms and zips, without async.

They are unchanged, except that nothing is awaited, names come from restkit, and URLs are replaced
when a snippet runs.
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
"""  # noqa: E501  # unchanged

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

ZIP_IMPORTS = """
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


def serve_texts():
    """Return a server of TEXTS: the one at / with a length, the others chunked."""

    def script(peer):
        while request := peer.next_request():
            path = request.split()[1].decode()
            text = TEXTS[path]
            peer.send(response(text) if path == "/" else chunked_response(text[:99], text[99:]))

    return ScriptedServer(script)


def serve_errors_first(count):
    """Return a server that sends ``count`` errors before it accepts a request."""
    errors = [response(b"no", status="500 Internal Server Error")] * count
    return ScriptedServer.serving(*errors, response(b"thanks"))


def run(snippet, get="", post="", names=None):
    """Run a snippet alone, or after another with its ``names``. Return its names."""
    code = snippet
    for number in "01":
        code = code.replace(f"'get_url_{number}'", repr(f"{get}{number}"))
    code = code.replace("'get_url'", repr(get)).replace("'post_url'", repr(post))
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(code, "<seed>", "exec"), names)
    return names


def test_stream_of_a_response_is_printed(capsys):
    with serve_texts() as source:
        run(PRINTING, source.url())["http"].close()
    assert "".join(capsys.readouterr().out.split("'")[1::2]) == "hello there"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_S02_response_without_a_body_has_no_stream(status, capsys):
    raw_response = f"HTTP/1.1 {status}\r\n\r\n".encode()
    with ScriptedServer.serving(raw_response) as source:
        run(PRINTING, source.url())["http"].close()
    assert capsys.readouterr().out == ""


def test_S03_generator_is_sent_chunked():
    with ScriptedServer.serving(response(b"")) as sink:
        run(SENDING, post=sink.url())["http"].close()
    assert field(sink.request, "content-type") == "application/octet-stream"
    assert field(sink.request, "content-length") is None
    assert body_of(sink.request) == b"6\r\nhello\n\r\n6\r\nthere\n\r\n0\r\n\r\n"


def test_S05_stream_of_a_response_is_sent():
    with serve_texts() as source, ScriptedServer.serving(response(b"")) as sink:
        run(CHAINING, source.url(), sink.url())["http"].close()
    assert field(sink.request, "transfer-encoding") == "chunked"
    assert payload_of(sink.request) == b"hello there"


@pytest.mark.parametrize("errors", [0, 2, 4, 5])
def test_S11_stream_function_is_called_for_each_attempt(errors):
    with serve_texts() as source, serve_errors_first(errors) as sink:
        names = run(REUSABLE + RETRYING, source.url(), sink.url())
        names["http"].close()
    attempts = min(errors + 1, 5)
    assert [payload_of(each) for each in sink.requests] == [b"hello there"] * attempts
    assert len(source.requests) == attempts
    assert names["response"].status == (500 if errors == 5 else 200)


def test_S14_form_of_two_streams_is_sent_again():
    with serve_texts() as source, serve_errors_first(1) as sink:
        names = run(REUSABLE)
        run(FORM, source.url(), sink.url(), names)
        names["http"].close()
    assert len(sink.requests) == 2
    for request in sink.requests:
        assert field(request, "transfer-encoding") == "chunked"
        content_type = field(request, "content-type")
        message = email.message_from_bytes(
            f"Content-Type: {content_type}\r\n\r\n".encode() + payload_of(request)
        )
        first, second = message.get_payload()
        assert first["content-disposition"] == 'form-data; name="files[0]"; filename="sister.txt"'
        assert second["content-disposition"] == 'form-data; name="files[1]"; filename="love.txt"'
        assert first.get_payload(decode=True) == TEXTS["/0"]
        assert second.get_payload(decode=True) == TEXTS["/1"]
        boundary = message.get_boundary().encode()
        assert payload_of(request).endswith(b"\r\n--" + boundary + b"--\r\n")


def test_S23_zip_of_two_streams_is_sent_again():
    with serve_texts() as source, serve_errors_first(1) as sink:
        names = run(REUSABLE)
        run(ZIP, source.url(), sink.url(), names)
        names["http"].close()
    first, second = (payload_of(request) for request in sink.requests)
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["sister.txt", "love.txt"]
        assert [archive.read(name) for name in archive.namelist()] == [TEXTS["/0"], TEXTS["/1"]]


TILDE_NAMES = ["a.txt", "a.txt", "a~5.txt", "a~5.txt", "a (1).txt", "a (1).txt"]
DUPLICATE_NAMES = ["sister.txt", "sister.txt"]


@pytest.mark.parametrize(
    ("snippet", "names", "expected"),
    [
        (DUPLICATES, DUPLICATE_NAMES, DUPLICATE_NAMES),
        (
            TILDES,
            TILDE_NAMES,
            ["a.txt", "a~1.txt", "a~5.txt", "a~2.txt", "a (1).txt", "a (1)~1.txt"],
        ),
        (POSTFIXES, DUPLICATE_NAMES, ["sister_0000.txt", "sister_0001.txt"]),
    ],
    ids=["None", "default with own regex", "own deduplicator"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_S27_duplicate_names_follow_the_deduplicator(snippet, names, expected):
    files = [ZipStreamFile(name, b"text of it") for name in names]
    stream = run(ZIP_IMPORTS + snippet, names={"files": files})["zip_stream"]
    for _ in range(2):  # S1.41: a generator as deduplicator serves every pass
        with zipfile.ZipFile(io.BytesIO(b"".join(map(bytes, stream)))) as archive:
            assert archive.namelist() == expected


@pytest.mark.parametrize("snippet", [PRINTING, SENDING, CHAINING, REUSABLE + RETRYING])
def test_documentation_contains_the_snippet(snippet):
    page = (Path(__file__).parents[2] / "docs" / "streaming.rst").read_text()
    assert textwrap.indent(snippet.strip("\n"), "    ") in page
