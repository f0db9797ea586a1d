/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Command name to command. */
#include <stddef.h>

#include "cmd/cmd.h"
#include "export/formats.h"

#define LIST "limit sort since"

const struct fg_command fg_commands[] = {
	{ "run", "-i IF[,IF...]", 0, 0, "interface role attach protect protect-prefix",
	  "Attach to interfaces and run the agent in the foreground", fg_cmd_run },
	{ "replay", "FILE|-", 1, 1, "asn engine protect",
	  "Run the whole agent over a capture and print its report", fg_cmd_replay },
	{ "ja4", "FILE|-", 1, 1, "engine raw", "Print one line for each hello of a capture",
	  fg_cmd_ja4 },
	{ "status", "", 0, 0, "", "Show the running agent: counters, tables, what is degraded",
	  fg_cmd_status },
	{ "sources", "", 0, 0, LIST, "List sources", fg_cmd_sources },
	{ "clients", "", 0, 0, LIST, "List clients: kinds of clients behind each source",
	  fg_cmd_clients },
	{ "fingerprints", "", 0, 0, LIST, "List fingerprints by JA4", fg_cmd_fingerprints },
	{ "cohorts", "", 0, 0, LIST, "List cohorts: groups of clients that move as one farm",
	  fg_cmd_cohorts },
	{ "flagged", "", 0, 0, "tier " LIST, "List flagged sources with the evidence",
	  fg_cmd_flagged },
	{ "explain", "SOURCE|COHORT", 1, 1, "",
	  "Say why a cohort is one, or what is known about a source and why it is flagged",
	  fg_cmd_explain },
	{ "history", "SOURCE|COHORT", 1, 1, "",
	  "Say what was decided about a source or cohort, when, why and by whom", fg_cmd_history },
	{ "block", "PREFIX|COHORT", 1, 1, "stem ttl reason confirm",
	  "Block a source or prefix, or each client that is a member of a cohort", fg_cmd_block },
	{ "unblock", "PREFIX|COHORT", 1, 1, "stem reason",
	  "End every verdict on exactly this prefix, or on the members of a cohort",
	  fg_cmd_unblock },
	{ "allow", "PREFIX", 1, 1, "ttl reason", "Never act on a prefix; wins over every verdict",
	  fg_cmd_allow },
	{ "disallow", "PREFIX", 1, 1, "", "Take a prefix off the allowlist", fg_cmd_disallow },
	{ "undo", "ID", 1, 1, "reason", "Take back all that a decision did, in one step",
	  fg_cmd_undo },
	{ "export", FG_EXPORT_FORMATS, 1, 1, "tier dry-run follow bgp next-hop community max tlp",
	  "Print the verdicts ready for a consumer", fg_cmd_export },
	{ "check-config", "[FILE]", 0, 1, "", "Test a configuration file without starting",
	  fg_cmd_check_config },
	{ "doctor", "[IF...]", 0, 8, "", "Say what this host can and cannot do, and why",
	  fg_cmd_doctor },
	{ 0 },
};
