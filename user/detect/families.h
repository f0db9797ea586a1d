/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a source's busiest client is like, beside how much it does: evidence of the families relay,
 * automation, clock and lifecycle. None of it flags by itself (detect/thresholds.h): it is added to
 * volume.
 *
 * Each trait counts once, ln(FG_TRAIT_IN_FARMS / base rate), and within a family the strongest counts,
 * not the sum. The base rate is that of the client's stem where cells have learned it, else a careful
 * guess that is written here; traits that are not there clear nobody.
 *
 * relay       TLS turn-around behind the TCP round trip (model/signals.h), or a stack that the stem
 *             hardly ever has
 * automation  gaps between exchanges steadier than chance: of 387 measured clients of model servers a
 *             tenth was below 0.87 to 1.0; 0.5 is far out. Or many stems of one clock.
 * clock       active in 20 hours of a day: people rest. Asked of homes and mobile networks only.
 * lifecycle   sessions are resumed that were never begun here; or the source is new
 *
 * Left out: periods of gaps by Rayleigh's test (fixed gaps vary little already), the entropy of a day and
 * its longest rest (need a baseline by class of network; 20 active hours need none), many clocks of one stem
 * (what a crowd behind an address is), a life of less than a day (births and returns are judged of cells,
 * where a hundred of them say more than one).
 *
 * False positive case: the server of a new customer behind a gateway is all of this. So these families
 * together count at most FG_OTHERS_CAP_NATS.
 */
#pragma once

#include "detect/detect.h"

/** Writes evidence with nats above 0, at most one for each family. @return how many, at most n. */
size_t fg_families_judge(const struct fg_scene *scene, const struct fg_model_source *source,
			 const struct fg_model_client *client, struct fg_evidence *ret, size_t n);
/** Sum of their nats, capped. */
double fg_families_nats(const struct fg_evidence *evidence, size_t n);
