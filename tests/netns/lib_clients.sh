# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034
# Sourced after lib.sh by the tests of real TLS clients: how each is told to make connections, whose
# address it has, and what a capture of it must have in common with the agent.
#
# A client is a function client_NAME URL…, one connection a URL; browsers are told a page, and make
# as many as they like: the capture says how many. Each client has a source of each family to itself.

unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
PAGE4=four.example.com PAGE6=six.example.com RETRY4=retry4.example.com RETRY6=retry6.example.com
declare -A SOURCE_OF=() ABSENT=()
# The interpreter that python3-pycurl is for, whatever else stands in PATH.
PYTHON=/usr/bin/python3

# have NAME PACKAGE TEST…: the client is here; else it is counted among those left out.
have() {
	"${@:3}" >/dev/null 2>&1 && return
	echo "skipped: $1: needs package $2 (scripts/deps test)"
	ABSENT[$1]=$2
	return 1
}

# --- Servers ----------------------------------------------------------------------------------

# One that closes after each answer, so that a browser makes many connections, and one that accepts
# none of the clients' key shares and sends a HelloRetryRequest. Names only in this mount namespace.
start_servers() {
	local n images="<img src='https://$RETRY4/'><img src='https://$RETRY6/'>"
	for n in 1 2 3 4 5 6; do
		images+="<img src='https://\$host/$n'><img src='https://$PAGE6/$n'>"
	done
	HTTP_MORE="keepalive_timeout 0;"
	for n in 3 4; do
		ip -n "$EDGE" addr add "192.0.2.$n/24" dev veth0
		ip -n "$EDGE" addr add "2001:db8:ff::$n/64" dev veth0 nodad
		HTTP_MORE+="
			server {
				listen 192.0.2.$n:443 ssl;
				listen [2001:db8:ff::$n]:443 ssl;
				ssl_certificate $LAB/www/cert.pem;
				ssl_certificate_key $LAB/www/key.pem;
				$([ $n = 3 ] || echo 'ssl_ecdh_curve secp384r1;')
				ssl_protocols TLSv1.2 TLSv1.3;
				ssl_early_data on;
				default_type text/html;
				location / { return 200 '<p>hello</p>'; }
				location /page { return 200 \"<p>hello</p>$images\"; }
			}"
	done
	printf '%s\n' "127.0.0.1 localhost" "192.0.2.3 $PAGE4" "2001:db8:ff::3 $PAGE6" \
		"192.0.2.4 $RETRY4" "2001:db8:ff::4 $RETRY6" >"$LAB/hosts"
	mount --bind "$LAB/hosts" /etc/hosts || fail "cannot put names into a private /etc/hosts"
	start_server
}

# come_from N: connections to every server have source number N, without the client's doing.
come_from() {
	local n
	ip -n "$CLIENTS" addr add "$(source6 "$1")/128" dev lo nodad 2>/dev/null
	for n in 3 4; do
		ip -n "$CLIENTS" route replace "192.0.2.$n" dev veth0 src "$(source4 "$1")"
		ip -n "$CLIENTS" -6 route replace "2001:db8:ff::$n" dev veth0 src "$(source6 "$1")"
	done
}

source4() {
	echo "10.9.$1.1"
}

source6() {
	printf '2001:db8:1%03d::1\n' "$1"
}

# --- Clients ----------------------------------------------------------------------------------

# With $RESUME set, clients that can take up their earlier session do so.
client_curl() {
	local session=--no-sessionid
	[ -z "${RESUME:-}" ] || session=--sessionid
	in_clients curl -sSk $session "$@"
}

client_gnutls() {
	in_clients $PYTHON -c '
import pycurl, sys
for url in sys.argv[1:]:
    c = pycurl.Curl()
    for option, value in ((c.URL, url), (c.SSL_VERIFYPEER, 0), (c.SSL_VERIFYHOST, 0),
                          (c.SSL_SESSIONID_CACHE, 0), (c.WRITEFUNCTION, lambda data: None)):
        c.setopt(option, value)
    c.perform()
    c.close()' "$@"
}

client_python() {
	in_clients $PYTHON -c '
import ssl, sys, urllib.request
for url in sys.argv[1:]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    urllib.request.urlopen(url, context=context).read()' "$@"
}

client_node() {
	in_clients node -e '
const https = require("https");
(async () => {
	for (const url of process.argv.slice(1))
		await new Promise((done, broken) => https.get(url,
			{ rejectUnauthorized: false, ...(process.env.RESUME ? {} : { agent: false }) },
			(answer) => answer.resume().on("end", done)).on("error", broken));
})()' -- "$@"
}

client_go() {
	[ -x "$LAB/go/client" ] || build_go || return 1
	in_clients "$LAB/go/client" "$@"
}

# Out of the standard library alone, which is compiled once for all tests.
build_go() {
	mkdir -p "$LAB/go"
	cat >"$LAB/go/client.go" <<-'END'
		package main

		import ("crypto/tls"; "io"; "net/http"; "os")

		func main() {
			config := &tls.Config{InsecureSkipVerify: true, ServerName: os.Getenv("SERVER_NAME")}
			if os.Getenv("RESUME") != "" {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			}
			for _, url := range os.Args[1:] {
				web := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true,
					DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
				answer, err := (&http.Client{Transport: web}).Get(url)
				if err != nil {
					panic(err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		}
	END
	env -C "$LAB/go" HOME="$LAB/go" GOFLAGS=-mod=mod GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local \
		GOCACHE="$OUT/tests/go-cache" CGO_ENABLED=0 go build -o client client.go
}

client_java() {
	cat >"$LAB/Client.java" <<-'END'
		import java.net.URL;
		import java.security.cert.X509Certificate;
		import javax.net.ssl.*;

		class Client {
			public static void main(String[] urls) throws Exception {
				TrustManager trusting = new X509TrustManager() {
					public void checkClientTrusted(X509Certificate[] chain, String type) {}
					public void checkServerTrusted(X509Certificate[] chain, String type) {}
					public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
				};
				SSLContext context = null;
				for (String url : urls) {
					if (context == null || System.getenv("RESUME") == null) {
						context = SSLContext.getInstance("TLS");
						context.init(null, new TrustManager[] { trusting }, null);
					}
					HttpsURLConnection c = (HttpsURLConnection) new URL(url).openConnection();
					c.setSSLSocketFactory(context.getSocketFactory());
					c.setHostnameVerifier((name, session) -> true);
					c.getInputStream().readAllBytes();
				}
			}
		}
	END
	in_clients java -XX:TieredStopAtLevel=1 "$LAB/Client.java" "$@"
}

# Own home and profile: a browser refuses to share one, and must not touch anybody's.
client_chromium() {
	HOME=$LAB/home in_clients timeout -k 5 60 "$CHROMIUM" --headless --no-sandbox --disable-gpu \
		--disable-dev-shm-usage --ignore-certificate-errors --disable-background-networking \
		--user-data-dir="$LAB/chromium" --dump-dom "$1" 2>/dev/null | grep -q hello
}

client_firefox() {
	mkdir -p "$LAB/firefox"
	local digest name
	digest=$(openssl x509 -in "$LAB/www/cert.pem" -noout -fingerprint -sha256 | cut -d= -f2)
	for name in $PAGE4 $PAGE6 $RETRY4 $RETRY6; do
		printf '%s:443:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n' "$name" "$digest"
	done >"$LAB/firefox/cert_override.txt"
	HOME=$LAB/home in_clients timeout -k 5 60 firefox-esr --headless --no-remote \
		--profile "$LAB/firefox" --screenshot "$LAB/page.png" "$1" && [ -s "$LAB/page.png" ]
}

# Both browsers' profiles go, so that the next run begins without sessions.
forget_browsers() {
	rm -rf "$LAB/chromium" "$LAB/firefox" "$LAB/page.png"
}

# visit N NAME URL…: one client's connections, from source number N.
visit() {
	local n=$1 name=$2
	shift 2
	SOURCE_OF[$name]=$n
	come_from "$n"
	"client_$name" "$@" >"$LAB/client.log" 2>&1 ||
		fail "$name did not get its pages: $(tail -n 3 "$LAB/client.log")"
}

# Every client that is here, one after the other: $1 source number of the first, then what the
# scripted ones ask for; browsers ask for the page.
visit_all() {
	local n=$1 name
	shift
	for name in curl gnutls python node go java chromium firefox; do
		n=$((n + 1))
		[ -z "${ABSENT[$name]:-}" ] || continue
		case $name in
		chromium | firefox) visit $n $name "https://$PAGE4/page" ;;
		*) visit $n $name "$@" ;;
		esac
	done
}

find_clients() {
	need_programs openssl jq tcpdump $PYTHON
	CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
	have curl curl command -v curl
	have gnutls python3-pycurl $PYTHON -c 'import pycurl; assert "GnuTLS" in pycurl.version'
	have node nodejs command -v node
	have go golang-go command -v go
	have java default-jdk-headless command -v javac
	have chromium chromium test -n "$CHROMIUM"
	have firefox firefox-esr command -v firefox-esr
}

# Last: a test that left a client out has not passed.
end_clients() {
	[ ${#ABSENT[@]} = 0 ] || skip "passed but for ${!ABSENT[*]}: needs ${ABSENT[*]}"
}

# --- Capture and agent ------------------------------------------------------------------------

# read_capture: $LAB/hellos (see hellos.py), from a capture that lacks nothing.
read_capture() {
	settle
	stop_capture
	grep -q "^0 packets dropped" "$LAB/tcpdump.log" || fail "capture: $(tail -n 3 "$LAB/tcpdump.log")"
	$PYTHON "$ROOT/tests/netns/hellos.py" "$LAB/run.pcap" >"$LAB/hellos" || fail "hellos.py"
}

# hellos_of NAME: the lines of one client.
hellos_of() {
	local n=${SOURCE_OF[$1]}
	grep -E "^($(source4 "$n")|$(source6 "$n"))	" "$LAB/hellos"
}

# Both engines read from the capture what an independent reader found there.
check_replay() {
	local engine
	for engine in host kernel; do
		"$FG" ja4 --engine $engine "$LAB/run.pcap" >"$LAB/$engine.tsv" || fail "ja4 --engine $engine: $?"
	done
	diff "$LAB/host.tsv" "$LAB/kernel.tsv" >"$LAB/diff" || fail "engines differ: $(head "$LAB/diff")"
	diff <(awk -F '\t' '$4 { print $1, $2, $3, $6, $7, "complete" }' "$LAB/hellos" | sort) \
		<(awk -F '\t' '!/^#/ { print $2, $3, $4, $7, $8, $9 }' "$LAB/host.tsv" | sort) \
		>"$LAB/diff" || fail "ja4 (>) is not what the capture holds (<): $(head "$LAB/diff")"
	echo "ok: both engines: $(grep -vc '^#' "$LAB/host.tsv") hellos, complete, as in the capture"
}

# as_source: a capture's addresses in column 1 as the agent's sources.
as_source() {
	sed -E 's/^(2001:db8:1[0-9]+::)1/\1\/64/'
}

captured_sources() {
	as_source <"$LAB/hellos" |
		awk -F '\t' '{ syns[$1]++; hellos[$1] += $4 > 0 }
			END { for (s in syns) print s, syns[s], syns[s], syns[s], hellos[s], 0 }' | sort
}

agent_sources() {
	query sources '.sources[] | [.source, .syns, .connections, .proven, .hellos, .incomplete]
		| map(tostring) | join(" ")' | sort
}

captured_clients() {
	as_source <"$LAB/hellos" |
		awk -F '\t' '$4 { hellos[$1 " " $7]++; psk[$1 " " $7] += $8 ~ /psk/ }
			END { for (s in hellos) print s, hellos[s], psk[s], "socket" }' | sort
}

agent_clients() {
	query clients '.clients[] | [.source, .stem, .hellos, .resumed, .proof]
		| map(tostring) | join(" ")' | sort
}

captured_fingerprints() {
	awk -F '\t' '$4 { n[$6 " " $7]++ } END { for (f in n) print f, n[f] }' "$LAB/hellos" | sort
}

agent_fingerprints() {
	query fingerprints '.fingerprints[] | "\(.ja4) \(.stem) \(.hellos)"' | sort
}

# What the agent saw live is what the capture holds: counts, names and proof, all exactly.
check_live() {
	local what
	for what in sources clients fingerprints; do
		wait_until 15 answer_is "$(captured_$what)" agent_$what ||
			fail "$what, in the capture (<) and live (>):
$(diff <(captured_$what) <(agent_$what) | head -n 20)"
		echo "ok: $(captured_$what | wc -l) $what, live as in the capture"
	done
}
