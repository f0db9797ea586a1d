/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes frames into capture files, under the link headers that captures come with. Frames are
 * always built as Ethernet; the writer replaces that header.
 *
 * Owns: the file. Must not: build frames or choose times.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum fg_link {
	FG_LINK_ETHERNET,
	FG_LINK_RAW,
	FG_LINK_SLL,
	FG_LINK_SLL2,
	FG_LINK_NULL,
	FG_LINK_LOOP
};

struct fg_dump;

/** resolution_ns is 1000 (the classic format) or 1. snaplen 0 = whole frames.
 * @return 0, -ENOMEM, -EIO with a message on stderr. */
int fg_dump_open(const char *path, enum fg_link link, uint32_t resolution_ns, uint32_t snaplen,
		 struct fg_dump **ret_dump);
/** time_ns since 1970. A VLAN tag is kept where the link header has room for an EtherType. */
void fg_dump_write(struct fg_dump *c, uint64_t time_ns, const uint8_t *frame, size_t len);
/** Closes the file. @return number of frames, -EIO where not all could be written. */
long fg_dump_close(struct fg_dump *c);
