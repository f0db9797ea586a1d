#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: relay.py PLAN ROUNDS HELLOS [CLIENTS.json]

What relay.sh built, what its capture says of it, and what the agent made of that.

PLAN     lines `source scenario d1 d2`: one-way milliseconds of the two wires
ROUNDS   of rounds.py, HELLOS of hellos.py: the truth, for each source and stem
CLIENTS  the answer of `farmgate clients --format json`

Prints one table. Exit 75: the capture is not what was built; then what the agent makes of it says
nothing either way. Exit 1: the agent's answer is not what the capture says. Exit 77: it has no
signals.
"""
import json
import statistics
import sys

# A relay's gap is above this many milliseconds (and so says the agent).
GAP = 25
wrong = []


def near(what, got, want, slack=5.0):
    """Within 5 ms, or 10 %: nobody knows how busy the machine was."""
    if got is None or abs(got - want) > max(slack, 0.1 * want):
        wrong.append('%s: %s, should be %.1f' % (what, got, want))


def built(scenario, d1, d2):
    """Round trips as the wires were laid: TCP, TLS, and how long a hello waits for a proxy's word."""
    whole, far = 2 * (d1 + d2), 2 * d2
    return {'direct': (whole, whole, 0), 'tunnel': (whole, whole, 0), 'socks': (far, whole, 2 * d1),
            'connect': (far, whole, 2 * d1), 'inspect': (far, far, 0)}[scenario]


def truth(rounds, hellos):
    """For each (source, stem) the times of its connections, and how many there were."""
    stems = {}
    for line in open(hellos):
        source, port, _, _, _, _, stem = line.split('\t')[:7]
        stems.setdefault((source, port), []).append(stem)
    groups, counts, again = {}, {}, 0
    for line in open(rounds):
        source, port, tcp, delay, turn, clean = line.split('\t')[:6]
        # A port is used again now and then; both files are in the order of the SYNs.
        key = source, stems[source, port].pop(0)
        counts[key] = counts.get(key, 0) + 1
        if clean != 'clean':
            again += 1
        elif '-' not in (tcp, delay, turn):
            groups.setdefault(key, []).append(
                (float(tcp), float(turn), float(delay), float(turn) - float(tcp)))
    return groups, counts, again


def check_rig(name, want, got):
    """The wires are as long as they were told to be; a client's own arithmetic comes on top."""
    near('built: %s: TCP round trip' % name, got[0], want[0])
    # Only the separation counts here: a hello is made, and certificates are checked, on a machine
    # that may be busy.
    for what, at in (('TLS turn-around', 1), ('hello after', 2)):
        if not -5 < got[at] - want[at] < GAP:
            wrong.append('built: %s: %s %.1f for a wire of %d' % (name, what, got[at], want[at]))
    if (got[3] > GAP) != (want[1] - want[0] > GAP):
        wrong.append('built: %s: a gap of %.1f' % (name, got[3]))


def check_agent(name, want, got, signals, n):
    for at, key in enumerate(('round_trip', 'turn_around', 'hello_delay')):
        near('agent: %s: %s' % (name, key), signals[key]['median_ms'], got[at])
        if not signals[key]['n'] >= min(n, 3):
            wrong.append('agent: %s: %s from %s of %d connections' % (name, key,
                                                                     signals[key]['n'], n))
    # Of what the wires had, the agent takes off what the client's own arithmetic takes at least.
    gap = signals['relay_gap']
    near('agent: %s: relay_gap' % name, gap['median_ms'], got[3], 10)
    if gap['relayed'] != ('yes' if want[1] - want[0] > GAP else 'no'):
        wrong.append('agent: %s: relayed is %s' % (name, gap['relayed']))


def note_errors(errors, scenario, n, got, signals):
    """Of one client: its connections, whether it is relayed, how far each median is off."""
    gap = signals['relay_gap']
    of = errors.setdefault(scenario, {'n': 0, 'clients': 0, 'traits': {}, 'off': []})
    of['n'] += n
    of['clients'] += 1
    of['traits'][gap['relayed']] = of['traits'].get(gap['relayed'], 0) + 1
    of['off'].append([abs(signals[key]['median_ms'] - got[at]) for at, key in
                      enumerate(('round_trip', 'turn_around', 'hello_delay', 'relay_gap'))])


def print_errors(errors):
    print('%-8s %11s %7s  %-16s | off by, median (most), ms: tcp         tls           hello'
          '         gap' % ('', 'connections', 'clients', 'relayed'))
    for scenario, of in errors.items():
        off = ['%6.2f (%5.2f)' % (statistics.median(o), max(o)) for o in zip(*of['off'])]
        print('%-8s %11d %7d  %-16s |                 %s' % (
            scenario, of['n'], of['clients'],
            ', '.join('%s %d' % t for t in sorted(of['traits'].items())), ' '.join(off)))


def cell(value):
    return '      -' if value is None else '%7.2f' % value


def main():
    groups, counts, again = truth(sys.argv[2], sys.argv[3])
    answer = json.load(open(sys.argv[4])) if len(sys.argv) > 4 else {'clients': []}
    clients = {(c['source'], c['stem']): c for c in answer['clients']}
    errors = {}
    signals_there = any('signals' in c for c in clients.values())
    print('%-8s %3s %3s %-38s %2s | built    tcp    tls  hello | captured tcp    tls   hello     gap'
          ' | agent  tcp     tls   hello     gap relayed' % ('', 'd1', 'd2', 'stem', 'n'))
    for line in open(sys.argv[1]):
        source, scenario, d1, d2 = line.split()
        want = built(scenario, int(d1), int(d2))
        stems = sorted(stem for s, stem in groups if s == source)
        if not stems:
            wrong.append('built: %s: no connection from %s' % (scenario, source))
        for stem in stems:
            times = groups[source, stem]
            got = [statistics.median(t) for t in zip(*times)]
            name = '%s %s+%s ms, %s' % (scenario, d1, d2, stem)
            signals = clients.get((source, stem), {}).get('signals') or {}
            check_rig(name, want, got)
            seen = clients.get((source, stem), {}).get('connections', 0)
            if clients and seen != counts[source, stem]:
                wrong.append('agent: %s: %d of %d connections' % (name, seen, counts[source, stem]))
            if signals_there and not signals:
                wrong.append('agent: %s: no signals' % name)
            elif signals_there:
                check_agent(name, want, got, signals, len(times))
                note_errors(errors, scenario, len(times), got, signals)
            shown = [signals.get(k, {}).get('median_ms')
                     for k in ('round_trip', 'turn_around', 'hello_delay', 'relay_gap')]
            print('%-8s %3s %3s %-38s %2d | %12d %6d %6d |     %s %s %s %s |    %s %s %s %s %s' % (
                scenario, d1, d2, stem, len(times), *want, *map(cell, got), *map(cell, shown),
                signals.get('relay_gap', {}).get('relayed', '-')))
    print('%d connections where something was sent twice are left out' % again)
    print_errors(errors)
    print(*wrong, sep='\n', end='\n' if wrong else '')
    if wrong:
        sys.exit(75 if any(w.startswith('built: ') for w in wrong) else 1)
    if len(sys.argv) > 4 and not signals_there:
        sys.exit(77)


main()
