"""How the documentation is built: `make docs`."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "restkit"
author = "The restkit developers"
copyright = "2026, The restkit developers"
release = installed_version("restkit")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
# A reference that leads nowhere fails the build; those into the standard library lead to no page,
# since the build asks nothing of the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(builtins|collections|contextlib|enum|http|io|os|pathlib|socket|ssl|typing)\..*"),
    (r"py:.*", r"[A-Za-z]*(Error|Exception|Warning)"),
    # Names that stand in annotations only, where they are not resolved.
    (r"py:class", r"Sent|URL|Body|RequestOptions|CommonOptions|HeaderValue|GivenHeaders|Buffer"),
    (r"py:class", r"Settings|Reply|Params|ParamsDict|ParamValue|CookieJar|SocketOption"),
    (r"py:class", r"ClientOptions|Deduplication|Symlinks|datetime|re\..*"),
    (r"py:class", r"HeaderPairs|ProgressCallback|AddressCheck|logging\..*"),
    (r"py:class", r"HeaderFields|Handler|StreamingFunction|WSGI\w+|StartResponse|Connect|Fault"),
    (r"py:class", r"FileResponse|Engine|Spool"),
    (r"py:class", r"Unpack|Self"),  # from typing_extensions, below Python 3.11
    (r"py:class", r"(restkit\.server\.blueprints\.)?(Blueprints|BlueprintGroup)"),
    (r"py:class", r"restkit\.[a-z_.]+\._[A-Z]"),  # type variables
]
