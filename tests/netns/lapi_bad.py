#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A LAPI out of order. usage: lapi_bad.py garbage|half|500|redirect|hang|token"""
import http.server
import json
import sys
import time

how = sys.argv[1]


class Bad(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        login = self.path == "/v1/watchers/login"
        if how == "hang":
            time.sleep(60)
        elif how == "garbage":
            self.answer(200, b"<html>\0\xff")
        elif how == "half":
            self.answer(200, b'{"code":200,"expire":"2026-')
        elif how == "500":
            self.answer(500, b'{"message":"out of order\\n"}')
        elif how == "redirect":
            self.answer(302, b"", [("Location", "http://127.0.0.1:8080/v1/elsewhere")])
        elif login:
            expire = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            self.answer(200, json.dumps({"code": 200, "expire": expire, "token": "a.b.c"}).encode())
        else:
            self.answer(401, b'{"code":401,"message":"no"}')

    do_POST = do_DELETE = do_GET

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Bad).serve_forever()
