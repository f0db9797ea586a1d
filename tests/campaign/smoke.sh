#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Three farms and four surprises in a small world: found, and quiet.
exec scripts/campaign smoke
