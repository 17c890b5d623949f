"""Warnings name the line of the program that called restkit, and not a line of restkit."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util.retry import Retry as Urllib3Retry

import restkit
import restkit.caller
from restkit import Client, Proxy, Resource
from restkit.streaming import ResourceStreamFunction
from support import ScriptedServer, response

OK = response(b"ok")
MESSAGE = r"^verify=False: any server is trusted"


@pytest.fixture
def url() -> Iterator[str]:
    with ScriptedServer.serving(OK) as server:
        yield server.url()


def line_of(function: Callable[..., object]) -> int:
    """Return the number of the line of ``function`` with the comment HERE."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if "HERE" in line)


def make_client(url: str) -> None:
    Client(verify=False).close()  # HERE


def call_client_get(url: str) -> None:
    with Client() as client:
        client.get(url, verify=False)  # HERE


def call_client_request(url: str) -> None:
    with Client() as client:
        client.request(url, "POST", b"x", verify=False)  # HERE


def call_get(url: str) -> None:
    restkit.get(url, verify=False)  # HERE


def call_post(url: str) -> None:
    restkit.post(url, b"x", verify=False)  # HERE


def make_resource(url: str) -> None:
    Resource(url, verify=False).close()  # HERE


def make_resource_with_client(url: str) -> None:
    with Client() as client:
        Resource(url, client, verify=False)  # HERE


def clone_resource(url: str) -> None:
    with Resource(url) as resource:
        resource.clone(verify=False)  # HERE


def call_resource_get(url: str) -> None:
    with Client() as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            resource = Resource(url, client, verify=False)
        resource("a").get()  # HERE


def make_proxy(url: str) -> None:
    Proxy("https://proxy.test", verify=False)  # HERE


def call_with_urllib3_retry(url: str) -> None:
    restkit.get(url, retries=Urllib3Retry(3, redirect=1))  # HERE


USES = [
    make_client,
    call_client_get,
    call_client_request,
    call_get,
    call_post,
    make_resource,
    make_resource_with_client,
    clone_resource,
    call_resource_get,
    make_proxy,
    call_with_urllib3_retry,
]


@pytest.mark.parametrize("use", USES)
def test_warning_names_the_line_of_the_caller(use, url):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use(url)
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line_of(use))]


@pytest.mark.parametrize("use", [make_client, call_get, make_resource, call_resource_get])
def test_stack_level_of_python_3_11_names_the_line_of_the_caller(use, url, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11, 0, "final", 0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use(url)
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line_of(use))]


def test_warning_of_a_call_in_a_payload_source_names_the_source(url):
    @ResourceStreamFunction
    def rows() -> Iterator[bytes]:
        yield restkit.get(url, verify=False).body  # HERE

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restkit.post(url, rows())
    first = line_of(test_warning_of_a_call_in_a_payload_source_names_the_source)
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, first)]


def test_call_of_an_unverified_client_does_not_warn_again(url):
    with pytest.warns(InsecureRequestWarning, match=MESSAGE):
        client = Client(verify=False)
    with client:
        assert client.get(url).body == b"ok"  # a warning would be an error here
        assert client.get(url, cert=None).body == b"ok"
        with pytest.warns(InsecureRequestWarning, match=MESSAGE):
            client.get(url, verify=False)


def test_fingerprint_takes_the_place_of_the_warning():
    pin = "ab" * 32
    with Client(verify=False, fingerprint=pin) as client:
        with pytest.warns(InsecureRequestWarning, match=MESSAGE):
            client.request(
                "http://127.0.0.1:1/", fingerprint=None, check_address=None, filters=[_Stop()]
            )


class _Stop:
    """A filter that responds itself, so that nothing is sent."""

    def on_request(self, request: restkit.Request) -> restkit.HttpResponse:
        return restkit.HttpResponse.made(request, 200)


def test_warning_can_be_an_error_and_is_raised_at_the_option():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InsecureRequestWarning, match=MESSAGE):
            Client(verify=False)


def test_warning_that_a_log_handler_sends_by_restkit_does_not_wait_for_itself(url):
    # The warning was once issued with the lock of all TLS contexts held.
    program = (
        "import logging, restkit\n"
        "class Send(logging.Handler):\n"
        "    def emit(self, record):\n"
        f"        print(restkit.post({url!r}, record.getMessage(), verify='system').status)\n"
        "logging.captureWarnings(True)\n"
        "logging.getLogger('py.warnings').addHandler(Send())\n"
        f"print(restkit.get({url!r}, verify=False).status)\n"
    )
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert seen.stdout == b"200\n200\n"


def test_package_is_the_folder_of_restkit():
    assert restkit.__file__.startswith(restkit.caller.PACKAGE)
    assert not __file__.startswith(restkit.caller.PACKAGE)
