#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sessions taken up again, by ticket (TLS 1.2), by key (TLS 1.3) and with early data: JA4 changes
# with the extensions a hello has, the stem stays, and the agent counts each resumption.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_clients.sh"
lab_private "$@"
find_clients
lab_begin
make_network
start_servers
start_agent --attach native
watch_frames
start_capture "$LAB/run.pcap"

# once OPTION…: prints whether the session is new or reused, and with which protocol.
once() {
	printf 'GET / HTTP/1.0\r\n\r\n' | in_clients timeout 10 openssl s_client -connect "$HOST:443" \
		-servername "$HOST" -ign_eof "$@" 2>"$LAB/s_client.err" >"$LAB/s_client.out"
	grep -Eo '^(New|Reused), TLSv1.[23]|^Early data was accepted' "$LAB/s_client.out" | sort -u
}

# openssl_resumes N VERSION: one full and one resumed connection, from source number N.
openssl_resumes() {
	come_from "$1"
	for HOST in $PAGE4 $PAGE6; do
		is "TLS $2, $HOST, full" "New, TLSv$2" "$(once "-tls${2/./_}" -sess_out "$LAB/session")"
		is "TLS $2, $HOST, resumed" "Reused, TLSv$2" \
			"$(once "-tls${2/./_}" -sess_in "$LAB/session" -sess_out "$LAB/session")"
	done
}

is() { # WHAT EXPECTED SEEN
	[ "$2" = "$3" ] || fail "$1: '$3' instead of '$2': $(tail -n 3 "$LAB/s_client.err")"
	echo "ok: $1: $3"
}

# shape N: of each family's first and last connection flags, "JA4 same|other", "stem same|other"
shape() {
	SOURCE_OF[openssl]=$1
	hellos_of openssl | sort -s -k 1,1 | awk -F '\t' '
		$1 == source { print before, $8, $6 == ja4 ? "same" : "other", $7 == stem ? "same" : "other" }
		{ source = $1; before = $8; ja4 = $6; stem = $7 }'
}

openssl_resumes 1 1.2
openssl_resumes 2 1.3
come_from 3
printf 'GET / HTTP/1.0\r\n\r\n' >"$LAB/early"
for HOST in $PAGE4 $PAGE6; do
	is "TLS 1.3, $HOST, full" "New, TLSv1.3" "$(once -tls1_3 -sess_out "$LAB/session")"
	is "TLS 1.3, $HOST, early data" "Early data was accepted
Reused, TLSv1.3" "$(once -tls1_3 -sess_in "$LAB/session" -early_data "$LAB/early")"
done
export RESUME=1
n=10
for name in curl node go java; do
	n=$((n + 1))
	[ -n "${ABSENT[$name]:-}" ] || visit $n $name "https://$PAGE4/" "https://$PAGE4/" "https://$PAGE4/"
done

read_capture
check_replay
check_live
expect_balance

# A ticket is content of an extension that is there anyway; a key and early data are extensions.
is "TLS 1.2: flags, JA4, stem" "- ticket same same
- ticket same same" "$(shape 1)"
is "TLS 1.3: flags, JA4, stem" "- psk other same
- psk other same" "$(shape 2)"
is "early data: flags, JA4, stem" "- early,psk other same
- early,psk other same" "$(shape 3)"
unset "SOURCE_OF[openssl]"
for name in "${!SOURCE_OF[@]}"; do
	is "$name: resumed hellos, kinds of JA4, stems" "2 2 1" "$(hellos_of "$name" | awk -F '\t' '
		$8 ~ /psk/ { psk++ }
		{ names += !($6 in seen); stems += !($7 in seen); seen[$6]; seen[$7] }
		END { print psk + 0, names, stems }')"
done
end_clients
