"""The structure of restkit, as docs/architecture.rst draws it, checked on the imports of each file.

A package imports only packages of lower rows. No file imports restkit under ``TYPE_CHECKING``, so
that Python itself fails on a circle; imports inside functions count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "restkit"

# Each row imports only from the rows above it here, which are lower floors. Packages of one row do
# not import each other.
ROWS = [
    ["annotations"],
    ["_version", "redaction", "log", "caller", "io"],
    ["errors"],
    ["headers", "timeouts", "url", "payload"],
    ["http1", "body", "content_encoding", "content_digest", "forms", "progress"],
    ["network", "zip", "server"],
    ["connections", "streaming"],
    ["message"],
    ["auth", "cookies"],
    ["client"],
    ["resource", "wsgi_proxy", "testing"],
    ["transfer"],
]

# What a package may use although a lower row would allow more: (importer, imported) that must not
# exist. The server knows nothing of the client's network, and parsing does no I/O.
FORBIDDEN = {
    "http1": {"payload", "body"},
    "payload": {"http1", "body", "forms", "network"},
    "server": {"forms", "progress", "network", "connections", "message", "auth", "cookies"},
}
STANDARD_LIBRARY_FORBIDDEN = {"http1": {"socket", "os", "select", "threading"}}

# Packages that are not in the standard library, and the modules that may import them.
FOREIGN = {
    "urllib3": {"annotations", "timeouts", "client.retry_option", "network.tls", "network.options"},
    "certifi": {"network.tls"},
    "idna": {"url.idn"},
    "oauthlib": {"auth.oauth1"},
    "python_socks": {"network.socks"},
    "socks": {"network.socks"},
    "brotli": {"content_encoding.decoding"},
    "backports": {"content_encoding.decoding", "content_encoding.compressors"},
    "isal": {"content_encoding.compressors"},
    "zlib_ng": {"content_encoding.compressors"},
    "multipart": {"server.forms"},
}

# Private names of others that cannot be avoided; each file says why.
FOREIGN_PRIVATE = {
    "content_encoding.decoding": {"zlib._Decompress"},  # the only name of this type
    "server.on_gunicorn": {"req._expected_100_continue"},  # there is no public way
    "network.tls": {"inner._sslobj"},  # the certificate that failed is nowhere else
}

MAX_LINES, MIN_LINES = 450, 40
LONG_FILES: dict[str, str] = {}
SHORT_FILES = {
    "_version": "read as text by the build",
    "streaming": "a public facade: it only hands names on",
    "http1.writing": "the counterpart of http1.fields, shared by client and server",
}

NAMED_TUPLE_METHODS = {"_replace", "_asdict", "_make", "_fields"}


class Import(NamedTuple):
    """``name`` from ``module``, both absolute; name is None for ``import module``."""

    module: str
    name: str | None
    line: int


def name_of(path: Path) -> str:
    """Return 'http1.fields' for restkit/http1/fields.py and 'http1' for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "__init__"}
FACES = {name_of(path): path for path in sorted(PACKAGE.rglob("__init__.py"))}
TREES = {path: ast.parse(path.read_bytes()) for path in (*FILES.values(), *FACES.values())}
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}


def imports_of(path: Path) -> Iterator[Import]:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports must be absolute"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno)


def module_of(found: Import) -> str | None:
    """Return the module of ours that an import reads; '' is restkit itself, None is not ours."""
    if found.module.split(".")[0] != "restkit":
        return None
    module = found.module.partition(".")[2]
    inner = f"{module}.{found.name}".lstrip(".")
    return inner if inner in FILES or inner in FACES else module


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_names_in(tree: ast.AST) -> set[str]:
    """Return the private names that a file defines, slots included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return {name for name in names if is_private(name)}


def functions_in(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_each_package_has_a_row():
    found = {name.split(".")[0] for name in (*FILES, *FACES) if name}
    assert found == set(ROW_OF)


@pytest.mark.parametrize("name", FILES)
def test_file_imports_only_from_lower_rows(name):
    package = name.split(".")[0]
    wrong = []
    for found in imports_of(FILES[name]):
        module = module_of(found)
        if module is None:
            continue
        other = module.split(".")[0]
        if not other:
            wrong.append(f"line {found.line}: restkit itself")
        elif (other != package and ROW_OF[other] >= ROW_OF[package]) or other in FORBIDDEN.get(
            package, ()
        ):
            wrong.append(f"line {found.line}: {module}")
    assert not wrong, f"{name} imports what it must not: {wrong}"


def test_imports_have_no_circle():
    graph = {
        name: {
            module
            for found in imports_of(path)
            if (module := module_of(found)) and module in FILES and module != name
        }
        for name, path in FILES.items()
    }
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, f"these files are in a circle, or import one: {sorted(graph)}"


# restkit itself imports some names at their first use; type checkers need them at the top.
@pytest.mark.parametrize("name", [*FILES, *filter(None, FACES)])
def test_type_checking_guards_no_import_of_restkit(name):
    path = FILES.get(name) or FACES[name]
    wrong = [
        f"line {inner.lineno}: {ast.unparse(inner)}"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("restkit")
    ]
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_foreign_packages_are_imported_in_their_modules_only(name):
    wrong = [
        f"line {found.line}: {package}"
        for found in imports_of(FILES[name])
        if (package := found.module.split(".")[0]) not in sys.stdlib_module_names
        and package not in {"restkit", "typing_extensions", "_typeshed"}  # the last two: only types
        and not (package == "urllib3" and name == "client.options")  # a type for callers
        and name not in FOREIGN.get(package, ())
    ]
    assert not wrong, f"{name} must not import these: {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_parsing_does_no_input_or_output(name):
    forbidden = STANDARD_LIBRARY_FORBIDDEN.get(name.split(".")[0], set())
    wrong = [found for found in imports_of(FILES[name]) if found.module.split(".")[0] in forbidden]
    assert not wrong


@pytest.mark.parametrize("name", [*FILES, *FACES])
def test_private_names_are_not_imported(name):
    path = FILES.get(name) or FACES[name]
    wrong = [
        f"line {found.line}: {found.name}"
        for found in imports_of(path)
        if module_of(found) is not None and found.name and is_private(found.name)
    ]
    assert not wrong, f"{name} imports private names: {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_private_attributes_are_used_in_their_file_only(name):
    tree = TREES[FILES[name]]
    own = private_names_in(tree)
    wrong = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and node.attr not in own
        and node.attr not in NAMED_TUPLE_METHODS
        and ast.unparse(node.value) not in {"self", "cls", "super()"}
        and ast.unparse(node) not in FOREIGN_PRIVATE.get(name, ())
    ]
    assert not wrong, f"{name} uses private names of other files: {wrong}"


@pytest.mark.parametrize("name", FACES)
def test_init_file_only_hands_names_on(name):
    body = TREES[FACES[name]].body
    assert ast.get_docstring(TREES[FACES[name]]), f"{FACES[name]} has no docstring"
    other = [
        ast.unparse(node)
        for node in body[1:]
        if not isinstance(node, ast.ImportFrom)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        and not (not name and ast.unparse(node).startswith("if TYPE_CHECKING:"))
        and not (not name and isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
    ]
    assert other == []


@pytest.mark.parametrize("name", FACES)
def test_no_submodule_has_the_name_of_a_public_object(name):
    # Importing restkit.x binds restkit.x to the module, over an object of that name.
    face = FACES[name]
    submodules = {path.stem for path in face.parent.glob("*.py")} | {
        path.parent.name for path in face.parent.glob("*/__init__.py")
    }
    public = {found.name for found in imports_of(face) if found.name}
    assert public & submodules == set()


@pytest.mark.parametrize("name", FILES)
def test_file_has_a_docstring_and_a_sensible_length(name):
    assert ast.get_docstring(TREES[FILES[name]]), f"{name} does not say its job"
    lines = FILES[name].read_text().count("\n")
    assert lines <= MAX_LINES or name in LONG_FILES, f"{name} has {lines} lines"
    assert lines >= MIN_LINES or name in SHORT_FILES, f"{name} has {lines} lines"


def test_exceptions_to_the_length_are_needed():
    lengths = {name: path.read_text().count("\n") for name, path in FILES.items()}
    assert all(lengths[name] > MAX_LINES for name in LONG_FILES)
    assert all(lengths[name] < MIN_LINES for name in SHORT_FILES)


def test_nine_functions_of_ten_are_short():
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in FILES.values()
        for node in functions_in(TREES[path])
    ]
    assert sum(length > 40 for length in lengths) * 10 <= len(lengths)
