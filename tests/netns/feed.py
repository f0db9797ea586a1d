#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: feed.py FEED SERVER SECONDS

The application behind the TLS server at SERVER, and its customers: real TLS connections from many
sources, each told of on the feed's socket FEED as the application would when the account behind it is
known. 80 ordinary accounts have a source of their own; 30 new ones are a farm, each on 8 of 24 exits
in 8 networks.

Then two connections stay open, one from an exit, one from an ordinary source, and the feed is asked
about both, and about one that never was, until the exit's tier is not observe, at most SECONDS. Last
line: an object with the answers `farm`, `ordinary`, `gone`, the messages told, the digits of one
account, and the answers to lines that are wrong.
"""
import hashlib
import hmac
import json
import random
import socket
import ssl
import sys
import time

FEED, SERVER, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
KEY = b'the application keeps it'
chance = random.Random(1)
tls = ssl.create_default_context()
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE


def connect(source):
    raw = socket.create_connection((SERVER, 443), timeout=10, source_address=(source, 0))
    wrapped = tls.wrap_socket(raw, server_hostname='api.example.com')
    wrapped.sendall(b'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n')
    if not wrapped.recv(4096).startswith(b'HTTP/1.1 200'):
        sys.exit('the server did not answer')
    return wrapped


def ends(connection):
    return {'client': '%s:%d' % connection.getsockname(), 'server': '%s:%d' % connection.getpeername()}


def digits_of(account):
    return hmac.new(KEY, str(account).encode(), hashlib.sha256).hexdigest()


class Feed:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(FEED)
        self.socket.settimeout(10)
        self.answers = self.socket.makefile('r')
        self.told = 0

    def write(self, line):
        self.socket.sendall(line.encode() + b'\n')

    def tell(self, connection, account, outcome, age):
        self.write(json.dumps({**ends(connection), 'account': digits_of(account), 'outcome': outcome,
                               'age': age}))
        self.told += 1

    def ask(self, line):
        self.write(line if isinstance(line, str) else json.dumps({'lookup': line}))
        return json.loads(self.answers.readline())


def ordinary(number):
    return '10.%d.%d.1' % (100 + number % 20, number)


def exit_of(number):
    return '10.%d.0.%d' % (1 + number % 8, 1 + number // 8)


def make_traffic(feed):
    visits = [(n, ordinary(n), 'old') for n in range(80)]
    for account in range(1000, 1030):
        visits += [(account, exit_of(n), 'new') for n in chance.sample(range(24), 8)]
    chance.shuffle(visits)
    for account, source, age in visits:
        connection = connect(source)
        feed.tell(connection, account, 'ok', age)
        connection.close()
    return next(source for account, source, _ in visits if account == 1000)


WRONG = [
    'nonsense',
    '{"client":"10.0.0.1:1"}',
    '{"client":"10.0.0.1","server":"192.0.2.1:443"}',
    '{"client":"10.0.0.1:1","server":"192.0.2.1:443","account":"someone@example.com","outcome":"ok"}',
    '{"client":"10.0.0.1:1","server":"192.0.2.1:443","account":"0123456789abcdef","outcome":"maybe"}',
    '{"client":"10.0.0.1:1","server":"192.0.2.1:443","account":"0123456789abcdef","result":"ok"}',
]


def main():
    feed = Feed()
    one_exit = make_traffic(feed)
    result = {'wrong': [feed.ask(line)['error'] for line in WRONG], 'digits': digits_of(0)}
    farm, legit = connect(one_exit), connect(ordinary(0))
    feed.tell(farm, 1000, 'ok', 'new')
    feed.tell(legit, 0, 'ok', 'old')
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        result['farm'] = feed.ask(ends(farm))
        if result['farm']['tier'] != 'observe':
            break
        time.sleep(1)
    result['ordinary'] = feed.ask(ends(legit))
    result['gone'] = feed.ask({**ends(farm), 'client': one_exit + ':7'})
    result['told'] = feed.told
    print(json.dumps(result))


main()
