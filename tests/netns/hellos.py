#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: hellos.py FILE.pcap

What a capture of TLS clients (Ethernet, TCP port 443) holds, read without any of farmgate's code:
written from the published rules alone, so that a misreading there does not repeat itself here.

One line a connection, tab between: source, source port, server, hellos (2 after a
HelloRetryRequest), segments that the first hello took, JA4, stem, flags (psk, ticket, early or -),
extensions in the order they were sent (GREASE as g).
"""
import hashlib
import socket
import struct
import sys

GREASE = {v << 8 | v for v in range(0x0a, 0x100, 0x10)}
COME_AND_GO = {0x0015: 'padding', 0x0023: 'ticket', 0x0029: 'psk', 0x002a: 'early', 0x002c: 'cookie'}
VERSIONS = {0x0304: '13', 0x0303: '12', 0x0302: '11', 0x0301: '10'}


def packets(path):
    """Source, source port, server, sequence number, flags, payload of what clients sent."""
    data = open(path, 'rb').read()
    assert struct.unpack('<IHHiIII', data[:24])[::6] == (0xa1b2c3d4, 1), 'not Ethernet in pcap'
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from('<I', data, at + 8)[0]
        frame = data[at + 16:at + 16 + length]
        at += 16 + length
        if frame[12:14] == b'\x08\x00':
            ip, family = 14, socket.AF_INET
            tcp = ip + (frame[ip] & 15) * 4
            end = ip + struct.unpack_from('>H', frame, ip + 2)[0]
            addresses = frame[ip + 12:ip + 16], frame[ip + 16:ip + 20]
        else:
            ip, family = 14, socket.AF_INET6
            tcp = ip + 40
            end = tcp + struct.unpack_from('>H', frame, ip + 4)[0]
            addresses = frame[ip + 8:ip + 24], frame[ip + 24:ip + 40]
        sport, dport, seq = struct.unpack_from('>HHI', frame, tcp)
        if dport == 443:
            start = tcp + (frame[tcp + 12] >> 4) * 4
            source, server = (socket.inet_ntop(family, a) for a in addresses)
            yield (source, sport, server), seq, frame[tcp + 13], frame[start:end]


def connections(path):
    """For each connection its first bytes in order, and where its segments begin."""
    streams = {}
    for key, seq, flags, payload in packets(path):
        if flags & 0x12 == 0x02:
            streams.setdefault((key, seq), {})
            continue
        isn = max((i for k, i in streams if k == key and (seq - i) % 2**32 < 2**24), default=None)
        if isn is not None and payload:
            streams[key, isn].setdefault((seq - isn - 1) % 2**32, payload)
    for (key, _), segments in streams.items():
        stream = b''
        for at, payload in sorted(segments.items()):
            if at > len(stream):
                break
            stream += payload[len(stream) - at:]
        yield key, stream, sorted(segments)


def hellos(stream):
    """Bodies of the ClientHellos a stream begins with, and how many bytes it took to the first."""
    found, message, at, first = [], b'', 0, 0
    while at + 5 <= len(stream) and stream[at] in (20, 22):
        kind, _, length = struct.unpack_from('>BHH', stream, at)
        if at + 5 + length > len(stream):
            break
        if kind == 22:
            message += stream[at + 5:at + 5 + length]
        at += 5 + length
        if len(message) < 6:
            continue
        if message[0] != 1 or message[4] != 3:
            break
        size = 4 + int.from_bytes(message[1:4], 'big')
        if len(message) >= size:
            found.append(message[4:size])
            message = message[size:]
            first = first or at
    return found, first


def vector(data, at, width):
    length = int.from_bytes(data[at:at + width], 'big')
    return data[at + width:at + width + length], at + width + length


def numbers(data):
    return [v for (v,) in struct.iter_unpack('>H', data)]


def parse(hello):
    version = struct.unpack_from('>H', hello)[0]
    _, at = vector(hello, 34, 1)
    ciphers, at = vector(hello, at, 2)
    _, at = vector(hello, at, 1)
    rest, _ = vector(hello, at, 2)
    extensions, at = [], 0
    while at < len(rest):
        body, after = vector(rest, at + 2, 2)
        extensions.append((struct.unpack_from('>H', rest, at)[0], body))
        at = after
    return version, [c for c in numbers(ciphers) if c not in GREASE], extensions


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else '0' * 12


def hex_list(values):
    return ','.join('%04x' % v for v in values)


def ja4(hello, without=()):
    version, ciphers, extensions = parse(hello)
    extensions = {k: b for k, b in extensions if k not in GREASE and k not in without}
    if 0x002b in extensions:
        version = max(v for v in numbers(extensions[0x002b][1:]) if v not in GREASE)
    alpn = '00'
    if 0x0010 in extensions:
        first = vector(extensions[0x0010], 2, 1)[0].decode('ascii')
        alpn = first[0] + first[-1]
    signatures = [s for s in numbers(extensions.get(0x000d, b'\0\0')[2:]) if s not in GREASE]
    kinds = hex_list(sorted(k for k in extensions if k not in (0x0000, 0x0010)))
    if kinds and signatures:
        kinds += '_' + hex_list(signatures)
    return 't%s%s%02d%02d%s_%s_%s' % (
        VERSIONS.get(version, '00'), 'd' if 0 in extensions else 'i', min(len(ciphers), 99),
        min(len(extensions), 99), alpn, short_hash(hex_list(sorted(ciphers))), short_hash(kinds))


def main():
    for (source, sport, server), stream, segments in connections(sys.argv[1]):
        found, size = hellos(stream)
        if not found:
            print(source, sport, server, 0, 0, '-', '-', '-', '-', sep='\t')
            continue
        _, _, extensions = parse(found[0])
        kinds = [k for k, body in extensions]
        # An empty ticket extension only says that the client would take one.
        flags = [COME_AND_GO[k] for k, body in extensions if k in (0x29, 0x2a) or k == 0x23 and body]
        order = '-'.join('g' if k in GREASE else str(k) for k in kinds)
        print(source, sport, server, len(found), sum(s < size for s in segments), ja4(found[0]),
              '~' + ja4(found[0], COME_AND_GO), ','.join(flags) or '-', order, sep='\t')


main()
