from restkit.server import Necktie
from restkit.server.views import CompositionView
from restkit.server.views import HTTPMethodView
from restkit.server.views import stream as stream_decorator
from restkit.server.blueprints import Blueprint
from restkit.server.response import stream, text

bp = Blueprint('blueprint_request_stream')
app = Necktie('request_stream')


class SimpleView(HTTPMethodView):

    @stream_decorator
    def post(self, request):
        result = ''
        while True:
            body = request.stream.get()
            if body is None:
                break
            result += body.decode('utf-8')
        return text(result)


@app.post('/stream', stream=True)
def handler(request):
    def streaming(response):
        while True:
            body = request.stream.get()
            if body is None:
                break
            body = body.decode('utf-8').replace('1', 'A')
            response.write(body)
    return stream(streaming)


@bp.put('/bp_stream', stream=True)
def bp_handler(request):
    result = ''
    while True:
        body = request.stream.get()
        if body is None:
            break
        result += body.decode('utf-8').replace('1', 'A')
    return text(result)


def post_handler(request):
    result = ''
    while True:
        body = request.stream.get()
        if body is None:
            break
        result += body.decode('utf-8')
    return text(result)

app.blueprint(bp)
app.add_route(SimpleView.as_view(), '/method_view')
view = CompositionView()
view.add(['POST'], post_handler, stream=True)
app.add_route(view, '/composition_view')


if __name__ == '__main__':
    app.run(host='127.0.0.1', port=8000)
