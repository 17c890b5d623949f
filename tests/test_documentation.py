"""The table of options in the documentation is the table of options in the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from restkit import Client
from restkit.client.options import ClientOptions, CommonOptions, RequestOptions

pytestmark = pytest.mark.smoke

TABLE = Path(__file__).parents[1] / "docs" / "options.rst"
_CELL = r"\n     - .*?"
ROW = re.compile(rf"^   \* - ``(\w+)``{_CELL}{_CELL}\n     - (.*?)$", re.DOTALL | re.MULTILINE)

SAID = dict(ROW.findall(TABLE.read_text()))
COMMON = set(CommonOptions.__annotations__)
OF_A_CALL = (set(RequestOptions.__annotations__) - COMMON - {"params"}) | {"payload"}
OF_A_CLIENT = set(ClientOptions.__annotations__) - COMMON


def test_every_option_has_its_row_and_every_row_its_option():
    assert set(SAID) | {"body", "data"} == COMMON | OF_A_CALL | OF_A_CLIENT


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_row_says_where_an_option_may_be_given(name):
    meant = "call" if name in OF_A_CALL else "Client" if name in OF_A_CLIENT else "Client, call"
    if name in ("headers", "params"):
        meant = "Client, call"
    assert SAID[name] == meant


def test_what_only_a_client_takes_is_what_its_signature_has():
    names = {
        name
        for name, parameter in inspect.signature(Client).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert names == OF_A_CLIENT
