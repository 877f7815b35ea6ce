"""A fake API server: lists and watches of what a test puts in, and whatever else it is told to answer. It checks nothing."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeApiServer:
    """`put`, `drop` and `error` are told to whoever watches."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict]] = []
        self.versions: list[str] = []
        """Where watches began."""
        self.served: dict[str, dict[tuple[str, str], dict]] = {}
        self.gone_before = 0
        """Watches from an older version get 410."""
        self.refuse: dict[str, int] = {}
        """path → status"""
        self.wrote: list[tuple[str, str, dict]] = []
        """method, path and body of what was written."""
        self.lose: list[tuple[str, dict]] = []
        """(path, object) that somebody else writes just before the next write."""
        self._version = 1
        self._log: list[tuple[int, str, dict]] = []
        self._changed = threading.Condition()
        self._closed = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake._answer(self)

            def do_POST(self) -> None:
                fake._write(self)

            def do_PUT(self) -> None:
                fake._write(self)

            def do_PATCH(self) -> None:
                fake._write(self)

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def serve(self, path: str) -> None:
        """A resource that there is, and that has nothing yet."""
        self.served.setdefault(path, {})

    def put(self, path: str, document: dict) -> None:
        with self._changed:
            objects = self.served.setdefault(path, {})
            metadata = document["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            objects[key] = self._tell(path, "MODIFIED" if key in objects else "ADDED", document)

    def drop(self, path: str, name: str, namespace: str = "") -> None:
        with self._changed:
            self._tell(path, "DELETED", self.served[path].pop((namespace, name)))

    def forget(self) -> None:
        """Every version so far is too old to watch from."""
        with self._changed:
            self._version += 1
            self.gone_before = self._version
            self._log.clear()
            self._log.append((self._version, "", {"type": "END"}))
            self._changed.notify_all()

    def get(self, path: str, name: str, namespace: str = "") -> dict | None:
        """What there is now."""
        return self.served.get(path, {}).get((namespace, name))

    def _tell(self, path: str, kind: str, document: dict) -> dict:
        self._version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self._version)}
        told = {**document, "metadata": metadata}
        self._log.append((self._version, path, {"type": kind, "object": told}))
        self._changed.notify_all()
        return told

    def _write(self, handler) -> None:
        """Create, replace or merge, with the check of `resourceVersion`; a status is merged as everything else."""
        where = urlsplit(handler.path).path
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests.append((handler.command, where, {}))
        if where in self.refuse:
            self._send(
                handler, self.refuse[where], {"kind": "Status", "message": "told to", "code": self.refuse[where]}
            )
            return
        while self.lose:
            self.put(*self.lose.pop(0))
        with self._changed:
            if handler.command == "POST":
                namespace = body["metadata"].get("namespace", "")
                path = where.replace(f"/namespaces/{namespace}", "", 1) if namespace else where
                found = (path, (namespace, body["metadata"]["name"]))
                status = 409 if found[1] in self.served.get(path, {}) else 201
            else:
                found = self._find(where.removesuffix("/status"))
                status = 200 if found is not None else 404
            if found is not None and status == 200:
                before = self.served[found[0]][found[1]]
                wanted = body.get("metadata", {}).get("resourceVersion")
                if wanted is not None and wanted != before["metadata"]["resourceVersion"]:
                    status = 409
                elif handler.command == "PATCH":
                    body = _merged(before, body)
            answer = {"kind": "Status", "message": "no", "code": status}
            if status < 400:
                self.wrote.append((handler.command, where, body))
                self.put(found[0], body)
                answer = self.served[found[0]][found[1]]
        self._send(handler, status, answer)

    def _find(self, where: str) -> tuple[str, tuple[str, str]] | None:
        for path, objects in self.served.items():
            for namespace, name in objects:
                if self._object_path(path, namespace, name) == where:
                    return path, (namespace, name)
        return None

    def _answer(self, handler) -> None:
        split = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.requests.append((handler.command, split.path, query))
        if split.path in self.refuse:
            self._send(
                handler,
                self.refuse[split.path],
                {"kind": "Status", "message": "told to", "code": self.refuse[split.path]},
            )
        elif split.path in self.served and query.get("watch") == "true":
            self._watch(handler, split.path, query)
        elif split.path in self.served:
            with self._changed:
                items, version = list(self.served[split.path].values()), self._version
            self._send(handler, 200, {"kind": "List", "metadata": {"resourceVersion": str(version)}, "items": items})
        else:
            for path, objects in self.served.items():
                for (namespace, name), document in objects.items():
                    if self._object_path(path, namespace, name) == split.path:
                        self._send(handler, 200, document)
                        return
            self._send(handler, 404, {"kind": "Status", "message": "not here", "code": 404})

    @staticmethod
    def _object_path(path: str, namespace: str, name: str) -> str:
        head, _, plural = path.rpartition("/")
        return f"{head}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{path}/{name}"

    def _watch(self, handler, path: str, query: dict) -> None:
        version = int(query["resourceVersion"])
        self.versions.append(query["resourceVersion"])
        if version < self.gone_before:
            self._send(handler, 410, {"kind": "Status", "message": "too old", "code": 410})
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while True:
                with self._changed:
                    news = [each for each in self._log if each[0] > version]
                    if not news:
                        if self._closed or not self._changed.wait(int(query["timeoutSeconds"])):
                            break
                        continue
                ended = False
                for number, where, event in news:
                    version = number
                    if event["type"] == "END":
                        ended = True
                    elif where == path:
                        raw = json.dumps(event).encode() + b"\n"
                        for piece in (raw[:20], raw[20:]):  # events do not come in one piece
                            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if ended:
                    handler.wfile.write(b"0\r\n\r\n")
                    return
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}
            raw = json.dumps(bookmark).encode() + b"\n"
            handler.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n0\r\n\r\n")
        except OSError:
            handler.close_connection = True

    @staticmethod
    def _send(handler, status: int, document: dict) -> None:
        raw = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)


def _merged(value, change):
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    found = dict(value) if isinstance(value, dict) else {}
    for name, each in change.items():
        if each is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), each)
    return found
