/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writers of whole documents that only the table of formats calls. Each: @return 0, -EIO. */
#pragma once

#include <stdio.h>

#include "export/formats.h"

int fg_document_ipset(FILE *out, const struct fg_export_ask *ask);
int fg_document_haproxy(FILE *out, const struct fg_export_ask *ask);
int fg_document_nginx(FILE *out, const struct fg_export_ask *ask);
int fg_document_crowdsec(FILE *out, const struct fg_export_ask *ask);
int fg_document_stix(FILE *out, const struct fg_export_ask *ask);
