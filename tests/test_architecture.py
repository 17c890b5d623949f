"""The plan of the house, as docs/architecture.rst draws it, held against what the files import.

A file imports from floors below its own and, on its own floor, from rows above it; so there can be
no cycle. The server stands beside them, on the first three. Imports inside functions count, those
under TYPE_CHECKING do not. A new file is given its place in FLOORS, or SERVER, first.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "restkit"

FLOORS = {
    0: ["_version", "masking", "errors", "headers", "timeouts", "log"],
    1: [
        "host",
        "query",
        "url",
        "uris",
        "wire.head",
        "wire.framing",
        "wire.request_head",
        "wire.outgoing",
        "decoder",
        "coding",
        "payload",
        "around",
        "sources",
        "files",
        "door",
        "json_body",
        "spool",
        "replacing",
        "replaying",
        "progress",
        "relay",
        "body",
        "body_file",
    ],
    2: [
        "part_names",
        "transfer_encodings",
        "multipart",
        "form_fields",
        "forms",
        "streaming.replay",
        "streaming.compressors",
        "streaming.overlap",
        "streaming.press",
        "streaming.gzip",
        "streaming.digest_fields",
        "streaming.digest",
        "streaming.checking",
        "streaming.names",
        "streaming.zip_records",
        "streaming.zip_entry",
        "streaming.zip_member",
        "streaming.zip_folder",
        "streaming.zip",
    ],
    3: [
        "wire.tls",
        "wire.contexts",
        "wire.socks",
        "wire.proxy",
        "wire.route",
        "wire.answer",
        "wire.nested",
        "wire.handshake",
        "wire.race",
        "wire.tunnel",
        "wire.dial",
        "wire.transport",
        "wire.secure",
        "wire.sending",
        "wire.exchange",
        "wire.live",
        "wire.connection",
        "wire.pool",
        "wire.bound",
    ],
    4: [
        "settings",
        "message.header_text",
        "message.status",
        "message.links",
        "message.set_cookie",
        "message.heading",
        "message.intake",
        "message.originals",
        "message.saving",
        "message.request",
        "message.kept",
        "message.response",
    ],
    5: [
        "policy.netrc_file",
        "policy.auth",
        "policy.challenges",
        "policy.digest_hash",
        "policy.digest",
        "policy.oauth1",
        "policy.cookie_rules",
        "policy.own_jar",
        "policy.cookie_jar",
        "policy.cookies",
        "policy.filters",
        "policy.redirects",
        "policy.retry_after",
        "policy.tries",
        "policy.retries",
        "policy.lengths",
        "policy.environment",
    ],
    6: [
        "hints",
        "choices",
        "surroundings",
        "preparing",
        "carrier",
        "course",
        "verbs",
        "client",
    ],
    7: ["api", "arguments", "resource"],
    8: [
        "forwarding",
        "wsgi_proxy",
        "testing.faults",
        "testing.arrivals",
        "testing.watched",
        "testing.hosting",
        "testing.app_client",
        "testing.local_server",
    ],
}

# Beside the house: the other end of the wire stands on floors 0 to 2, and only floor 8 knows it.
SERVER = [
    f"server.{name}"
    for name in (
        # The engine half: WSGI made true on the wire.
        "wire.channel",
        "wire.incoming",
        "wire.request_body",
        "wire.sender",
        "wire.file_wrapper",
        "wire.answer_head",
        "wire.answering",
        "wire.environ",
        "wire.conversation",
        "on_cheroot",
        "embedded",
        "gunicorn_exchange",
        "on_gunicorn",
        # The application half, which knows nothing of engines but WSGI.
        "statuses",
        "exceptions",
        "parameters",
        "handlers",
        "patterns",
        "target",
        "request_fields",
        "wsgi_input",
        "request_stream",
        "form_parts",
        "request",
        "reply",
        "streamed",
        "conditions",
        "file_response",
        "response",
        "routes",
        "views",
        "decorators",
        "blueprints",
        "answers",
        "app",
        "request_digests",
        "upload_names",
        "uploads",
        "receiver",
    )
]
SERVER_STANDS_ON = 2

# What is not in the standard library, and who may have it. urllib3 connects and parses
# URLs, and its Timeout and Retry are taken; nothing else of restkit knows that it is there.
FOREIGN = {
    "urllib3": {"url", "timeouts", "wire.contexts", "wire.dial", "policy.retries"},
    "certifi": {"wire.contexts"},
    "oauthlib": {"policy.oauth1"},
    "socks": {"wire.socks"},
    "brotli": {"decoder"},
    "backports": {"decoder", "streaming.compressors"},
    "isal": {"streaming.compressors"},
    "zlib_ng": {"streaming.compressors"},
    "cheroot": {"server.on_cheroot"},
    "multipart": {"server.form_parts"},
}

# Private names of others that there is no way around; each file says why.
FOREIGN_PRIVATE = {
    "decoder": {"zlib._Decompress"},  # the type of zlib.decompressobj() has no other name
    "server.on_gunicorn": {"req._expected_100_continue"},  # there is no public way to put it off
    "timeouts": {"value._connect", "value._read"},  # of urllib3: test_timeouts.py holds it to them
    "wire.handshake": {"secured._sslobj"},  # a certificate that failed is to be had nowhere else
}

LONGEST_FILE = 350

# Part of a NamedTuple's public face, for all their underscores.
OF_NAMED_TUPLES = {"_replace", "_asdict", "_make", "_fields"}


class Import(NamedTuple):
    """`name` out of `module`, both absolute; name is None for `import module`."""

    module: str
    name: str | None
    line: int


def name_of(path: Path) -> str:
    """'wire.head' for restkit/wire/head.py, 'wire' for restkit/wire/__init__.py, '' for the top."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


HOUSE = [name for floor in sorted(FLOORS) for name in FLOORS[floor]]
ROOMS = [*HOUSE, *SERVER]
FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "__init__"}
FRONTS = {name_of(path): path for path in sorted(PACKAGE.rglob("__init__.py"))}
TREES = {path: ast.parse(path.read_bytes()) for path in (*FILES.values(), *FRONTS.values())}


def imports_of(path: Path) -> Iterator[Import]:
    for node in runtime_nodes(TREES[path]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from (other, *runtime_nodes(other))
        else:
            yield node
            yield from runtime_nodes(node)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = ("restkit", *path.relative_to(PACKAGE).parts[:-1])
    base = parents[: len(parents) - node.level + 1]
    return ".".join((*base, *filter(None, [node.module])))


def room_of(found: Import) -> str | None:
    """Which of our rooms an import leads into; '' is the front door, None is not ours."""
    if found.module.split(".")[0] != "restkit":
        return None
    module = found.module.partition(".")[2]
    inner = f"{module}.{found.name}".lstrip(".")
    return inner if inner in FILES or inner in FRONTS else module


def public_names(front: Path) -> set[str]:
    """What an __init__.py binds, its docstring's and its own machinery apart."""
    return {found.name for found in imports_of(front) if found.name and found.name != "annotations"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def below(name: str) -> set[str]:
    """The rooms that a file may import from."""
    if name in SERVER:
        ground = [
            room for floor, rooms in FLOORS.items() for room in rooms if floor <= SERVER_STANDS_ON
        ]
        return {*ground, *SERVER[: SERVER.index(name)]}
    return {*HOUSE[: HOUSE.index(name)], *(SERVER if name in FLOORS[8] else ())}


def private_names_made_in(tree: ast.AST) -> set[str]:
    """Names of functions and of what is assigned, slots included, with one underscore before."""
    made = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            made.add(node.value)
    return {name for name in made if is_private(name)}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_file_has_its_place():
    unplaced = sorted(set(FILES) - set(ROOMS))
    assert not unplaced, f"give these a place in FLOORS: {unplaced}"


def test_every_place_has_its_file():
    assert sorted(set(ROOMS) - set(FILES)) == []
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_below(name):
    allowed = below(name)
    wrong = [
        f"line {found.line}: {room or 'restkit itself'}"
        for found in imports_of(FILES[name])
        if (room := room_of(found)) is not None and room not in allowed
    ]
    assert not wrong, f"{name} imports from its own height or above: {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_foreign_packages_stay_in_their_rooms(name):
    wrong = [
        f"line {found.line}: {package}"
        for found in imports_of(FILES[name])
        if (package := found.module.split(".")[0]) not in sys.stdlib_module_names
        and package != "restkit"
        and name not in FOREIGN.get(package, ())
    ]
    assert not wrong, f"{name} is not among those who may import these: {wrong}"


@pytest.mark.parametrize("name", [*FILES, *FRONTS])
def test_private_names_stay_in_their_file(name):
    path = FILES.get(name) or FRONTS[name]
    ours = [found for found in imports_of(path) if room_of(found) is not None]
    wrong = [
        f"line {found.line}: {found.name}"
        for found in ours
        if found.name and is_private(found.name)
    ]
    assert not wrong, f"{name} imports private names: {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_private_attributes_stay_in_their_file(name):
    tree = TREES[FILES[name]]
    own = private_names_made_in(tree)
    wrong = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and node.attr not in own
        and node.attr not in OF_NAMED_TUPLES
        and ast.unparse(node.value) not in {"self", "cls", "super()"}
        and ast.unparse(node) not in FOREIGN_PRIVATE.get(name, ())
    ]
    assert not wrong, f"{name} reaches into what is private elsewhere: {wrong}"


@pytest.mark.parametrize("name", FRONTS)
def test_an_init_file_only_hands_names_on(name):
    body = TREES[FRONTS[name]].body
    assert ast.get_docstring(TREES[FRONTS[name]]), f"{FRONTS[name]} says nothing about its package"
    other = [
        ast.unparse(node)
        for node in body[1:]
        if not isinstance(node, ast.ImportFrom)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    assert other == []


@pytest.mark.parametrize("name", FRONTS)
def test_no_submodule_bears_the_name_of_something_its_package_gives(name):
    # Importing restkit.x binds restkit.x to the module, over whatever had the name before.
    front = FRONTS[name]
    submodules = {path.stem for path in front.parent.glob("*.py")} | {
        path.parent.name for path in front.parent.glob("*/__init__.py")
    }
    assert public_names(front) & submodules == set()


@pytest.mark.parametrize("name", FILES)
def test_a_file_does_one_job_and_is_as_long_as_that(name):
    assert ast.get_docstring(TREES[FILES[name]]), f"{name} does not say its job"
    lines = FILES[name].read_text().count("\n")
    assert lines <= LONGEST_FILE, f"{name} has {lines} lines: two files not yet told apart"


def test_nine_functions_of_ten_are_short():
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in FILES.values()
        for node in functions(TREES[path])
    ]
    long = sum(length > 40 for length in lengths)
    assert long * 10 <= len(lengths)
