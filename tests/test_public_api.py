"""The public names of restkit and their signatures: nothing comes or goes unannounced.

After a deliberate change, ``python tests/test_public_api.py`` prints the new list for ``PUBLIC``.
"""

# ruff: noqa: E501  # a signature is one line of the list

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

MODULES = [
    "restkit",
    "restkit.client",
    "restkit.payload",
    "restkit.url",
    "restkit.streaming",
    "restkit.server",
    "restkit.server.blueprints",
    "restkit.server.exceptions",
    "restkit.server.response",
    "restkit.server.views",
    "restkit.testing",
    "restkit.wsgi_proxy",
]

PUBLIC = """
restkit.AlreadyRead(message, *, sent=None, request=None, response=None)
restkit.Auth()
restkit.Auth.answer(request, response)
restkit.Auth.answers_challenges
restkit.Auth.authorize(request)
restkit.Auth.every_origin
restkit.Auth.for_other_origin()
restkit.Auth.learn(request, response)
restkit.BadStatusLine(message, *, sent=None, request=None, response=None)
restkit.BasicAuth(user, password)
restkit.BasicAuth.authorize(request)
restkit.BearerAuth(token)
restkit.BearerAuth.authorize(request)
restkit.BodyTooLarge(message, *, sent=None, request=None, response=None)
restkit.Client(*, pool_size=10, max_idle_connections=None, max_idle=50.0, max_connections=None, headers=None, params=None, base_url=None, cookies=True, trust_env=True, uds=None, source_address=None, socket_options=(), connect=None, resolve=None, **options)
restkit.Client.close(*, abort=False)
restkit.Client.closed
restkit.Client.cookies
restkit.Client.delete(url, *misplaced, payload=None, headers=None, **options)
restkit.Client.get(url, *misplaced, payload=None, headers=None, **options)
restkit.Client.head(url, *misplaced, payload=None, headers=None, **options)
restkit.Client.options(url, *misplaced, payload=None, headers=None, **options)
restkit.Client.patch(url, payload=None, headers=None, **options)
restkit.Client.post(url, payload=None, headers=None, **options)
restkit.Client.put(url, payload=None, headers=None, **options)
restkit.Client.request(url, method='GET', payload=None, headers=None, **options)
restkit.Client.resolve_url(url, params=None)
restkit.Client.send(request)
restkit.Client.timeout
restkit.ClientDisconnected(message, *, sent=None, request=None, response=None)
restkit.ClientOptions
restkit.ConnectError(message, *, sent=None, request=None, response=None)
restkit.ConnectTimeout(message, *, sent=None, request=None, response=None)
restkit.Cookies(jar=None)
restkit.Cookies.add_base_url(url)
restkit.Cookies.add_to_request(request)
restkit.Cookies.clear()
restkit.Cookies.delete(name, *, domain=None)
restkit.Cookies.empty
restkit.Cookies.items()
restkit.Cookies.jar
restkit.Cookies.load(path)
restkit.Cookies.reset_after_fork()
restkit.Cookies.save(path, *, session_cookies=True)
restkit.Cookies.set(name, value, *, domain, path='/', secure=False)
restkit.Cookies.store_from_response(request, response)
restkit.Cookies.values()
restkit.DecodingError(message, *, sent=None, request=None, response=None)
restkit.DigestAuth(user, password)
restkit.DigestAuth.answer(request, response)
restkit.DigestAuth.answers_challenges
restkit.DigestAuth.authorize(request)
restkit.DigestAuth.learn(request, response)
restkit.Download(path, size, status, etag, digest, resumed_from, tries, seconds, restarts=())
restkit.Download.digest
restkit.Download.etag
restkit.Download.path
restkit.Download.restarts
restkit.Download.resumed_from
restkit.Download.seconds
restkit.Download.size
restkit.Download.status
restkit.Download.tries
restkit.Error(message, *, sent=None, request=None, response=None)
restkit.Error.history
restkit.Error.out_of_payload
restkit.Error.sent
restkit.Error.status
restkit.Error.tries
restkit.Filter()
restkit.Filter.on_request(request)
restkit.Filter.on_response(response, request)
restkit.FormData()
restkit.FormData.add_field(name, value, content_type=None, file_name=None, transfer_encoding=None)
restkit.FormData.add_json(name, value)
restkit.FormData.from_fields(fields)
restkit.Headers(fields=None)
restkit.Headers.add(name, value)
restkit.Headers.copy()
restkit.Headers.from_trusted(pairs)
restkit.Headers.get(name, /, default=None)
restkit.Headers.get_all(name)
restkit.Headers.lines()
restkit.Headers.names()
restkit.Headers.pairs()
restkit.Headers.pop(name, /, default=<another object>)
restkit.Headers.setdefault(name, default=None, /)
restkit.HttpResponse(request, reply, started, *, decoded=False)
restkit.HttpResponse.apparent_encoding
restkit.HttpResponse.body
restkit.HttpResponse.body_chunks
restkit.HttpResponse.body_file
restkit.HttpResponse.body_stream()
restkit.HttpResponse.body_string(charset=None, unicode_errors='strict')
restkit.HttpResponse.can_read()
restkit.HttpResponse.charset
restkit.HttpResponse.close()
restkit.HttpResponse.content
restkit.HttpResponse.cookies
restkit.HttpResponse.detach()
restkit.HttpResponse.elapsed
restkit.HttpResponse.encoding
restkit.HttpResponse.filename
restkit.HttpResponse.final_url
restkit.HttpResponse.headers
restkit.HttpResponse.headerslist
restkit.HttpResponse.history
restkit.HttpResponse.is_redirect
restkit.HttpResponse.iter_blocks(size=65536)
restkit.HttpResponse.iter_bytes(chunk_size=None)
restkit.HttpResponse.iter_content(chunk_size=None)
restkit.HttpResponse.iter_lines(*, text=False)
restkit.HttpResponse.json()
restkit.HttpResponse.links
restkit.HttpResponse.location
restkit.HttpResponse.made(request, status=200, headers=(), body=<another object>)
restkit.HttpResponse.ok
restkit.HttpResponse.payload_stream
restkit.HttpResponse.raise_for_status()
restkit.HttpResponse.reason
restkit.HttpResponse.save(target)
restkit.HttpResponse.sent
restkit.HttpResponse.sets_cookies
restkit.HttpResponse.skip_body()
restkit.HttpResponse.status_code
restkit.HttpResponse.status_int
restkit.HttpResponse.status_line
restkit.HttpResponse.tee()
restkit.HttpResponse.text
restkit.HttpResponse.timings
restkit.HttpResponse.trailers
restkit.HttpResponse.tries
restkit.HttpResponse.unicode_body
restkit.HttpResponse.url
restkit.HttpResponse.version
restkit.HttpResponse.without_unread_body()
restkit.IdleTimeout(message, *, sent=None, request=None, response=None)
restkit.IntegrityError(message, *, sent=None, request=None, response=None)
restkit.InvalidHeader(message, *, sent=None, request=None, response=None)
restkit.InvalidURL
restkit.InvalidUrl(message, *, sent=None, request=None, response=None)
restkit.Link
restkit.NetrcAuth(path=None)
restkit.NetrcAuth.authorize(request)
restkit.NetrcAuth.every_origin
restkit.NetrcAuth.for_other_origin()
restkit.OAuth1(client_key, client_secret=None, resource_owner_key=None, resource_owner_secret=None, *, signature_method='HMAC-SHA1', rsa_key=None, realm=None, callback_uri=None, verifier=None, nonce=None, timestamp=None)
restkit.OAuth1.authorize(request)
restkit.ParserError(message, *, sent=None, request=None, response=None)
restkit.Payload()
restkit.Payload.chunks()
restkit.Payload.headers
restkit.Payload.length
restkit.Payload.replayable
restkit.Payload.source
restkit.Payload.started
restkit.Payload.trailer_names
restkit.Payload.trailers()
restkit.Payload.waits_on
restkit.PayloadError(message, *, sent=None, request=None, response=None)
restkit.PayloadError.sent
restkit.PayloadLengthError(message, *, sent=None, request=None, response=None)
restkit.PayloadNotReplayable(message, *, sent=None, request=None, response=None)
restkit.Progress(sent=None, received=None)
restkit.Progress.for_payload(payload)
restkit.Progress.received
restkit.Progress.sent
restkit.Proxy(url, *, headers=None, verify=True, cert=None, ssl_context=None, check_address=None)
restkit.Proxy.address_check
restkit.Proxy.fields
restkit.Proxy.forwards(scheme)
restkit.Proxy.host
restkit.Proxy.is_socks
restkit.Proxy.looks_up
restkit.Proxy.password
restkit.Proxy.port
restkit.Proxy.scheme
restkit.Proxy.tls
restkit.Proxy.username
restkit.Proxy.where
restkit.ProxyError(message, *, sent=None, request=None, response=None)
restkit.RedirectLimit(message, *, sent=None, request=None, response=None)
restkit.Request(method, url, headers=None, payload=None, *, suppressed_headers=<another object>, read_options=<another object>)
restkit.Request.authority
restkit.Request.given_names
restkit.Request.headers
restkit.Request.idempotent
restkit.Request.method
restkit.Request.payload
restkit.Request.read_options
restkit.Request.suppressed_headers
restkit.Request.target
restkit.Request.url
restkit.Request.with_target(url)
restkit.RequestError(message, *, sent=None, request=None, response=None)
restkit.RequestError.sent
restkit.RequestFailed(message, *, sent=None, request=None, response=None)
restkit.RequestOptions
restkit.RequestTimeout(message, *, sent=None, request=None, response=None)
restkit.Resource(uri, client=None, **options)
restkit.Resource.basic_auth_url
restkit.Resource.clone(**options)
restkit.Resource.close()
restkit.Resource.delete(path=None, headers=None, params_dict=None, **params)
restkit.Resource.get(path=None, headers=None, params_dict=None, **params)
restkit.Resource.head(path=None, headers=None, params_dict=None, **params)
restkit.Resource.make_error(response)
restkit.Resource.make_headers(headers)
restkit.Resource.make_params(params)
restkit.Resource.options(path=None, headers=None, params_dict=None, **params)
restkit.Resource.patch(path=None, payload=None, headers=None, params_dict=None, *, json=None, body=None, data=None, **params)
restkit.Resource.post(path=None, payload=None, headers=None, params_dict=None, *, json=None, body=None, data=None, **params)
restkit.Resource.put(path=None, payload=None, headers=None, params_dict=None, *, json=None, body=None, data=None, **params)
restkit.Resource.request(method, path=None, payload=None, headers=None, params_dict=None, *, json=None, body=None, data=None, **params)
restkit.Resource.response_class
restkit.Resource.unauthorized(response)
restkit.Resource.update_uri(*path)
restkit.Resource.uri
restkit.Resource.url
restkit.ResourceError(message, *, sent=None, request=None, response=None)
restkit.ResourceError.msg
restkit.ResourceError.status_int
restkit.ResourceGone(message, *, sent=None, request=None, response=None)
restkit.ResourceNotFound(message, *, sent=None, request=None, response=None)
restkit.ResponseError(message, *, sent=None, request=None, response=None)
restkit.Retry(total=3, *, status=<another object>, methods=<another object>, backoff=None, max_wait=None, respect_retry_after=True)
restkit.Retry.backoff
restkit.Retry.max_wait
restkit.Retry.methods
restkit.Retry.respect_retry_after
restkit.Retry.status
restkit.Retry.total
restkit.StatusError
restkit.TLSError(message, *, sent=None, request=None, response=None)
restkit.Timeout(connect=10.0, idle=60.0, total=None)
restkit.Timeout.connect
restkit.Timeout.idle
restkit.Timeout.total
restkit.TotalTimeout(message, *, sent=None, request=None, response=None)
restkit.TransportError(message, *, sent=None, request=None, response=None)
restkit.TransportError.on_reused_connection
restkit.TransportError.response_started
restkit.URL(scheme, host, port, target='/', fragment=None, username=None, password=None)
restkit.URL.authority
restkit.URL.fragment
restkit.URL.host
restkit.URL.join(reference)
restkit.URL.origin
restkit.URL.password
restkit.URL.port
restkit.URL.scheme
restkit.URL.target
restkit.URL.username
restkit.URL.with_params(params)
restkit.URL.without_fragment()
restkit.URL.without_userinfo()
restkit.Unauthorized(message, *, sent=None, request=None, response=None)
restkit.UnexpectedEOF(message, *, sent=None, request=None, response=None)
restkit.as_payload(value)
restkit.default_client()
restkit.delete(url, *misplaced, payload=None, headers=None, **options)
restkit.download(url, path, *, resume=True, digest=None, progress=None, overwrite=True, durable=False, client=None, max_tries=8, **options)
restkit.get(url, *misplaced, payload=None, headers=None, **options)
restkit.head(url, *misplaced, payload=None, headers=None, **options)
restkit.options(url, *misplaced, payload=None, headers=None, **options)
restkit.parse_url(text, params=None)
restkit.patch(url, payload=None, headers=None, **options)
restkit.post(url, payload=None, headers=None, **options)
restkit.put(url, payload=None, headers=None, **options)
restkit.request(url, method='GET', payload=None, headers=None, **options)
restkit.set_logging(level, handler=None, *, headers=False)
restkit.client.CallOptions
restkit.client.Client
restkit.client.ClientOptions
restkit.client.CommonOptions
restkit.client.HttpResponse
restkit.client.RequestOptions
restkit.payload.BufferPayload(owner)
restkit.payload.BufferPayload.chunks()
restkit.payload.BufferPayload.replayable
restkit.payload.BytesPayload(data, headers=<another object>)
restkit.payload.BytesPayload.chunks()
restkit.payload.BytesPayload.replayable
restkit.payload.Payload
restkit.payload.as_payload(value)
restkit.url.GivenURL
restkit.url.Link
restkit.url.ParamValue
restkit.url.Params
restkit.url.URL
restkit.url.join_uri(base, *path, params=None)
restkit.url.parse_url(text, params=None)
restkit.streaming.COMPRESSION_METHOD_BZIP2
restkit.streaming.COMPRESSION_METHOD_DEFLATE
restkit.streaming.COMPRESSION_METHOD_LZMA
restkit.streaming.COMPRESSION_METHOD_NONE
restkit.streaming.ResourceStream(function, positional_parameters, keyword_parameters)
restkit.streaming.ResourceStream.chunks()
restkit.streaming.ResourceStream.from_fields(function, positional_parameters, keyword_parameters)
restkit.streaming.ResourceStream.replayable
restkit.streaming.ResourceStreamFunction(function)
restkit.streaming.ZipStream(files, *, name_deduplicator=<another object>)
restkit.streaming.ZipStream.chunks()
restkit.streaming.ZipStream.from_path(folder, *, compression_method=8, symlinks='follow')
restkit.streaming.ZipStream.headers
restkit.streaming.ZipStream.waits_on
restkit.streaming.ZipStreamFile(name, stream, *, compression_method=8, modified_at=None, mode=None, comment='', zip64=False)
restkit.streaming.ZipStreamFile.comment
restkit.streaming.ZipStreamFile.compression_method
restkit.streaming.ZipStreamFile.mode
restkit.streaming.ZipStreamFile.modified_at
restkit.streaming.ZipStreamFile.name
restkit.streaming.ZipStreamFile.payload
restkit.streaming.ZipStreamFile.stream
restkit.streaming.ZipStreamFile.zip64
restkit.streaming.create_zip_stream_resource(files, *, name_deduplicator=<another object>)
restkit.streaming.gunzip_stream(source, limit=None)
restkit.streaming.gzip_stream(source, level=6)
restkit.streaming.hashing(source, algorithm='sha256')
restkit.streaming.name_deduplicator_default(regex=<another object>, reconstructor=<another object>)
restkit.streaming.replayable(factory, length=None)
restkit.streaming.stream_zip(files, *, name_deduplicator=<another object>)
restkit.server.AccessRecord(method, target, version, status, sent, seconds, client, complete=True, environ=None, headers=<another object>)
restkit.server.AccessRecord.client
restkit.server.AccessRecord.common_log()
restkit.server.AccessRecord.complete
restkit.server.AccessRecord.environ
restkit.server.AccessRecord.headers
restkit.server.AccessRecord.method
restkit.server.AccessRecord.path
restkit.server.AccessRecord.request_line
restkit.server.AccessRecord.seconds
restkit.server.AccessRecord.sent
restkit.server.AccessRecord.status
restkit.server.AccessRecord.target
restkit.server.AccessRecord.version
restkit.server.App(name=None, *, max_body=104857600, strict_slashes=False)
restkit.server.App.add_route(handler, uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.App.after_request(hook)
restkit.server.App.before_request(hook)
restkit.server.App.blueprint(blueprint, *, url_prefix=None)
restkit.server.App.delete(uri, *, strict_slashes=None)
restkit.server.App.dispatch(request)
restkit.server.App.exception(*types)
restkit.server.App.get(uri, *, strict_slashes=None)
restkit.server.App.handle_exception(request, exc)
restkit.server.App.head(uri, *, strict_slashes=None)
restkit.server.App.max_collected(environ)
restkit.server.App.mount(prefix, app)
restkit.server.App.options(uri, *, strict_slashes=None)
restkit.server.App.patch(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.App.post(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.App.put(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.App.register_route(route)
restkit.server.App.route(uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.App.run(host='127.0.0.1', port=8000, **options)
restkit.server.HTTPError(status, message=None, headers=None)
restkit.server.Necktie
restkit.server.Request(environ, app)
restkit.server.Request.after_hooks
restkit.server.Request.args
restkit.server.Request.awaits_body
restkit.server.Request.body
restkit.server.Request.body_file
restkit.server.Request.check_length(max_size)
restkit.server.Request.close()
restkit.server.Request.content_type
restkit.server.Request.cookies
restkit.server.Request.encoded_path
restkit.server.Request.files
restkit.server.Request.form
restkit.server.Request.headers
restkit.server.Request.host
restkit.server.Request.ip
restkit.server.Request.json
restkit.server.Request.method
restkit.server.Request.must_close
restkit.server.Request.open_stream(max_size)
restkit.server.Request.path
restkit.server.Request.query_string
restkit.server.Request.read_body(max_size)
restkit.server.Request.remote_addr
restkit.server.Request.scheme
restkit.server.Request.target
restkit.server.Request.text
restkit.server.Request.url
restkit.server.ServeOptions
restkit.server.TrustedProxies(app, proxies, *, forwarded=False)
restkit.server.TrustedProxies.max_collected(environ)
restkit.server.files(folder, *, index='index.html', listing=False, hidden=False, headers=None)
restkit.server.receive(directory, *, max_size=10737418240, max_ratio=200.0, fsync=False)
restkit.server.serve(app, host='127.0.0.1', port=0, **options)
restkit.server.blueprints.Blueprint(name, url_prefix=None, *, strict_slashes=None)
restkit.server.blueprints.Blueprint.add_route(handler, uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Blueprint.after_request(hook)
restkit.server.blueprints.Blueprint.before_request(hook)
restkit.server.blueprints.Blueprint.close_routes(prefix)
restkit.server.blueprints.Blueprint.delete(uri, *, strict_slashes=None)
restkit.server.blueprints.Blueprint.get(uri, *, strict_slashes=None)
restkit.server.blueprints.Blueprint.group(*members, url_prefix='')
restkit.server.blueprints.Blueprint.head(uri, *, strict_slashes=None)
restkit.server.blueprints.Blueprint.options(uri, *, strict_slashes=None)
restkit.server.blueprints.Blueprint.patch(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Blueprint.post(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Blueprint.put(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Blueprint.register_route(route)
restkit.server.blueprints.Blueprint.route(uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.BlueprintGroup(members, url_prefix)
restkit.server.blueprints.BlueprintGroup.members
restkit.server.blueprints.BlueprintGroup.url_prefix
restkit.server.blueprints.Route(uri, handler, streams, max_body, strict_slashes, before=(), after=())
restkit.server.blueprints.Route.after
restkit.server.blueprints.Route.before
restkit.server.blueprints.Route.handler
restkit.server.blueprints.Route.max_body
restkit.server.blueprints.Route.streams
restkit.server.blueprints.Route.strict_slashes
restkit.server.blueprints.Route.uri
restkit.server.blueprints.Routing()
restkit.server.blueprints.Routing.add_route(handler, uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Routing.after_request(hook)
restkit.server.blueprints.Routing.before_request(hook)
restkit.server.blueprints.Routing.delete(uri, *, strict_slashes=None)
restkit.server.blueprints.Routing.get(uri, *, strict_slashes=None)
restkit.server.blueprints.Routing.head(uri, *, strict_slashes=None)
restkit.server.blueprints.Routing.options(uri, *, strict_slashes=None)
restkit.server.blueprints.Routing.patch(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Routing.post(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Routing.put(uri, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.Routing.register_route(route)
restkit.server.blueprints.Routing.route(uri, methods=None, stream=False, *, max_body=None, strict_slashes=None)
restkit.server.blueprints.iter_blueprints(blueprints, url_prefix=None, parent='')
restkit.server.exceptions.Forbidden(message=None, headers=None)
restkit.server.exceptions.Forbidden.status
restkit.server.exceptions.HTTPError
restkit.server.exceptions.InsufficientStorage(message=None, headers=None)
restkit.server.exceptions.InsufficientStorage.status
restkit.server.exceptions.InvalidUsage(message=None, headers=None)
restkit.server.exceptions.InvalidUsage.status
restkit.server.exceptions.LengthRequired(message=None, headers=None)
restkit.server.exceptions.LengthRequired.status
restkit.server.exceptions.MethodNotAllowed(message=None, headers=None)
restkit.server.exceptions.MethodNotAllowed.status
restkit.server.exceptions.NotFound(message=None, headers=None)
restkit.server.exceptions.NotFound.status
restkit.server.exceptions.PayloadTooLarge(message='Payload Too Large', headers=None)
restkit.server.exceptions.PayloadTooLarge.status
restkit.server.exceptions.ServerError(message=None, headers=None)
restkit.server.exceptions.ServerError.status
restkit.server.exceptions.ServiceUnavailable(message=None, headers=None)
restkit.server.exceptions.ServiceUnavailable.status
restkit.server.exceptions.Unauthorized(message=None, headers=None)
restkit.server.exceptions.Unauthorized.status
restkit.server.exceptions.UnsupportedMediaType(message=None, headers=None)
restkit.server.exceptions.UnsupportedMediaType.status
restkit.server.response.Response
restkit.server.response.StreamingHTTPResponse(streaming_fn, status=200, headers=None, content_type='text/plain; charset=utf-8')
restkit.server.response.StreamingHTTPResponse.delete_cookie(name, *, path='/', domain=None, secure=True, httponly=True, samesite='Lax')
restkit.server.response.StreamingHTTPResponse.flush()
restkit.server.response.StreamingHTTPResponse.set_cookie(name, value, *, max_age=None, expires=None, path='/', domain=None, secure=True, httponly=True, samesite='Lax')
restkit.server.response.StreamingHTTPResponse.write(data)
restkit.server.response.file(path, status=200, headers=None, content_type=None, filename=None)
restkit.server.response.html(body, status=200, headers=None)
restkit.server.response.json(body, status=200, headers=None, content_type='application/json')
restkit.server.response.raw(body, status=200, headers=None, content_type='application/octet-stream')
restkit.server.response.redirect(to, status=302, headers=None)
restkit.server.response.stream(source, status=200, headers=None, content_type=None)
restkit.server.response.text(body, status=200, headers=None, content_type='text/plain; charset=utf-8')
restkit.server.views.CompositionView()
restkit.server.views.CompositionView.add(methods, handler, stream=False)
restkit.server.views.CompositionView.methods()
restkit.server.views.HTTPMethodView()
restkit.server.views.HTTPMethodView.as_view(*args, **kwargs)
restkit.server.views.HTTPMethodView.decorators
restkit.server.views.HTTPMethodView.dispatch_request(request, *args, **kwargs)
restkit.server.views.as_method_list(methods)
restkit.server.views.is_stream_handler(handler)
restkit.server.views.stream(handler)
restkit.server.views.stream_body(handler)
restkit.server.views.view_methods(view)
restkit.testing.AppClient(app, **options)
restkit.testing.AppClient.close(*, abort=False)
restkit.testing.Cassette(path, mode='once', *, match_headers=(), match_body=False, repeat=False, secrets=(), edit=None, max_body=16777216)
restkit.testing.Cassette.exchanges
restkit.testing.Cassette.unused
restkit.testing.Delay(seconds, after=0)
restkit.testing.Delay.after
restkit.testing.Delay.seconds
restkit.testing.Drop(after=0, of='answer')
restkit.testing.Drop.after
restkit.testing.Drop.of
restkit.testing.Fault
restkit.testing.LocalServer(app=None, *, host='127.0.0.1', port=0)
restkit.testing.LocalServer.close()
restkit.testing.LocalServer.inject(*faults, path=None, times=1)
restkit.testing.LocalServer.received
restkit.testing.LocalServer.url
restkit.testing.LocalServer.wire
restkit.testing.Received(connection, method, target, headers, head, body, content, whole)
restkit.testing.Received.body
restkit.testing.Received.connection
restkit.testing.Received.content
restkit.testing.Received.head
restkit.testing.Received.headers
restkit.testing.Received.method
restkit.testing.Received.target
restkit.testing.Received.whole
restkit.testing.Reset(after=0, of='answer')
restkit.testing.Reset.after
restkit.testing.Reset.of
restkit.testing.Truncate(body=0)
restkit.testing.Truncate.body
restkit.testing.UnknownRequest(message, *, sent=None, request=None, response=None)
restkit.wsgi_proxy.ALLOWED_METHODS
restkit.wsgi_proxy.HostProxy(target_uri, *, client=None, allowed_methods=<another object>, allowed_targets=None, rewrite_location=True)
restkit.wsgi_proxy.HostProxy.close()
"""


def describe_modules() -> Iterator[str]:
    """Yield a line for each public name: a signature, or the name of a value."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(public_names(module)):
            value = getattr(module, name)
            full = f"{module_name}.{name}"
            if not inspect.isclass(value):
                yield f"{full}{signature_of(value)}" if callable(value) else full
            elif value.__module__.startswith("restkit") and is_first(module_name, name, value):
                yield f"{full}{signature_of(value)}"
                yield from (f"{full}.{line}" for line in describe_class(value))
            else:
                yield full


def public_names(module: object) -> list[str]:
    """Return ``__all__``, or the names that a module defines itself."""
    names = getattr(module, "__all__", None)
    if names is not None:
        return [name for name in names if name != "__version__"]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def is_first(module_name: str, name: str, value: object) -> bool:
    """Whether no earlier module has the class: its members are listed once."""
    for earlier in MODULES[: MODULES.index(module_name)]:
        if any(other is value for other in vars(importlib.import_module(earlier)).values()):
            return False
    return getattr(value, "__name__", name) == name


def describe_class(kind: type) -> Iterator[str]:
    """Yield the public members that restkit defines, inherited ones included."""
    for name in sorted(dir(kind)):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        inherited = owner is not kind and getattr(
            importlib.import_module("restkit"), owner.__name__, None
        )
        if name.startswith("_") or inherited or not owner.__module__.startswith("restkit"):
            continue
        value = inspect.getattr_static(kind, name)
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        yield f"{name}{signature_of(value)}" if inspect.isfunction(value) else name


def signature_of(value: object) -> str:
    """Return the parameters without their types, which mypy checks."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # checked by the caller
    except (TypeError, ValueError):
        return ""
    parameters = [
        parameter.replace(
            annotation=inspect.Parameter.empty, default=plain_default(parameter.default)
        )
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    plain = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return str(plain)


class _Other:
    def __repr__(self) -> str:
        return "<another object>"


def plain_default(default: object) -> object:
    """Return a default that always looks the same."""
    plain = default is inspect.Parameter.empty or default is None or default == ()
    return default if plain or isinstance(default, (bool, int, float, str)) else _Other()


def test_public_names_and_signatures_are_those_listed():
    found, listed = set(describe_modules()), set(PUBLIC.strip().splitlines())
    assert found - listed == set(), "these are new: list them in PUBLIC, and in CHANGES.rst"
    assert listed - found == set(), "these are gone: users may miss them"


if __name__ == "__main__":
    print("\n".join(describe_modules()))
