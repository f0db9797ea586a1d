#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Decisions one after the other, and what became of them when the agent was killed amid these.

kill.py decide SOCKET LOG SEED [STEM]  blocks and unblocks until the agent is gone. Each line of LOG is an
                                       attempt, written before it is made
kill.py within DB PINS LOG STANDING    the kernel and nft hold nothing without a verdict in the state
                                       file, and nothing longer than that says. The file is written first:
                                       where LOG has later decisions, an earlier verdict may be in force
                                       still, one of LOG that was answered or one of STANDING
kill.py equal DB PINS STANDING         they hold exactly what the state file wants, which goes to STANDING
"""
import http.client
import ipaddress
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

# Clocks of kernel, nft and file against each other: ticks, and seconds rounded up.
SLACK_S = 3


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("agent", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


# --- Decisions ------------------------------------------------------------------------------------


def some_source(rng):
    n = rng.randrange(300)
    if n % 4 == 3:
        return "2001:db8:1000:%x::/64" % n
    return "10.50.%d.%d" % (n // 100, n % 100 + 1)


def decide(path, log, seed, stem=None):
    rng = random.Random(int(seed))
    agent = Unix(path)
    with open(log, "w", buffering=1) as out:
        while True:
            source = some_source(rng)
            action = "unblock" if rng.random() < 0.4 else "block"
            body = {"prefix": source}
            if action == "block":
                body["ttl"] = "%dm" % rng.randint(2, 60)
                if stem and rng.random() < 0.3:
                    body["stem"] = stem
            ends = time.time() + 60 * int(body["ttl"][:-1]) if action == "block" else 0
            out.write("%s %s %.3f\n" % (action, source, ends))
            try:
                agent.request("POST", "/v1/" + action, json.dumps(body))
                answer = agent.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                return
            # nothing to unblock, or a stem that the new agent has not seen
            if answer.status not in (200, 404):
                sys.exit("%s %s: %d %s" % (action, source, answer.status, text))


# --- What there is --------------------------------------------------------------------------------


def key_of(raw):
    address = ipaddress.IPv6Address(bytes(raw))
    return str(address.ipv4_mapped or address)


def state_file(path):
    """Verdicts that stand: key, or (key, stem, stack), to its end. A copy is read: the file is as the
    agent, dead or alive, left it."""
    with tempfile.TemporaryDirectory() as scratch:
        for part in ("", "-wal"):
            if os.path.exists(path + part):
                shutil.copy(path + part, os.path.join(scratch, "db" + part))
        db = sqlite3.connect(os.path.join(scratch, "db"))
        rows = db.execute(
            "SELECT addr, stem, stack, until_ns FROM verdict WHERE tier = 2 AND state = 0"
        ).fetchall()
        db.close()
    mask = (1 << 64) - 1
    sources, clients = {}, {}
    for addr, stem, stack, until_ns in rows:
        if stem:
            clients[key_of(addr), stem & mask, stack & mask] = until_ns / 1e9
        else:
            sources[key_of(addr)] = until_ns / 1e9
    return sources, clients


def dump(pins, name):
    """Keys and values with the names of their members, which the maps carry (BTF)."""
    out = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", os.path.join(pins, name)],
                         check=True, capture_output=True).stdout
    for row in json.loads(out):
        yield row["formatted"]["key"], row["formatted"]["value"]


def gate(pins):
    """Entries that hold now, to their end in unix time. Ticks begin 300 s before they overflow 32 bits,
    at boot; their length is the agent's own measurement."""
    (_, meta), = dump(pins, "fg_meta")
    hz = round(1e9 / meta["tick_ns"])
    now_ticks = (1 << 32) - 300 * hz + time.clock_gettime(time.CLOCK_MONOTONIC) * hz
    assert abs(now_ticks - meta["heartbeat_ticks"]) < 120 * hz, (now_ticks, meta)

    def until(value):
        return time.time() + (value["until_ticks"] - now_ticks) / hz

    sources = {key_of(k["addr"]): until(v) for k, v in dump(pins, "fg_drop_sources")}
    clients = {(key_of(k["addr"]), k["stem"], k["stack"]): until(v)
               for k, v in dump(pins, "fg_drop_clients")}
    now = time.time()
    return ({k: t for k, t in sources.items() if t > now},
            {k: t for k, t in clients.items() if t > now})


def firewall():
    listed = subprocess.run(["nft", "-j", "list", "table", "inet", "farmgate"],
                            capture_output=True, check=False)
    held = {}
    if listed.returncode:
        return held
    for entry in json.loads(listed.stdout)["nftables"]:
        for element in entry.get("set", {}).get("elem", []):
            element = element["elem"]
            held[str(ipaddress.ip_address(element["val"]))] = time.time() + element["expires"]
    return held


# --- Claims ---------------------------------------------------------------------------------------


def earlier_ends(log, standing):
    """Of sources that LOG decides about: the last end that any verdict before the last decision had. All
    but the last were answered, and so were in the file."""
    ends = {}
    with open(log) as lines:
        decisions = [line.split() for line in lines]
    with open(standing) as f:
        stood = json.load(f)
    for n, (_, source, end) in enumerate(decisions):
        source = str(ipaddress.ip_address(source.split("/")[0]))
        ends.setdefault(source, stood.get(source, 0))
        if n + 1 < len(decisions):
            ends[source] = max(ends[source], float(end))
    return ends


def without_verdict(where, held, wanted, earlier):
    wrong = []
    for key, until in held.items():
        end = max(wanted.get(key, 0), earlier.get(key if isinstance(key, str) else key[0], 0))
        if not end:
            wrong.append("%s blocks %s without a verdict" % (where, key))
        elif until > end + SLACK_S:
            wrong.append("%s blocks %s for %.1f s longer than its verdict" %
                         (where, key, until - end))
    return wrong


def within(db, pins, log, standing):
    sources, clients = state_file(db)
    gate_sources, gate_clients = gate(pins)
    earlier = earlier_ends(log, standing)
    wrong = without_verdict("the gate", gate_sources, sources, earlier)
    wrong += without_verdict("the gate", gate_clients, clients, earlier)
    wrong += without_verdict("nft", firewall(), sources, earlier)
    if wrong:
        sys.exit("\n".join(wrong))
    print(len(gate_sources), len(gate_clients), len(sources) + len(clients))


def equal(db, pins, standing):
    sources, clients = state_file(db)
    now = time.time()
    gate_sources, gate_clients = gate(pins)
    wrong = []
    for where, held, wanted in (("gate", gate_sources, sources), ("gate", gate_clients, clients),
                                ("nft", firewall(), sources)):
        wrong += without_verdict(where, held, wanted, {})
        # what ends this very moment may be gone already
        missing = [k for k, until in wanted.items() if k not in held and until > now + 1]
        wrong += ["%s does not block %s" % (where, k) for k in missing]
    if wrong:
        sys.exit("\n".join(wrong))
    ends = {}
    for key, until in [*sources.items(), *((k[0], until) for k, until in clients.items())]:
        ends[key] = max(ends.get(key, 0), until)
    with open(standing, "w") as f:
        json.dump(ends, f)


if __name__ == "__main__":
    {"decide": decide, "within": within, "equal": equal}[sys.argv[1]](*sys.argv[2:])
