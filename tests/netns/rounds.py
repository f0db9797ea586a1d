#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: rounds.py FILE.pcap

When things happened on the TLS connections (Ethernet, IPv4, TCP port 443) of a capture taken at the
server, read without any of farmgate's code.

One line a connection, tab between: source, source port, then milliseconds, or - where the capture
does not tell:
  tcp     from the server's SYN-ACK to the acknowledgement that ends the handshake
  delay   from that acknowledgement to the client's first payload
  turn    from the server's last payload before the client's first one behind its hello, to that
and `clean` or `again` (client or server sent something twice up to there), the SYN's timestamp value
or -, the time it came (unix seconds), and the server's address.
"""
import socket
import struct
import sys

FIN, SYN, ACK = 1, 2, 16


class Segment:
    def __init__(self, time, frame):
        tcp = 14 + (frame[14] & 15) * 4
        end = 14 + struct.unpack_from('>H', frame, 16)[0]
        start = tcp + (frame[tcp + 12] >> 4) * 4
        self.time = time
        self.addresses = [socket.inet_ntoa(frame[at:at + 4]) for at in (26, 30)]
        self.ports = struct.unpack_from('>HH', frame, tcp)
        self.seq, self.ack = struct.unpack_from('>II', frame, tcp + 4)
        self.flags = frame[tcp + 13]
        self.payload = frame[start:end]
        self.options = frame[tcp + 20:start]

    def timestamp(self):
        at = 0
        while at < len(self.options) and self.options[at]:
            if self.options[at] == 8:
                return struct.unpack_from('>I', self.options, at + 2)[0]
            at += 1 if self.options[at] == 1 else max(self.options[at + 1], 2)
        return None


class Connection:
    def __init__(self, syn):
        self.isn, self.syn = syn.seq, syn
        self.syn_ack = self.ack = self.first = self.turn = None
        self.stream = b''
        self.server_end, self.server_time = None, None
        self.again = False

    def from_server(self, s):
        if s.flags & SYN:
            self.again |= self.syn_ack is not None
            self.syn_ack, self.server_end = s, (s.seq + 1) % 2**32
        elif s.payload and self.turn is None and self.server_end is not None:
            self.again |= s.seq != self.server_end
            self.server_end = (s.seq + len(s.payload)) % 2**32
            self.server_time = s.time

    def from_client(self, s):
        if self.turn is not None or self.syn_ack is None:
            return
        if self.ack is None and s.flags & ACK and s.ack == (self.syn_ack.seq + 1) % 2**32:
            self.ack = s
        if not s.payload:
            return
        self.first = self.first or s
        if (s.seq - self.isn - 1) % 2**32 != len(self.stream):
            self.again = True
            return
        if self.whole_hello() and self.server_time is not None:
            self.turn = s.time - self.server_time
        self.stream += s.payload

    def whole_hello(self):
        s = self.stream
        return len(s) >= 5 and s[0] == 22 and len(s) >= 5 + int.from_bytes(s[3:5], 'big')

    def line(self):
        tcp = self.ack and self.ack.time - self.syn_ack.time
        delay = self.ack and self.first and self.first.time - self.ack.time
        return [self.syn.addresses[0], str(self.syn.ports[0])] + \
            ['-' if t is None else '%.3f' % (t / 1e6) for t in (tcp, delay, self.turn)] + \
            ['again' if self.again else 'clean', str(self.syn.timestamp() or '-'),
             '%.6f' % (self.syn.time / 1e9), self.syn.addresses[1]]


def segments(path):
    data = open(path, 'rb').read()
    assert struct.unpack('<IHHiIII', data[:24])[::6] == (0xa1b2c3d4, 1), 'not Ethernet in pcap'
    at = 24
    while at + 16 <= len(data):
        seconds, micros, length = struct.unpack_from('<III', data, at)
        frame = data[at + 16:at + 16 + length]
        at += 16 + length
        if frame[12:14] == b'\x08\x00' and frame[23] == 6:
            yield Segment(seconds * 10**9 + micros * 1000, frame)


def connections(path):
    found, latest = [], {}
    for s in segments(path):
        client = s.ports[1] == 443
        key = (s.addresses[not client], s.ports[not client], s.addresses[client])
        now = latest.get(key)
        if client and s.flags & (SYN | ACK) == SYN:
            if now and now.isn == s.seq:
                now.again = True
            else:
                latest[key] = Connection(s)
                found.append(latest[key])
        elif now:
            (now.from_client if client else now.from_server)(s)
    return found


if __name__ == '__main__':
    for c in connections(sys.argv[1]):
        print(*c.line(), sep='\t')
