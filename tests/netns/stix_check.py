#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A strict reader of STIX 2.1 bundles, for what farmgate writes: identities, TLP markings and
indicators, each with no property that the standard does not have, and every rule that it has for
these. usage: stix_check.py FILE [OLDER]   prints "ok N indicators"; with an older bundle of the same
farmgate also checks that objects are the same ones, in versions that are not older."""
import ipaddress
import json
import re
import sys
import uuid

ID = re.compile(r"^([a-z][a-z0-9-]+[a-z0-9])--([0-9a-f-]{36})$")
TIME = re.compile(r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$")
PATTERN = re.compile(r"^\[(ipv4-addr|ipv6-addr):value = '([^'\\]+)'\]$")
# 10.12 of the standard
INDICATOR_TYPES = {"anomalous-activity", "anonymization", "benign", "compromised",
                   "malicious-activity", "attribution", "unknown"}
IDENTITY_CLASSES = {"individual", "group", "system", "organization", "class", "unknown"}
# 7.2.1.4
TLP = {"white": "613f2e26-407d-48c7-9eca-b8e91df99dc9", "green": "34098fce-860f-48ae-8e50-ebd3cc5e41da",
       "amber": "f88d31f6-486f-44da-b317-01333bde0b82", "red": "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"}
COMMON = {"type", "spec_version", "id", "created_by_ref", "created", "modified", "revoked", "labels",
          "confidence", "lang", "external_references", "object_marking_refs", "granular_markings",
          "extensions"}
OWN = {
    "identity": {"name", "description", "roles", "identity_class", "sectors", "contact_information"},
    "marking-definition": {"name", "definition_type", "definition"},
    "indicator": {"name", "description", "indicator_types", "pattern", "pattern_type",
                  "pattern_version", "valid_from", "valid_until", "kill_chain_phases"},
}
REQUIRED = {
    "identity": {"created", "modified", "name"},
    "marking-definition": {"created", "definition_type", "definition"},
    "indicator": {"created", "modified", "pattern", "pattern_type", "valid_from"},
}


def need(condition, what):
    if not condition:
        sys.exit(f"stix: {what}")


def unique_keys(pairs):
    keys = [k for k, _ in pairs]
    need(len(keys) == len(set(keys)), f"a key twice: {keys}")
    return dict(pairs)


def check_id(text, kind):
    match = ID.match(text)
    need(match and match[1] == kind, f"id {text} of a {kind}")
    parsed = uuid.UUID(match[2])
    need(str(parsed) == match[2] and parsed.variant == uuid.RFC_4122, f"no RFC 4122 UUID: {text}")
    # 2.9: that namespace is for observables, which these are not
    return parsed


def check_common(o):
    kind = o.get("type")
    need(kind in OWN, f"type {kind}")
    need(o.get("spec_version") == "2.1", f"spec_version of {o.get('id')}")
    parsed = check_id(o["id"], kind)
    if kind != "marking-definition":
        need(parsed.version in (4, 5), f"UUID version {parsed.version}")
    need(set(o) <= COMMON | OWN[kind], f"unknown keys: {set(o) - COMMON - OWN[kind]}")
    need(REQUIRED[kind] <= set(o), f"missing keys: {REQUIRED[kind] - set(o)}")
    for key in ("created", "modified", "valid_from", "valid_until"):
        need(key not in o or TIME.match(o[key]), f"{key}: {o.get(key)}")
    for key, value in o.items():
        need(value not in ("", [], {}), f"{key} is empty")
    if "modified" in o:
        need(o["modified"] >= o["created"], f"{o['id']}: modified before it was created")
    if "confidence" in o:
        need(isinstance(o["confidence"], int) and 0 <= o["confidence"] <= 100, "confidence")
    for label in o.get("labels", []):
        need(isinstance(label, str) and label, f"label {label}")


def check_indicator(o):
    need(set(o["indicator_types"]) <= INDICATOR_TYPES, f"indicator_types {o['indicator_types']}")
    need(o["pattern_type"] == "stix", "pattern_type")
    match = PATTERN.match(o["pattern"])
    need(match, f"pattern {o['pattern']}")
    network = ipaddress.ip_network(match[2], strict=True)
    need(f"ipv{network.version}-addr" == match[1], f"family of {o['pattern']}")
    need(match[2] == o["name"], "name")
    need("valid_until" not in o or o["valid_until"] > o["valid_from"], f"{o['id']}: ends before it begins")


def check_marking(o):
    need(o["definition_type"] == "tlp", "definition_type")
    color = o["definition"]["tlp"]
    need(o["definition"] == {"tlp": color} and o["id"] == "marking-definition--" + TLP[color], f"marking {o}")
    need(o["created"] == "2017-01-20T00:00:00.000Z" and "modified" not in o, "marking's times")


def read(path):
    with open(path, encoding="utf-8") as f:
        bundle = json.load(f, object_pairs_hook=unique_keys)
    need(set(bundle) <= {"type", "id", "objects"} and bundle["type"] == "bundle", f"bundle {set(bundle)}")
    check_id(bundle["id"], "bundle")
    objects = {}
    for o in bundle["objects"]:
        check_common(o)
        need(o["id"] not in objects, f"{o['id']} twice")
        objects[o["id"]] = o
        {"indicator": check_indicator, "marking-definition": check_marking,
         "identity": lambda i: need(i["identity_class"] in IDENTITY_CLASSES, "identity_class")}[o["type"]](o)
    for o in objects.values():
        for ref in [o.get("created_by_ref")] + o.get("object_marking_refs", []):
            need(ref is None or ref in objects, f"{o['id']} refers to {ref}, which is not here")
    return objects


def main():
    objects = read(sys.argv[1])
    indicators = [o for o in objects.values() if o["type"] == "indicator"]
    if len(sys.argv) > 2:
        older = read(sys.argv[2])
        for key, old in older.items():
            new = objects.get(key)
            if new is None:
                continue
            need(new["created"] == old["created"], f"{key} was created twice")
            need(new.get("created_by_ref") == old.get("created_by_ref"), f"{key} has another author")
            if new != old:
                need(new["modified"] > old["modified"], f"{key} is changed, its version is not")
        need(any(k in older for k in (o["id"] for o in indicators)) or not indicators,
             "no indicator of the older bundle is here again")
    print(f"ok {len(indicators)} indicators")


main()
