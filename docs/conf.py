"""The configuration of Sphinx. ``make docs`` builds the pages."""

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
# Sphinx must fail on a reference to an unknown target. References to the standard library have no
# page, because the build does not use the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(builtins|collections|contextlib|enum|http|io|os|pathlib|socket|ssl|typing)\..*"),
    (r"py:.*", r"[A-Za-z]*(Error|Exception|Warning)"),
    # Names in annotations, which Sphinx does not resolve.
    (r"py:class", r"Sent|URL|Body|RequestOptions|CommonOptions|HeaderValue|GivenHeaders|Buffer"),
    (r"py:class", r"Settings|Reply|Params|ParamsDict|ParamValue|CookieJar|SocketOption"),
    (r"py:class", r"ClientOptions|Deduplication|Symlinks|datetime(\.datetime)?|re\..*"),
    (r"py:class", r"HeaderPairs|ProgressCallback|AddressCheck|logging\..*"),
    (r"py:class", r"HeaderFields|Handler|StreamingFunction|WSGI\w+|StartResponse|Connect|Fault"),
    (r"py:class", r"FileResponse|Engine|Spool(Part)?|ReadOptions|SentRequest|ReceivedResponse"),
    (r"py:class", r"AccessLog|TLSOption|(restkit\.server\.engine\.tls\.)?Path"),
    (r"py:class", r"Mode|Edit|Exchange|RequestLimits|ServeSettings"),
    (
        r"py:class",
        r"GivenFields|(restkit\.headers\.)?HasItems|HeaderName|GivenURL|datetime\.timedelta",
    ),
    (r"py:class", r"(restkit\.client\.options\.)?(Call|Common)Options"),
    (r"py:class", r"(restkit\.server\.file_response\.)?FileResponse"),
    (r"py:class", r"Unpack|Self"),  # from typing_extensions, below Python 3.11
    (r"py:class", r"(restkit\.server\.blueprints\.)?(Blueprints|BlueprintGroup)"),
    (r"py:class", r"(restkit\.[a-z_.]+\.)?_[A-Z]"),  # type variables
]
