/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Signals of a client and hosts of a source, as JSON and in sentences. farmgate(8) says what each
 * means. */
#pragma once

#include "lib/jsonw.h"
#include "serve/view.h"

/** The value of "signals": an object, each signal with its n; null where nothing was measured. */
void fg_signals_write(struct fg_jsonw *w, const struct fg_model *model,
		      const struct fg_model_client *client);
/** "stem_everywhere", inside an open object: what all clients with this stem do. */
void fg_signals_write_stem(struct fg_jsonw *w, const struct fg_model *model, uint64_t stem);
/** "stem_reach", inside an open object: from where the stem came lately; null where no cell is kept of
 * it. */
void fg_signals_write_reach(struct fg_jsonw *w, const struct fg_view *view, uint64_t stem);
/** Sentences about one client, inside an open array; those of which nothing is known are left out.
 *  */
void fg_signals_say(struct fg_jsonw *w, const struct fg_model *model,
		    const struct fg_model_client *client);

/** "hosts" and "shared" of a source, inside an open object. */
void fg_signals_write_source(struct fg_jsonw *w, const struct fg_view *view,
			     const struct fg_model_source *source);
/** The same in two sentences, inside an open array. */
void fg_signals_say_source(struct fg_jsonw *w, const struct fg_view *view,
			   const struct fg_model_source *source);
