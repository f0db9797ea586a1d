#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: nat_hosts.py PLAN ROUNDS [EXPLAINED]

How many hosts nat_hosts.sh put behind each address, how many lines their TCP timestamps make in the
capture, and how many hosts the agent makes of that.

PLAN       lines `source hosts kind`; how hosts' timestamps begin, by kind:
             keep    with the host: it has one line
             new     anew with each connection: it has as many lines as those
             mixed   three hosts keep theirs, the others begin anew
             kernel  as this kernel has it: for each pair of addresses (then like keep), or for each
                     pair of addresses and ports (then like new)
             none    not at all
ROUNDS     of rounds.py; a connection's host is its source port / 1000
EXPLAINED  folder with `farmgate explain SOURCE --format json` of each source in SOURCE.json

A line is what SYNs share whose timestamps count the same milliseconds: residuals r = TSval - 1000 t
no more than 30 ms from one another. Exit 1: the agent tells other hosts than were built. 75: they were
not built as they should be. 77: the agent tells no hosts.
"""
import json
import sys

TOLERANCE = 30
# Below this share of SYNs on a line that was there already, lines are connections and not hosts.
JOINED = 0.5
wrong = []


def residual(tsval, seconds):
    return (tsval - seconds * 1000) % 2**32


def apart(a, b):
    return min((a - b) % 2**32, (b - a) % 2**32)


def lines(residuals):
    """One for each host that counts its own way; how many joined one that was there."""
    found, joined = [], 0
    for r in residuals:
        if any(apart(r, line) <= TOLERANCE for line in found):
            joined += 1
        else:
            found.append(r)
    return len(found), joined


def read(path):
    """Of each source, of each host, its SYNs: TSval, residual, server. In the order they came."""
    sources = {}
    for line in open(path):
        source, port, _, _, _, _, tsval, time, server = line.rstrip('\n').split('\t')
        syns = sources.setdefault(source, {}).setdefault(int(port) // 1000, [])
        if tsval != '-':
            syns.append((int(tsval), residual(int(tsval), float(time)), server, float(time)))
        else:
            syns.append((None, None, server, float(time)))
    return sources


def show_hosts(hosts):
    """The timestamps as captured: one sees whether a host keeps to its line."""
    for host, syns in sorted(hosts.items()):
        for server in sorted({s[2] for s in syns}):
            mine = [s for s in syns if s[2] == server]
            if mine[0][0] is None:
                print('  host %2d to %-11s no timestamps' % (host, server))
                continue
            spread = max(apart(s[1], mine[0][1]) for s in mine)
            print('  host %2d to %-11s residual %10d, others within %10.1f ms; TSvals %s' % (
                host, server, mine[0][1], spread, ' '.join(str(s[0]) for s in mine[:4])))


def expected(kind, hosts, syns, found):
    """How many lines there must be, and which numbers of hosts the agent may tell."""
    if kind == 'kernel':
        kind = 'new' if found == len(syns) else 'keep'
    each = len(syns) // hosts
    return {'keep': (hosts, [hosts]), 'new': (len(syns), [None]), 'none': (0, [None]),
            'mixed': (3 + (hosts - 3) * each, [None] + list(range(3, hosts + 1)))}[kind]


def check_agent(name, may, found, timestamped, told):
    # The first one had no line that it could have joined.
    if told['n'] != max(timestamped - 1, 0):
        wrong.append('agent: %s: timestamped %s of %d' % (name, told['n'], timestamped))
    estimate, joined = told['estimate'], told['joined_share']
    # It may always say that it does not know, where it sees that lines are connections.
    if estimate is None and (joined is None or joined < JOINED):
        return
    if estimate not in may:
        wrong.append('agent: %s: estimate %s, may be %s; %s lines of %d, joined share %s' % (
            name, estimate, may, told['clocks'], found, joined))


def main():
    sources = read(sys.argv[2])
    told_any = False
    table = []
    for line in open(sys.argv[1]):
        source, want, kind = line.split()
        hosts = sources.get(source, {})
        syns = sorted((s for h in hosts.values() for s in h), key=lambda s: s[3])
        stamped = [s[1] for s in syns if s[1] is not None]
        found, joined = lines(stamped)
        share = joined / len(stamped) if stamped else 0
        name = '%s, %s hosts, %s' % (source, want, kind)
        print(name)
        show_hosts(hosts)
        if len(hosts) != int(want):
            wrong.append('built: %s: SYNs of %d hosts' % (name, len(hosts)))
        must, may = expected(kind, int(want), syns, found)
        if found != must:
            wrong.append('built: %s: %d lines, should be %d' % (name, found, must))
        told = {}
        if len(sys.argv) > 3:
            told = json.load(open('%s/%s.json' % (sys.argv[3], source))).get('hosts') or {}
        if told:
            told_any = True
            check_agent(name, may, found, len(stamped), told)
        table.append('%-10s %5s %-6s %5d %11d %6d %7.2f | %s' % (
            source, want, kind, len(syns), len(stamped), found, share,
            ' '.join('%s %s' % (k, told.get(k, '-'))
                     for k in ('estimate', 'clocks', 'joined_share', 'n'))))
    print('%-10s %5s %-6s %5s %11s %6s %7s | agent' % (
        'source', 'hosts', 'kind', 'SYNs', 'timestamped', 'lines', 'joined'))
    print(*table, *wrong, sep='\n')
    if wrong:
        sys.exit(75 if any(w.startswith('built: ') for w in wrong) else 1)
    if len(sys.argv) > 3 and not told_any:
        sys.exit(77)


main()
