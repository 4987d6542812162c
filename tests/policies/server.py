"""A real HTTP server on this machine that speaks the chat-completions format, for tests."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer:
    """Answers with what `answer(body, number)` returns: a dict (the message), a status code, or seconds to wait first."""

    def __init__(self, answer):
        self.answer, self.bodies, self.headers = answer, [], []
        self.lock, self.busy, self.most_busy = threading.Lock(), 0, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.bodies.append(body)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                    number = len(outer.bodies) - 1
                    outer.busy += 1
                    outer.most_busy = max(outer.most_busy, outer.busy)
                try:
                    self.reply(outer.answer(body, number))
                finally:
                    with outer.lock:
                        outer.busy -= 1

            def reply(self, found):
                if isinstance(found, int):
                    self.write(found, {"error": {"message": f"status {found}"}})
                    return
                message = {"role": "assistant", "content": found.get("content", "")}
                if "tool_calls" in found:
                    message["tool_calls"] = found["tool_calls"]
                choice = {"index": 0, "message": message, "finish_reason": found.get("finish", "stop")}
                if "logprobs" in found:
                    choice["logprobs"] = {
                        "content": [{"token": "x", "logprob": value, "top_logprobs": []} for value in found["logprobs"]]
                    }
                whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                if "total" in found:
                    whole["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": found["total"]}
                self.write(200, whole)

            def write(self, status, content):
                data = json.dumps(content).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):  # the client has given up waiting
                    pass

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
