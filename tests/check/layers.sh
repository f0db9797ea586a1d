#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Includes follow the data flow, and <bpf/...> stays in the sensor: scripts/check-layers.
. "$(dirname "$0")/lib.sh"

check() {
	"$top/scripts/check-layers" "$PWD"
}

self_test() {
	good user/source/live.c <<-END
		#include <stdio.h>
		#include "model/epoch.h"
		#include "sensor/sensor.h"
		#include "lib/num.h"
		#include "farmgate/abi.h"
	END
	good user/sensor/sensor.c <<-END
		#include <bpf/libbpf.h>
		#include "farmgate.skel.h"
	END
	good user/source/engine_kernel.c <<-END
		#include <bpf/libbpf.h>
	END
	good user/agent/agent.c <<-END
		#include "detect/detect.h"
		#include "serve/http.h"
	END
	good bpf/gate.bpf.h <<-END
		#include <linux/bpf.h>
		#include <bpf/bpf_helpers.h>
		#include "farmgate/abi.h"
		#include "maps.bpf.h"
	END
	bad user/source/live.c <<-END
		#include "detect/detect.h"
	END
	bad user/source/live.c <<-END
		#include "model/model.h"
	END
	bad user/detect/volume.c <<-END
		# include "verdict/store.h"
	END
	bad user/lib/num.c <<-END
		#include "farmgate/abi.h"
	END
	bad user/cmd/run.c <<-END
		#include "verdict/store.h"
	END
	bad user/main.c <<-END
		#include "agent/agent.h"
	END
	bad user/agent/agent.c <<-END
		#include <bpf/bpf.h>
	END
	bad user/serve/api.c <<-END
		#include "farmgate.skel.h"
	END
	bad include/farmgate/hello.h <<-END
		#include <stdlib.h>
	END
	bad bpf/gate.bpf.h <<-END
		#include "model/model.h"
	END
}

main "$@"
