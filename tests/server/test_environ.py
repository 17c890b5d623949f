"""Paths read from a WSGI environ: properties that hold for every input."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from restkit.server.environ import ENCODED_SLASH, read_encoded_path, read_target
from restkit.server.exceptions import InvalidUsage
from support.wsgi_calls import make_environ

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1))
def test_any_sent_path_is_decoded_segment_by_segment(segments):
    sent = "/" + "/".join(quote(each, safe="") for each in segments)
    environ = make_environ(target=sent, RAW_URI=sent)
    target = read_target(environ)
    assert target.path == "/" + "/".join(segments)
    inside = [each.replace("/", ENCODED_SLASH) for each in segments]
    assert target.match_path == "/" + "/".join(inside)
    assert unquote(target.encoded) == target.path
    assert target.encoded.isascii()


@given(path=st.text(), raw=st.text(), script=st.text())
def test_encoded_path_never_fails(path, raw, script):
    environ = {"PATH_INFO": path, "RAW_URI": raw, "SCRIPT_NAME": script}
    assert read_encoded_path(environ).isascii()
    with suppress(InvalidUsage):
        read_target(environ)
